"""A run: its plan, its cells, what happened to them, and whether all are there."""
