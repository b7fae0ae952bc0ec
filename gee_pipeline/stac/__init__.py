"""Scenes of a STAC catalog or API become composites on this machine."""

from gee_pipeline.stac.source import StacSource

__all__ = ["StacSource"]
