"""Composites and forest maps computed on Google Earth Engine's servers."""
