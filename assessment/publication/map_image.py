"""A finished map as an image asset of Earth Engine is to be: its bands, pixels, days and properties."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from odc.geo.geobox import GeoBox

from assessment.document.facts import Words, smoothed_map
from assessment.sample.map_file import AssessedMap, open_map, reading
from gee_pipeline.earthengine.client.image_manifest import ImageToIngest, ManifestBand, Pyramids
from gee_pipeline.errors import CorruptFileError
from gee_pipeline.files import read_json
from gee_pipeline.layers import CROP_MAP, Layer, in_order, placed
from inference.product.legend import Legend, read_legend

SMOOTHED_BAND: Final = "smoothed"
"""Name of the band with the classes of a smoothed map."""

_PYRAMIDS: Final[Mapping[str, Pyramids]] = {"MODE": "MODE", "AVERAGE": "MEAN"}
"""How Earth Engine makes coarser pixels, by how GDAL does."""


@dataclass(frozen=True)
class MapImage:
    """A map on its way to Earth Engine."""

    image: ImageToIngest
    """The asset as it is to be."""
    files: Mapping[str, Path]
    """Where its files are, by name."""
    title: str
    """What the map is called."""
    digest: str
    """SHA-256 of place and pixels of its classes."""
    simulated: bool
    """Whether its scenes are simulated."""
    legend: Legend
    """What the codes of its classes mean."""

    @property
    def lines(self) -> tuple[str, str]:
        """Two lines for the Code Editor that show the classes in their colours.

        Lists cannot be properties of an asset that was ingested, so the lines set them.
        """
        band, entries = CROP_MAP.band, self.legend.entries
        lists = {
            f"{band}_class_values": [entry.code for entry in entries],
            f"{band}_class_names": [entry.name for entry in entries],
            f"{band}_class_palette": [entry.color[1:] for entry in entries],
        }
        name = json.dumps(self.image.name)
        title = json.dumps(f"{self.title} (simulated)" if self.simulated else self.title)
        return (
            f"var map = ee.Image({name}).select({json.dumps(band)}).set({json.dumps(lists)});",
            f"Map.centerObject(map); Map.addLayer(map, {{}}, {title});",
        )


def map_image(run: Path, asset: str, words: Words, *, smoothed: bool = False) -> MapImage:
    """The image that a finished map becomes, with all layers that it has.

    Args:
        run: Folder of the run.
        asset: `projects/P/assets/NAME`.
        words: What the publisher says of it.
        smoothed: Whether the classes of the smoothed map are a band too.

    Raises:
        IncompleteRunError: The map is not whole.
        InputError: The folder holds no run, or there is no smoothed map.
        CorruptFileError: A raster of the map is missing or damaged.
        MismatchError: A raster is of another map.
    """
    known = open_map(run)
    report, legend = (
        read_json(known.path.with_name("report.json")),
        read_legend(known.path.with_name("legend.json")),
    )
    names = in_order(layer["name"] for layer in report.get("layers", ()))
    paths, bands = {}, list[ManifestBand]()
    for one in placed(names, len(legend.crops)):
        path = _raster(known, one.layer)
        paths[path.name] = path
        bands += _bands(one.layer, path.name, one.layer.bands(len(legend.crops)))
    if smoothed:
        path = smoothed_map(run)
        paths[path.name] = path
        bands += _bands(CROP_MAP, path.name, (SMOOTHED_BAND,))
    for path in paths.values():
        with reading(path, known):  # on the pixels of the map
            pass
    title, digest = words.title or str(report["title"]), known.digest()
    season = report["season"]
    image = ImageToIngest(
        asset,
        tuple(bands),
        GeoBox(known.shape, known.transform, known.crs),
        date.fromisoformat(season["first_day"]),
        date.fromisoformat(season["last_day"]) + timedelta(days=1),
        _properties(report, legend, words, title, known.run) | {"map_sha256": digest},
    )
    return MapImage(image, paths, title, digest, bool(report["simulated"]), legend)


def _raster(known: AssessedMap, layer: Layer) -> Path:
    path = known.path if layer == CROP_MAP else known.beside(f"{layer.name}.tif")
    if path is None:
        raise CorruptFileError(
            f"The map in {known.path.parent} lacks {layer.name}.tif, which its report names. Make the map "
            "again."
        )
    return path


def _bands(layer: Layer, file: str, names: Sequence[str]) -> list[ManifestBand]:
    policy = _PYRAMIDS[layer.overviews]
    return [ManifestBand(name, file, index, layer.nodata, policy) for index, name in enumerate(names)]


def _properties(
    report: Mapping[str, Any], legend: Legend, words: Words, title: str, run: str
) -> dict[str, str | int | float]:
    """What is said of the map, in texts and numbers; what is not known is left out."""
    said = {name: text for name, text in asdict(words).items() if name != "title"}
    window = report["model_window"]
    entries = legend.entries
    values: dict[str, str | int | float | None] = {
        "title": title,
        "description": " ".join([f"{title}.", *report["notices"]]),
        "simulated": "true" if report["simulated"] else None,
        "year": report["year"],
        "model": report["model"]["name"],
        "model_digest": report["model"]["digest"],
        "model_window": f"{window['first_day']} to {window['last_day']}",
        "recipe_digest": report["recipe"]["digest"],
        "run_digest": run,
        "cropmap_version": report["cropmap_version"],
        "attribution": report["attribution"],
        "class_values": _list(str(entry.code) for entry in entries),
        "class_names": _list(entry.name for entry in entries),
        "class_palette": _list(entry.color[1:] for entry in entries),
        **said,
    }
    return {name: value for name, value in values.items() if value not in (None, "")}


def _list(texts: Any) -> str:
    """Texts as one, with commas between them and in none of them."""
    return ",".join(text.replace(",", ";") for text in texts)
