"""Whether a finished run is what it says: digests, cells, some of them predicted again, and seams."""
