"""Polygons with attributes, read batch by batch."""
