"""Composites computed on Google Earth Engine's servers."""
