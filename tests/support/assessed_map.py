"""A made map of a run, with confidence and probabilities, whose truth is known at every pixel."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray

NAMES = {1: "wheat", 2: "maize", 3: "other", 254: "not cropland", 255: "not enough observations"}
WEST, NORTH, SIDE = 500_000.0, 5_000_000.0, 10.0
CRS = "EPSG:32633"
SHAPE = (90, 120)


@dataclass(frozen=True)
class AssessedPlace:
    """A run folder that holds a map and nothing else."""

    folder: Path
    codes: NDArray[np.uint8]
    """`(y, x)` of the map."""
    confidence: NDArray[np.uint8]
    """`(y, x)`."""
    probabilities: NDArray[np.uint8]
    """`(class, y, x)`, percent."""
    truth: NDArray[np.uint8]
    """`(y, x)`: code of what is there, 1 to 3 or 254; 0 outside."""

    @property
    def sample(self) -> Path:
        return self.folder / "assessment"

    def write_districts(self, path: Path) -> Path:
        """Two halves, the south one in two polygons; a strip in the east lies in none."""
        east, middle, south = WEST + 1000, NORTH - 400, NORTH - 900
        half = WEST + 500
        boxes = [(WEST, middle, east, NORTH), (WEST, south, half, middle), (half, south, east, middle)]
        frame = geopandas.GeoDataFrame(
            {"name": ["North", "South", "South"]}, geometry=[shapely.box(*b) for b in boxes], crs=CRS
        )
        frame.to_file(path, driver="GPKG")
        return path

    def answer(
        self, path: Path, change: Callable[[dict[str, Any]], Mapping[str, Any] | None] = lambda row: row
    ) -> Path:
        """What a perfect interpreter answers, each row changed, or left out where the change gives None."""
        rows = []
        for row in key_rows(self.sample):
            said = NAMES[int(self.truth[int(row["row"]), int(row["col"])])]
            rows.append(change({"id": row["id"], "lon": row["lon"], "lat": row["lat"], "answer": said}))
        write_rows(path, [row for row in rows if row is not None])
        return path


def key_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "key.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[Any]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def made_place(folder: Path, *, seed: int = 3, shape: tuple[int, int] = SHAPE) -> AssessedPlace:
    """A run whose map is right where its probabilities say so, on average."""
    rng = np.random.default_rng(seed)
    parts = rng.dirichlet((0.5, 0.35, 0.6), shape)
    probabilities = np.moveaxis(np.round(100 * parts).astype(np.uint8), -1, 0)
    truth = (1 + (rng.random(shape)[..., None] > np.cumsum(parts, axis=-1)[..., :2]).sum(-1)).astype(np.uint8)
    codes = (1 + probabilities.argmax(0)).astype(np.uint8)
    confidence = probabilities.max(0)
    for code, share in ((255, 0.05), (254, 0.1)):
        hidden = rng.random(shape) < share
        codes[hidden], confidence[hidden], probabilities[:, hidden] = code, 255, 255
    truth[(codes == 254) & (rng.random(shape) < 0.9)] = 254
    outside = np.zeros(shape, bool)
    outside[:, -10:] = True
    codes[outside], confidence[outside], probabilities[:, outside], truth[outside] = 0, 255, 255, 0
    place = AssessedPlace(folder, codes, confidence, probabilities, truth)
    write_map(place)
    return place


def write_map(place: AssessedPlace) -> None:
    """The rasters and the report of the map."""
    tags = {f"CLASS_{code}": name for code, name in ({0: "outside"} | NAMES).items()}
    write_raster(place.folder / "map" / "crop_map.tif", place.codes[None], 0, tags)
    write_raster(place.folder / "map" / "confidence.tif", place.confidence[None], 255)
    write_raster(place.folder / "map" / "probabilities.tif", place.probabilities, 255)
    classes = [
        {"code": c, "name": NAMES[c], "mean_confidence": float(place.confidence[place.codes == c].mean())}
        for c in (1, 2, 3)
    ]
    (place.folder / "map" / "report.json").write_text(json.dumps({"classes": classes}), encoding="utf-8")


def write_raster(
    path: Path, bands: NDArray[Any], nodata: int | None, tags: Mapping[str, str] | None = None, **profile: Any
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = bands.shape
    values: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": bands.dtype,
        "crs": CRS,
        "transform": Affine(SIDE, 0, WEST, 0, -SIDE, NORTH),
        "nodata": nodata,
    }
    with rasterio.open(path, "w", **(values | profile)) as file:
        file.write(bands)
        file.update_tags(**(tags or {}))
    return path
