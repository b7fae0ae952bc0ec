"""Labelled series drawn from a reference map and computed on Earth Engine's servers."""
