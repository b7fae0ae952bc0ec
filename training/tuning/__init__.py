"""A model for a new place from a few labels: what is worth changing, tried on folds over places."""
