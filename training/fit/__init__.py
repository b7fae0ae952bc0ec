"""Labelled series become a checkpoint."""
