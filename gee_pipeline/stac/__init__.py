"""Scenes listed by a STAC catalog become composites."""
