"""Scenes of a STAC catalog or API become composites on this machine."""
