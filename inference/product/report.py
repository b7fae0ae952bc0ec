"""The map's report: everything that is known about it, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from gee_pipeline.grid import Grid, name_crs
from gee_pipeline.layers import OF_SETS, ON_REQUEST
from gee_pipeline.season import Season, TimeBin
from gee_pipeline.source import Spent
from inference.product.map_facts import COUNTED, MapFacts, MapSummary

SIMULATED: Final = (
    "The scenes of this map are simulated: it shows how the software works, not what grows there."
)
"""Said on the quicklook, in the STAC item and in the report of such a map."""


def build_report(grid: Grid, summary: MapSummary, facts: MapFacts) -> dict[str, Any]:
    """The report of a map.

    Args:
        grid: Grid of the run.
        summary: What stands in the map.
        facts: What went into it.
    """
    return _strict_json(
        {
            "title": facts.title,
            "year": facts.year,
            "season": _dates(facts.season),
            "model_window": _dates(model_window(facts)),
            "created": facts.created.isoformat(),
            "simulated": facts.simulated,
            "notices": notices(facts),
            "attribution": attribution(facts),
            "certificate": {**facts.completeness, "in_map": summary.cells},
            "map": _raster(grid),
            "area": {"pixels": summary.pixels, "hectares": summary.hectares, "note": COUNTED},
            "classes": [_class(area, summary.hectares) for area in map(asdict, summary.areas)],
            "model": _model(facts),
            "recipe": {"digest": facts.recipe.digest, **facts.recipe.to_dict()},
            "source": facts.source,
            **({"observed": dict(facts.observed)} if facts.observed else {}),
            "spent": _labelled(spent(facts.spent), facts),
            "cropmap_version": facts.version,
            **_layers(summary),
            **({} if summary.outside is None else {"outside_applicability": summary.outside}),
            **_prediction_sets(summary, facts),
            "command": facts.command,
            "config": facts.config,
        }
    )


def _layers(summary: MapSummary) -> dict[str, Any]:
    """What the layers on request are; nothing where there are none."""
    found = [
        {
            "name": layer.name,
            "description": layer.description,
            "unit": layer.unit,
            "nodata": layer.nodata,
            "formula": layer.formula,
            "means": None if layer.is_class else list(summary.means[layer.name]),
        }
        for layer in ON_REQUEST
        if layer.name in summary.means
    ]
    return {"layers": found} if found else {}


def _prediction_sets(summary: MapSummary, facts: MapFacts) -> dict[str, Any]:
    """What the sets rest on, and how large they are; nothing where the map has none."""
    if not any(layer.name in summary.means for layer in OF_SETS):
        return {}
    sizes = {"sizes": list(summary.set_sizes)} if summary.set_sizes else {}
    return {"prediction_sets": {**facts.prediction_sets, **sizes}}


def _labelled(used: dict[str, Any] | None, facts: MapFacts) -> dict[str, Any] | None:
    """What was spent, with the workload tag by which Cloud Monitoring shows the costs of the run."""
    return used and {**used, "workload_tag": facts.workload}


def spent(used: Spent) -> dict[str, Any] | None:
    """What a server was asked for, as JSON values; None where there was no server to ask."""
    if used == Spent():
        return None
    return {
        "requests": used.requests,
        "bytes": used.bytes,
        "eecu_hours": used.eecu_seconds / 3600,
        "requests_not_measured": used.unmeasured,
    }


def notices(facts: MapFacts) -> list[str]:
    """What the reader should know, the simulation first."""
    return [*([SIMULATED] if facts.simulated else []), *facts.notices]


def attribution(facts: MapFacts) -> str | None:
    """What the licences of the sensors ask of everything made from their data; None of simulated scenes.

    That of Copernicus names the years of the data.
    """
    if facts.simulated:
        return None
    window = model_window(facts)
    first, last = window.start.year, window.last.year
    years = f"{first}" if first == last else f"{first}-{last}"
    texts = dict.fromkeys(group.sensor.attribution for group in facts.recipe.sensors)
    return (
        "; ".join(text.replace("Sentinel data.", f"Sentinel data {years}") for text in texts if text) or None
    )


def model_window(facts: MapFacts) -> TimeBin:
    """The days whose scenes decide the map."""
    return facts.season.span(facts.recipe.window, facts.recipe.bin_days)


def _model(facts: MapFacts) -> dict[str, Any]:
    values = {
        "name": facts.model,
        "digest": facts.model_digest,
        "provenance": facts.provenance,
        "metrics": facts.metrics,
    }
    return {**values, "confidence": facts.confidence} if facts.confidence else values


def _dates(span: Season | TimeBin) -> dict[str, str]:
    """First day, and the last one included."""
    return {"first_day": span.start.isoformat(), "last_day": span.last.isoformat()}


def _raster(grid: Grid) -> dict[str, Any]:
    height, width = grid.map_box.shape
    return {
        "crs": name_crs(grid.geobox.crs),
        "width": width,
        "height": height,
        "pixel_size": abs(grid.geobox.transform.a),
        "bounds": list(grid.map_box.boundingbox.bbox),
        "cell_size": grid.cell_size,
    }


def _class(area: dict[str, Any], hectares: float) -> dict[str, Any]:
    return {**area, "share": area["hectares"] / hectares if hectares else 0.0}


def _strict_json(value: Any) -> Any:
    """The same values with null for numbers that JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _strict_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
