"""From the cells' predictions to a map one can open, print and cite."""

from __future__ import annotations

from inference.map_facts import CodeArea, MapFacts, MapSummary

__all__ = ["CodeArea", "MapFacts", "MapSummary"]
