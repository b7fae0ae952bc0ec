"""Whole commands: from an area and a year to a map."""
