"""Labelled series: how they are read from files and what their labels mean."""
