"""What each raster of a map says of itself, inside the file: its origin, and what its values mean."""

from __future__ import annotations

from gee_pipeline.layers import OF_SETS, Layer
from inference.product.map_facts import MapFacts
from inference.product.report import SIMULATED, attribution, model_window


def raster_tags(layer: Layer, facts: MapFacts) -> dict[str, str]:
    """Metadata of a raster by name; empty values are left out.

    The names that begin with `TIFFTAG_` become tags of the TIFF itself, which every reader of TIFF shows.

    Args:
        layer: What the raster holds.
        facts: What went into the map.
    """
    window, credit = model_window(facts), attribution(facts)
    tags = {
        "YEAR": str(facts.year),
        "FIRST_DAY": window.start.isoformat(),
        "LAST_DAY": window.last.isoformat(),
        "MODEL": facts.model,
        "MODEL_DIGEST": facts.model_digest,
        "RECIPE_DIGEST": facts.recipe.digest,
        "RUN_DIGEST": facts.run_digest,
        "CROPMAP_VERSION": facts.version,
        "ATTRIBUTION": credit or "",
        "SIMULATED": "true" if facts.simulated else "",
        "LAYER": layer.name,
        "DESCRIPTION": layer.description,
        "UNIT": layer.unit,
        "FORMULA": layer.formula,
        **(_sets(facts) if layer in OF_SETS else {}),
        "TIFFTAG_IMAGEDESCRIPTION": _description(layer, facts),
        "TIFFTAG_SOFTWARE": f"cropmap {facts.version}",
        "TIFFTAG_COPYRIGHT": credit or "",
    }
    return {name: value for name, value in tags.items() if value}


def _sets(facts: MapFacts) -> dict[str, str]:
    """Which share of the true classes the sets are meant to hold, and by what."""
    known = facts.prediction_sets
    return {"COVERAGE": str(known.get("coverage", "")), "CALIBRATED_BY": str(known.get("source", ""))}


def _description(layer: Layer, facts: MapFacts) -> str:
    unit = f" ({layer.unit})" if layer.unit else ""
    text = f"{facts.title}: {layer.description}{unit}"
    return f"{text}. {SIMULATED}" if facts.simulated else text
