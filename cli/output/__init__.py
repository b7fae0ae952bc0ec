"""Progress on stderr and results on stdout."""
