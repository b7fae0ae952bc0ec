"""Weights that others published: which are known, fetched, and what a training starts from."""
