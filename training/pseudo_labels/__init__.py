"""Labelled series drawn from the map of a finished run."""
