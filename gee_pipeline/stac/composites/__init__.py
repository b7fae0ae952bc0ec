"""Composites of the scenes of a catalog: pixels read, placed, masked, and their medians."""
