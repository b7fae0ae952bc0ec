"""Metadata of a published map as ISO 19115, encoded as ISO 19139: what catalogs of agencies harvest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from assessment.document.facts import Document
from assessment.document.page import method
from assessment.document.template import filled
from gee_pipeline.files import write_bytes
from gee_pipeline.map_codes import NOT_CROPLAND
from inference.product.map_facts import COUNTED
from inference.product.qgis_style import xml_bytes

_TEMPLATE: Final = files("assessment.publication").joinpath("metadata.xml")


@dataclass(frozen=True)
class Measure:
    """A figure of data quality, in percent."""

    id: str
    """What it is called inside the file."""
    name: str
    """What it is."""
    description: str
    """How it came about."""
    value: str
    """The figure."""
    statistic: str = ""
    """Its interval; empty where it has none."""


def write_metadata(path: Path, identifier: str, document: Document, item: Mapping[str, Any]) -> None:
    """Write the metadata of a map.

    Args:
        path: The XML file.
        identifier: What the map is called in its publication.
        document: What the page of the map says.
        item: The STAC item of the run's map, which knows the box in degrees.

    Raises:
        DiskFullError: The disk has no room.
    """
    write_bytes(path, xml_bytes(metadata(identifier, document, item["bbox"])))


def metadata(identifier: str, document: Document, bbox: list[float]) -> str:
    """The metadata as XML.

    Args:
        identifier: What the map is called.
        document: What the page of the map says.
        bbox: West, south, east and north in degrees.
    """
    report = document.report
    classes = [one["name"] for one in report["classes"] if one["code"] < NOT_CROPLAND]
    sensors = [group.sensor.title for group in document.recipe.sensors]
    return filled(
        _TEMPLATE.read_text(encoding="utf-8"),
        identifier=identifier,
        title=document.title,
        words=document.words,
        created=report["created"][:10],
        raster=report["map"],
        season=report["model_window"],
        bbox=bbox,
        credit=report["attribution"],
        keywords=["crop map", "land cover", "agriculture", *sensors, *classes],
        abstract=_abstract(document, classes),
        limits=" ".join([*report["notices"], *([] if document.assessment else [COUNTED])]) or "none",
        completeness=list(_completeness(report)),
        accuracies=list(_accuracies(document)),
        lineage=method(document),
    )


def _abstract(document: Document, classes: list[str]) -> str:
    report = document.report
    named = f"The class of each pixel of {report['map']['pixel_size']:g} m: {', '.join(classes)}"
    parts = [document.words.note, f"{document.title}. {named}; with its confidence and clear observations."]
    return " ".join([*filter(None, parts), *report["notices"]])


def _completeness(report: Mapping[str, Any]) -> Iterator[Measure]:
    coverage = report["certificate"].get("coverage", {})
    if "mapped" in coverage:
        yield Measure(
            "mapped",
            "Share of the area with a class",
            "Pixels with a class, of those to map",
            f"{100 * coverage['mapped']:.2f}",
        )


def _accuracies(document: Document) -> Iterator[Measure]:
    """Overall accuracy, then user's and producer's of each class, where the map was assessed."""
    accuracy = document.accuracy
    if accuracy is None:
        return
    how = f"Estimated from {accuracy['units']:,} points drawn at random"
    yield _measure("overall", "Overall accuracy", how, accuracy["overall"])
    for number, one in enumerate(accuracy["classes"], start=1):
        for key, name in (("users", "User's accuracy"), ("producers", "Producer's accuracy")):
            if one[key] is not None:
                yield _measure(f"{key}_{number}", f"{name} of {one['name']}", how, one[key])


def _measure(identifier: str, name: str, how: str, figure: Mapping[str, Any]) -> Measure:
    value, low, high = (f"{100 * figure[key]:.2f}" for key in ("value", "low", "high"))
    return Measure(identifier, name, how, value, f"95 % interval: {low} to {high}")
