"""The page: one HTML file that needs no network, to look at and to print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pyproj

from assessment.document.facts import Document
from assessment.document.statistics import Comparison
from assessment.document.template import filled
from assessment.report.writing import NO_CLASS
from gee_pipeline.files import write_bytes
from gee_pipeline.map_codes import NOT_CROPLAND
from gee_pipeline.season import length_text
from inference.models.model_card import describe_training
from inference.product.map_facts import COUNTED, hectares_text, set_sizes_text

_PARTS: Final = files("assessment.document")

_KINDS: Final = {"stac": "a STAC catalog", "earthengine": "Google Earth Engine"}
"""Kinds of sources in words."""


@dataclass(frozen=True)
class AreaRow:
    """A class in the table of areas."""

    name: str
    """The class."""
    color: str
    """Its colour."""
    counted: str
    """Hectares of its pixels; empty where the map does not show it."""
    share: str
    """Their share of the area."""
    confidence: str
    """Their mean confidence."""
    estimated: str = ""
    """Hectares by the assessment."""
    interval: str = ""
    """Their 95 % interval."""
    flags: str = ""
    """What to beware of."""


def write_page(path: Path, document: Document, comparisons: Sequence[Comparison] = ()) -> None:
    """Write the page whole, or not at all.

    Args:
        path: The HTML file.
        document: What it says.
        comparisons: Published hectares that stand beside those of the map.

    Raises:
        DiskFullError: The disk has no room.
    """
    write_bytes(path, page(document, comparisons).encode())


def page(document: Document, comparisons: Sequence[Comparison] = ()) -> str:
    """The page as HTML; arguments as for `write_page`."""
    report, accuracy = document.report, document.accuracy
    return filled(
        _part("page.html"),
        document=document,
        under=under(document),
        note=document.words.note,
        closing=closing(document),
        report=report,
        css=_part("page.css"),
        script=_part("page.js"),
        rows=area_rows(document),
        counted=COUNTED,
        accuracy=accuracy and accuracy_rows(accuracy),
        overall=accuracy and _interval(accuracy["overall"], _percent),
        statistics=[statistics_row(one) for one in comparisons],
        matrix=accuracy and matrix_rows(accuracy),
        contents=contents(report),
        method=method(document),
        training=describe_training(report["model"]["provenance"] or {}, report["model"]["metrics"] or {}),
        work=work(document),
        place=place(document),
        hectares=hectares_text(report["area"]["hectares"]),
        settings={"metres": document.metres / document.pictures[0].width},
    )


def _part(name: str) -> str:
    return _PARTS.joinpath(name).read_text(encoding="utf-8")


def under(document: Document) -> str:
    """The line under the heading: who publishes, and of which season."""
    report = document.report
    season = f"season {report['year']}: {report['season']['first_day']} to {report['season']['last_day']}"
    return f"{document.words.agency} · {season}" if document.words.agency else season


def closing(document: Document) -> list[str]:
    """The last lines: terms, what the data's licences ask for, whom to ask."""
    words = document.words
    lines = [f"Licence: {words.licence}" if words.licence else None, document.report["attribution"]]
    lines.append(f"Contact: {words.contact}" if words.contact else None)
    return [line for line in lines if line]


def area_rows(document: Document) -> list[AreaRow]:
    """Classes of map and assessment: hectares counted, and estimated where there is an assessment."""
    colors = {one.name: one.color for one in document.legend}
    classes = [one for one in document.report["classes"] if one["code"] < NOT_CROPLAND or one["pixels"]]
    counted = {one["name"]: one for one in classes}
    estimates = _estimates(document)
    return [
        _area_row(name, colors.get(name, "#ffffff"), counted.get(name), estimates.get(name))
        for name in dict.fromkeys([*counted, *estimates])
    ]


def _area_row(
    name: str, color: str, counted: Mapping[str, Any] | None, figure: Mapping[str, Any] | None
) -> AreaRow:
    hectares = hectares_text(counted["hectares"]) if counted else ""
    share = _percent(counted["share"]) if counted else ""
    sure = counted["mean_confidence"] if counted else None
    row = AreaRow(name, color, hectares, share, "" if sure is None else f"{sure:.0f} %")
    if figure is None:
        return row
    interval, flags = _range(figure), list(figure["flags"])
    if (strata := _by_strata(figure)) is not None:
        flags.append(
            f"by limits of strata; from the variance alone {interval}, too narrow where few were omitted"
        )
        interval = strata
    return replace(row, estimated=hectares_text(figure["value"]), interval=interval, flags=", ".join(flags))


def _by_strata(figure: Mapping[str, Any]) -> str | None:
    """The interval that holds also where few omitted units decide, of a figure that is flagged so."""
    mover = figure.get("mover")
    if not mover or "few omissions" not in figure["flags"]:
        return None
    low, high = map(hectares_text, mover)
    return f"{low} to {high}"


def _estimates(document: Document) -> dict[str, Mapping[str, Any] | None]:
    """The estimated area of each class."""
    return {one["name"]: one["area"] for one in document.accuracy["classes"]} if document.accuracy else {}


def accuracy_rows(accuracy: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Class, user's accuracy, producer's accuracy and F1, each with its interval."""
    return [
        (one["name"], *(_interval(one[name], _percent) for name in ("users", "producers", "f1")))
        for one in accuracy["classes"]
    ]


def matrix_rows(accuracy: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The error matrix in percent of the area: what the map shows, then what is there by class."""
    classes = [one["name"] for one in accuracy["classes"]]
    names, shares = [*classes, NO_CLASS], accuracy["matrix_shares"]
    return [
        (name, [_percent(share) if share else "" for share in row])
        for name, row in zip(names, shares, strict=True)
        if any(row) or name in classes
    ]


def _interval(figure: Mapping[str, Any] | None, text: Any) -> str:
    if figure is None:
        return "none"
    return f"{text(figure['value'])} ({text(figure['low'])} to {text(figure['high'])})"


def statistics_row(one: Comparison) -> tuple[str, str, str, str]:
    """Class and district, and hectares: published, counted and estimated, with source and differences."""
    area, estimate = one.area, one.area.estimate
    counted = estimated = ""
    if area.hectares is not None:
        counted = f"{hectares_text(area.hectares)}{_difference(one.mapped_difference)}"
    if estimate:
        estimated = f"{hectares_text(estimate['value'])}{_difference(one.estimated_difference)}"
        estimated += f"; {_range(estimate)}" + ("" if one.in_interval else ", the published figure outside")
    return (
        f"{area.name}, {area.district}" if area.district else area.name,
        f"{hectares_text(one.hectares)} ({one.source})" if one.source else hectares_text(one.hectares),
        counted,
        estimated,
    )


def _difference(share: float | None) -> str:
    return "" if share is None else f" ({share:+.1%})".replace("%", " %")


def _range(figure: Mapping[str, Any]) -> str:
    return f"{hectares_text(figure['low'])} to {hectares_text(figure['high'])}"


def contents(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How complete the map is by what it holds, not by what ran."""
    whole = report["area"]["pixels"] or 1
    crops = sum(one["pixels"] for one in report["classes"] if one["code"] < NOT_CROPLAND)
    others = [one for one in report["classes"] if one["code"] >= NOT_CROPLAND]
    seen = [one["mean_clear"] * one["pixels"] for one in report["classes"] if one["mean_clear"] is not None]
    cells = report["certificate"]
    rows = [("pixels with a class", f"{crops:,} of {whole:,} ({crops / whole:.1%})")]
    if (outside := report.get("outside_applicability")) is not None:
        rows.append(("unlike the training samples", f"{_percent(outside)} of these"))
    if sizes := report.get("prediction_sets", {}).get("sizes"):
        rows.append(("prediction sets", f"{set_sizes_text(sizes)} of these"))
    rows += [(one["name"], f"{one['pixels']:,} ({one['pixels'] / whole:.1%})") for one in others]
    rows.append(("clear observations", f"{sum(seen) / whole:.1f} of a pixel, on average"))
    if "planned" in cells:
        skipped = f"{cells.get('skipped', 0):,} without a pixel to map"
        rows.append(("cells", f"{cells.get('done', 0):,} mapped, {skipped}, of {cells['planned']:,}"))
    return rows


def method(document: Document) -> str:
    """How the map was made, in one paragraph."""
    report, recipe = document.report, document.recipe
    window, season, source = report["model_window"], report["season"], report["source"]
    scenes = f"{source['scenes']:,} scenes" if isinstance(source.get("scenes"), int) else "all scenes"
    bands = "; ".join(f"{group.sensor.title}: {', '.join(group.bands)}" for group in recipe.sensors)
    return (
        f"The season of {report['year']} lasts from {season['first_day']} to {season['last_day']}; its days "
        f"from {window['first_day']} to {window['last_day']} decide the map. Of {scenes} from "
        f"{_KINDS.get(source['kind'], source['kind'])} the clear observations of each pixel become medians "
        f"of {length_text(recipe.bin_days)} ({bands}); gaps are filled on a line between the nearest. The "
        f"model {report['model']['name']} says the class of each pixel from this series. A pixel with fewer "
        f"than {recipe.min_clear_bins} observed bins gets no class."
    )


def work(document: Document) -> list[tuple[str, str]]:
    """When, how long, by what, and what was spent."""
    report, spent = document.report, document.report["spent"]
    rows = [("made", f"{report['created']}, cropmap {report['cropmap_version']}")]
    if document.seconds:
        rows.append(("cells computed in", f"{document.seconds / 60:,.1f} minutes"))
    if spent:
        rows.append(
            ("asked of the server", f"{spent['requests']:,} requests, {spent['bytes'] / 1e6:,.1f} MB")
        )
        rows.append(("computing there", f"{spent['eecu_hours']:.2f} EECU-hours"))
    else:
        rows.append(("cost", "no server was asked for computing"))
    digests = {"model": report["model"]["digest"], "recipe": report["recipe"]["digest"]}
    rows += [(f"digest of the {name}", value) for name, value in digests.items() if value]
    return rows


def place(document: Document) -> list[tuple[str, str]]:
    """Where the map lies."""
    raster = document.report["map"]
    transformer = pyproj.Transformer.from_crs(document.map.crs, "EPSG:4326", always_xy=True)
    west, south, east, north = transformer.transform_bounds(*raster["bounds"])
    size = f"{raster['width']:,} x {raster['height']:,} pixels of {raster['pixel_size']:g} m"
    return [
        ("longitude", f"{west:.4f} to {east:.4f}"),
        ("latitude", f"{south:.4f} to {north:.4f}"),
        ("raster", f"{size}, {raster['crs']}"),
    ]


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
