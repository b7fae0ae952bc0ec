"""The points of a sample for interpreters: places and nothing that says what the map shows."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from assessment.sample.record import SampleDesign, Unit, to_csv

CSV_FILE: Final = "points.csv"
GEOJSON_FILE: Final = "points.geojson"
GPKG_FILE: Final = "points.gpkg"
KML_FILE: Final = "points.kml"
CEO_PLOTS: Final = "ceo_plots.csv"
CEO_PROJECT: Final = "ceo_project.json"

QUESTION: Final = "answer"
"""What is asked of each point: a column of the tables, the question of the Collect Earth Online project."""

_DECIMALS: Final = 7
"""Of degrees: a centimetre."""


def write_points(folder: Path, design: SampleDesign, *, pixel: float) -> None:
    """The points as CSV, GeoJSON, GeoPackage and KML, and as a project of Collect Earth Online.

    Args:
        folder: A folder that is there.
        design: The sample.
        pixel: Side of a pixel, metres: the plot that is looked at.
    """
    units = design.units
    (folder / CSV_FILE).write_bytes(to_csv(("id", "lon", "lat", QUESTION, "sure", "note"), map(_row, units)))
    (folder / GEOJSON_FILE).write_bytes(_geojson(units))
    (folder / KML_FILE).write_bytes(_kml(units))
    (folder / CEO_PLOTS).write_bytes(to_csv(("LON", "LAT", "PLOTID"), map(_plot, units)))
    project = json.dumps(_project(design, pixel), indent=2, ensure_ascii=False) + "\n"
    (folder / CEO_PROJECT).write_bytes(project.encode())
    _write_gpkg(folder / GPKG_FILE, units)


def _row(unit: Unit) -> dict[str, Any]:
    return {"id": unit.id, "lon": _degrees(unit.lon), "lat": _degrees(unit.lat)}


def _plot(unit: Unit) -> dict[str, Any]:
    return {"LON": _degrees(unit.lon), "LAT": _degrees(unit.lat), "PLOTID": unit.id}


def _degrees(value: float) -> float:
    return round(value, _DECIMALS)


def _geojson(units: Sequence[Unit]) -> bytes:
    features = [
        {
            "type": "Feature",
            "properties": {"id": unit.id, QUESTION: None, "sure": None, "note": None},
            "geometry": {"type": "Point", "coordinates": [_degrees(unit.lon), _degrees(unit.lat)]},
        }
        for unit in units
    ]
    return (json.dumps({"type": "FeatureCollection", "features": features}, indent=1) + "\n").encode()


def _kml(units: Sequence[Unit]) -> bytes:
    root = ET.Element("kml", xmlns="http://www.opengis.net/kml/2.2")
    document = ET.SubElement(root, "Document")
    ET.SubElement(document, "name").text = "points"
    for unit in units:
        mark = ET.SubElement(document, "Placemark", id=f"point-{unit.id}")
        ET.SubElement(mark, "name").text = unit.id
        point = ET.SubElement(mark, "Point")
        ET.SubElement(point, "coordinates").text = f"{_degrees(unit.lon)},{_degrees(unit.lat)}"
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _write_gpkg(path: Path, units: Sequence[Unit]) -> None:
    import geopandas

    empty = [""] * len(units)
    columns = {"id": [unit.id for unit in units], QUESTION: empty, "sure": empty, "note": empty}
    lon, lat = [_degrees(unit.lon) for unit in units], [_degrees(unit.lat) for unit in units]
    places = geopandas.points_from_xy(lon, lat)
    geopandas.GeoDataFrame(columns, geometry=places, crs="EPSG:4326").to_file(path, driver="GPKG")


def _project(design: SampleDesign, pixel: float) -> dict[str, Any]:
    """A project of Collect Earth Online: one plot a point, one question with the classes as answers."""
    answers = {
        str(index): {"answer": name, "color": _color(index, len(design.classes)), "hide": False}
        for index, name in enumerate(design.classes)
    }
    return {
        "name": "Reference sample",
        "description": f"{len(design.units)} points drawn at random. Say what is there, by imagery alone.",
        "plotDistribution": "csv",
        "plotFileName": CEO_PLOTS,
        "plotShape": "square",
        "plotSize": pixel,
        "sampleDistribution": "center",
        "allowDrawnSamples": False,
        "surveyQuestions": {
            "0": {
                "question": QUESTION,
                "componentType": "button",
                "dataType": "text",
                "cardOrder": 1,
                "hideQuestion": False,
                "parentQuestionId": -1,
                "parentAnswerIds": [],
                "answers": answers,
            }
        },
        "surveyRules": [],
    }


def _color(index: int, count: int) -> str:
    """Colours that say nothing but which is which, evenly round the circle."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb(index / max(count, 1), 0.7, 0.9)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
