"""What commands about a finished map are given: a sample with answers, parcels, districts, tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import shapely

from tests.faults.commands import Command
from tests.faults.places import SIZE
from tests.support.fake_catalog import LEFT, TOP, UTM32

SAMPLE: Final = ("assess", "design", "run", "--points", 40, "--floor", 2, "--quiet", "--out")
REPORT: Final = ("assess", "report", "sample", "answers.csv", "--quiet", "--out", "new")
DISTRICTS: Final = (
    "--strata",
    "class+district",
    "--districts",
    "districts.gpkg",
    "--district-column",
    "name",
)
SHEET: Final = ("assess", "sheet", "run", "--sample", "sample", "--quiet")
FIELDS: Final = ("fields", "run", "--id", "key", "--declared", "crop", "--quiet", "--out", "new", "--parcels")
SMOOTH: Final = ("smooth", "probable", "--quiet")
SIEVE: Final = ("smooth", "run", "--method", "sieve", "--quiet")
PAGE: Final = ("report", "run", "--agency", "Office", "--out", "new/page.html")
PUBLISH: Final = ("publish", "probable", "--quiet", "--agency", "Office", "--to")
AREAS: Final = (
    "--districts",
    "districts.gpkg",
    "--district-column",
    "name",
    "--statistics",
    "statistics.csv",
)
VERIFY_PUBLISHED: Final = ("verify", "published")
VERIFY: Final = ("verify", "probable", "--cells", 1)
ELSEWHERE: Final = ("assess", "report", "strata.csv", "points.csv", "--quiet", "--out", "new")
VISITS: Final = ("assess", "agreement", "run", "visits.csv", "--json")
RASTER: Final = ("assess", "design", "reference.tif", "--legend", "codes.csv", "--points", 40, "--quiet")


def add_assessed(place: Path) -> None:
    """Files for the commands above, beside a finished run of a place and one with probabilities."""
    outcome = Command.of(place, *SAMPLE, "sample").run()
    assert outcome.code == 0, outcome.stderr
    with (place / "sample" / "key.csv").open(newline="", encoding="utf-8") as file:
        key = list(csv.DictReader(file))
    classes = sorted({row["map"] for row in key} - {"not enough observations", "not cropland"})
    answers = [classes[n % 4 % len(classes)] for n in range(len(key))]
    rows = [
        {"id": row["id"], "lon": row["lon"], "lat": row["lat"], "answer": answer}
        for row, answer in zip(key, answers, strict=True)
    ]
    _write(place / "answers.csv", rows)
    points = geopandas.points_from_xy([float(r["lon"]) for r in rows], [float(r["lat"]) for r in rows])
    frame = geopandas.GeoDataFrame(
        {k: [r[k] for r in rows] for k in ("id", "answer")}, geometry=points, crs=4326
    )
    frame.to_file(place / "answers.gpkg")
    _write(place / "visits.csv", [{"lon": r["lon"], "lat": r["lat"], "label": r["answer"]} for r in rows])
    _tables(place)
    _write(place / "statistics.csv", [{"class": name, "hectares": 9} for name in classes])
    _polygons(place, classes)
    outcome = Command.of(place, *PUBLISH, "published").run()
    assert outcome.code == 0, outcome.stderr


def _tables(place: Path) -> None:
    """A sample that was drawn elsewhere, and the legend of a raster."""
    _write(place / "strata.csv", [{"stratum": name, "pixels": 900, "hectares": 9} for name in "ab"])
    _write(
        place / "points.csv",
        [{"id": n, "stratum": "ab"[n % 2], "map": "ab"[n % 2], "answer": "ab"[n % 5 % 2]} for n in range(40)],
    )
    _write(place / "codes.csv", [{"code": code, "name": f"class {code}"} for code in range(8)])


def _polygons(place: Path, classes: list[str]) -> None:
    half, side = LEFT + 5 * SIZE, 10 * SIZE
    districts = [shapely.box(LEFT, TOP - side, half, TOP), shapely.box(half, TOP - side, LEFT + side, TOP)]
    frame = geopandas.GeoDataFrame({"name": ["West", "East"]}, geometry=districts, crs=UTM32)
    frame.to_file(place / "districts.gpkg")
    corners = np.random.default_rng(4).uniform(0, side - 90, (30, 2))
    boxes = [shapely.box(LEFT + x, TOP - y - 75, LEFT + x + 60, TOP - y) for x, y in corners]
    columns = {"key": range(7, 37), "crop": [classes[n % len(classes)] for n in range(30)]}
    parcels = geopandas.GeoDataFrame(columns, geometry=boxes, crs=UTM32)
    parcels.to_file(place / "parcels.gpkg")
    parcels.to_parquet(place / "parcels.parquet")
    parcels.to_crs(4326).to_file(place / "parcels.geojson")


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
