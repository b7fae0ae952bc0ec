"""An explanation in a folder: its numbers and its pictures."""

from __future__ import annotations

from pathlib import Path

from gee_pipeline.files import write_json
from training.explain.heat_map import ACTIVATION, ATTRIBUTION, compose_heat_maps
from training.explain.ndvi_picture import compose_ndvi
from training.explain.page import Page
from training.explain.plane_picture import compose_planes
from training.explain.report import Explanation


def write_explanation(folder: Path, explanation: Explanation) -> list[Path]:
    """Write explain.json and the pictures into a folder; returns their paths.

    Args:
        folder: Is made where it is missing; files of the same names are replaced.
        explanation: What to write. Without B4 and B8 there is no NDVI.
    """
    numbers = folder / "explain.json"
    write_json(numbers, explanation.to_dict())
    title, suffix = f"cropmap explain {explanation.model}", explanation.options.format
    pictures = [
        page.save(folder / f"{name}.{suffix}", f"{title}: {name}")
        for name, page in compose_pictures(explanation).items()
    ]
    return [numbers, *pictures]


def compose_pictures(explanation: Explanation) -> dict[str, Page]:
    """The pages by name: activation, attribution, embedding, and ndvi where there is one."""
    pages = {
        "activation": compose_heat_maps(explanation, ACTIVATION),
        "attribution": compose_heat_maps(explanation, ATTRIBUTION),
        "embedding": compose_planes(explanation),
    }
    return pages | ({"ndvi": compose_ndvi(explanation)} if explanation.curves else {})
