"""A standalone script that runs a deployed forest without cropmap: for the Code Editor, or for Python.

The scripts are written by hand (`forest_scripts`), to be read and changed by their users. Here they get
their settings, and lose the parts that a forest does not need. They say what
`gee_pipeline.earthengine.forest.forest_graph` says, pixel by pixel.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal

import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.bands import PIXEL_SIZE, REFLECTANCE_SCALE, VALID_MAX, VALID_MIN
from gee_pipeline.earthengine.client.settings import Cropland
from gee_pipeline.earthengine.composites import graph, search
from gee_pipeline.earthengine.composites.blocks import Block, plan_blocks
from gee_pipeline.earthengine.composites.tasks import crs_code
from gee_pipeline.earthengine.forest.classifier_assets import LINE_END, MODES
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT
from gee_pipeline.errors import InputError
from gee_pipeline.features.harmonic import (
    COEFFICIENTS,
    DARKEST_GREEN,
    HALF_UP,
    VARIABLES,
    bin_days,
    fit_matrix,
)
from gee_pipeline.grid import Grid
from gee_pipeline.layers import HALF_AND_MORE, LayerName, band_names
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import Season
from inference.deployment.deployment import Deployment, ensemble_count, ensembles
from inference.models.forest_model import ForestModel
from inference.product.legend import Legend

Language = Literal["javascript", "python"]

SCORE_MARGIN: Final = 1.0
"""Degrees, about a tile: a scene keeps its score, also where the footprint of the score ends short of the
tile."""

TILE_PIXELS: Final = 10_240
"""Pixels along one side of a tile, which is one export task: 102.4 km, about a tile of Sentinel-2."""

MOST_CORNERS: Final = 2_000
"""Corners of an area that a script carries, about 50 kB; of a larger one it maps the whole tiles."""

MOST_SHOWN: Final = 2
"""Tiles that become a layer in the Code Editor."""

LARGE: Final = 500_000
"""Characters from which on a script is unwieldy in the Code Editor."""


@dataclass(frozen=True)
class ScriptRequest:
    """What a script shall map, and with which forest."""

    model: ForestModel
    """The forest."""
    deployment: Deployment
    """How it came to the servers."""
    grid: Grid
    """Pixels of the map."""
    area: BaseGeometry
    """The area to map: polygon in the grid's CRS."""
    season: Season
    """The season to map."""
    name: str
    """What tasks and files are called; letters, digits, dashes and underscores."""
    cropland: Cropland = "none"
    """Cropland mask of the servers."""
    layers: tuple[LayerName, ...] = ()
    """Layers on request, in the order of the table."""
    project: str = "my-project"
    """Google Cloud project that the Python script works for."""
    folder: str = "cropmap"
    """Folder of Google Drive that the files go to."""

    def __post_init__(self) -> None:
        self.deployment.require_of(self.model)
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", self.name):
            raise InputError(
                "The name of a script's tasks has 1 to 60 letters, digits, dashes and underscores, got "
                f"{self.name!r}. Give another --name."
            )

    @property
    def outlined(self) -> bool:
        """Whether the script carries the area; if not, it maps the whole tiles."""
        return bool(shapely.get_num_coordinates(self.area) <= MOST_CORNERS)


def write_script(request: ScriptRequest, language: Language) -> str:
    """The script as text; nothing is sent.

    Args:
        request: What it shall do.
        language: JavaScript for the Code Editor, or Python that needs the package `ee` only.
    """
    dialect = _DIALECTS[language]
    text = (resources.files("inference.deployment") / "forest_scripts" / dialect.file).read_text(
        encoding="utf-8"
    )
    body = "\n".join(_wanted(text.splitlines(), dialect.mark, _parts(request)))
    settings = "\n".join(_declared(request, dialect, body))
    return _heading(request, language) + body.replace(f"{dialect.mark}: settings", settings).rstrip() + "\n"


def notices(request: ScriptRequest, text: str) -> list[str]:
    """What the user should know of a script, one sentence each.

    Args:
        request: What it does.
        text: What `write_script` gave.
    """
    found = []
    if not request.outlined:
        found.append(_UNCUT[1])
    if len(text) > LARGE:
        found.append(
            f"The script has {len(text):,} characters, which the Code Editor may not take. Deploy the forest "
            "as an asset with 'cropmap forest deploy --way classifier'."
        )
    return found


@dataclass(frozen=True)
class _Dialect:
    """What a language has of its own."""

    mark: str
    """Begins a comment."""
    constant: str
    """Declares a name and its value."""
    file: str
    """Its template."""


_DIALECTS: Final[dict[Language, _Dialect]] = {
    "javascript": _Dialect("//", "var {} = {};", "forest_map.js"),
    "python": _Dialect("#", "{} = {}", "forest_map.py.txt"),
}


def _wanted(lines: list[str], mark: str, parts: Set[str]) -> Iterator[str]:
    """The lines of a template that belong to some parts.

    `//: when a b` begins lines that are wanted where a or b is among the parts; `//: always` ends them.
    """
    wanted = True
    for line in lines:
        kind, _, names = line.removeprefix(f"{mark}: ").partition(" ")
        if line.startswith(f"{mark}: ") and kind in ("when", "always"):
            wanted = kind == "always" or not parts.isdisjoint(names.split())
        elif wanted:
            yield line


def _parts(request: ScriptRequest) -> set[str]:
    """The parts of the templates that a script takes."""
    deployment, model = request.deployment, request.model
    return {
        deployment.way,
        deployment.confidence,
        model.features,
        "scl" if _cloud_rule(model.recipe).scl_clear else "no-scl",
        *(["layers", *request.layers] if request.layers else ["no-layers"]),
        *(["plain"] if not request.layers and deployment.confidence != "none" else []),
        *(["cropland"] if request.cropland != "none" else []),
        *(["area"] if request.outlined else []),
    }


def _heading(request: ScriptRequest, language: Language) -> str:
    title = f"Crop map {request.name}, {request.season.year}: a Random Forest that runs inside Earth Engine."
    lines = [title, "", *_ABOUT, *([] if request.outlined else _UNCUT), "", *_USE[language]]
    if language == "python":
        return '"""' + "\n".join(lines) + '\n"""\n\n'
    return "\n".join(f"// {line}".rstrip() for line in lines) + "\n\n"


_ABOUT: Final = (
    "Written by cropmap (cropmap forest code). The same scenes, composites, gap filling, features, classes",
    "and pixel grid as 'cropmap forest predict'; only along the edge of the area a pixel may differ.",
    "",
    "Codes of the band 'class': 0 outside the area; 1 and more a class; 254 not cropland; 255 too few",
    "clear observations. 'confidence' is in percent, 255 where there is none. 'clear' counts the bins with",
    "an observation, 255 where it is not cropland.",
)

_UNCUT: Final = (
    "",
    f"The area has more than {MOST_CORNERS:,} corners, so whole tiles are mapped; cut the map afterwards.",
)

_USE: Final[dict[Language, tuple[str, ...]]] = {
    "javascript": (
        "Paste it into https://code.earthengine.google.com and press Run. Each tile becomes a task, which is",
        "started under 'Tasks'. A layer is computed when it is ticked under 'Layers'.",
    ),
    "python": (
        "pip install earthengine-api; earthengine authenticate; then run this file. Each tile becomes a task",
        "that writes a GeoTIFF to Google Drive.",
    ),
}


Settings = tuple[str, dict[str, Any]]
"""What some constants mean, and their values by name."""


def _declared(request: ScriptRequest, dialect: _Dialect, body: str) -> Iterator[str]:
    """The lines that give a script its constants, each with what it means, without those it does not use."""
    used = set(re.findall(r"\w+", body))
    for text, values in _settings(request):
        wanted = [
            dialect.constant.format(name, _literal(value)) for name, value in values.items() if name in used
        ]
        if wanted:
            yield from (f"{dialect.mark} {text}", *wanted, "")


def _settings(request: ScriptRequest) -> Iterator[Settings]:
    yield from _place(request)
    yield from _rules(request)
    yield from _map(request.model)
    yield from _layers(request)
    yield from _harmonic(request.model)
    yield from _trees(request.model, request.deployment)


def _about(text: str, **values: Any) -> Settings:
    return text, values


def _place(request: ScriptRequest) -> Iterator[Settings]:
    tiles = [_tile(request.grid, block) for block in _tiles(request)]
    yield _about("Google Cloud project that Earth Engine counts the work for.", PROJECT=request.project)
    yield _about(
        "Name of tasks and files, and folder of Google Drive.", NAME=request.name, FOLDER=request.folder
    )
    yield _about(
        "CRS and size of a pixel in metres.", CRS=crs_code(request.grid.geobox), PIXEL_SIZE=PIXEL_SIZE
    )
    yield _about(
        "Tiles: left upper corner in metres, size in pixels, and the box around in degrees.", TILES=tiles
    )
    if request.outlined:
        yield _about("The area in the CRS: polygons of rings of corners.", AREA=_corners(request.area))
    yield _about("Tiles that become a layer.", MOST_SHOWN=MOST_SHOWN)


def _rules(request: ScriptRequest) -> Iterator[Settings]:
    recipe, window = request.model.recipe, request.model.recipe.window
    cloud = _cloud_rule(recipe)
    yield _about(
        "Sentinel-2 surface reflectance and Cloud Score+.",
        SENTINEL_2=recipe.sensors[0].sensor.collection,
        CLOUD_SCORE=_score_collection(recipe),
    )
    yield _about(
        "Degrees by which scenes and scores are looked for around a tile.",
        SEARCH_MARGIN=search.MARGIN,
        SCORE_MARGIN=SCORE_MARGIN,
    )
    yield _about(
        "The season: its first day, hours by which the clock of its days is ahead of UTC, days of a bin, and "
        "the bins that the forest looks at.",
        SEASON_START=request.season.start.isoformat(),
        HOURS_AHEAD=request.season.hours_ahead,
        BIN_DAYS=_days(recipe),
        FIRST_BIN=window[0],
        LAST_BIN=window[-1],
    )
    yield _about(
        "Bands, and the values that an observation can have.",
        BANDS=list(recipe.bands),
        SMALLEST=VALID_MIN,
        LARGEST=VALID_MAX,
    )
    yield _about(
        f"A pixel is clear where this score is at least {cloud.threshold:g}, less what 32 bits lose.",
        SCORE_BAND=cloud.score_band,
        LEAST_CLEAR=cloud.least_clear,
    )
    yield _about(
        "Scene classes that are clear where a scene has no Cloud Score+.",
        CLEAR_CLASSES=list(cloud.scl_clear),
    )
    yield _about(
        "ESA WorldCover, and its class of cropland.",
        WORLDCOVER=graph.WORLDCOVER,
        CROPLAND_CLASS=graph.CROPLAND_CLASS,
    )


def _cloud_rule(recipe: Recipe) -> CloudRule:
    """The rule for clear pixels of the one sensor that scripts know: reflectance with Cloud Score+.

    Raises:
        InputError: The recipe has other sensors.
    """
    (group, *more) = recipe.sensors
    if more or group.clear is None:
        raise InputError(
            f"A script is written for forests on Sentinel-2 alone, got {', '.join(recipe.sensor_names)}. "
            "Deploy the forest and map with `cropmap forest predict` (it takes all sensors)."
        )
    return group.clear


def _score_collection(recipe: Recipe) -> str | None:
    clouds = recipe.sensors[0].sensor.clouds
    return clouds.score_collection if clouds else None


def _map(model: ForestModel) -> Iterator[Settings]:
    yield _about(
        "Classes of the forest, and all codes of the map.",
        CLASSES=[{"code": crop.code, "name": crop.name, "color": crop.color} for crop in model.classes],
        LEGEND=[{"code": e.code, "name": e.name, "color": e.color} for e in Legend.of(model.classes).entries],
    )
    yield _about(
        "A pixel with fewer observed bins has no class; and what pixels without one get.",
        MIN_CLEAR_BINS=model.recipe.min_clear_bins,
        OUTSIDE=OUTSIDE,
        NOT_CROPLAND=NOT_CROPLAND,
        NOT_ENOUGH=NOT_ENOUGH,
        NO_VALUE=NONE,
    )


def _layers(request: ScriptRequest) -> Iterator[Settings]:
    classes = len(request.model.classes)
    _, *values = band_names(request.layers, classes)
    yield _about(
        "Bands besides the class, and those among them that are layers on request.",
        VALUE_BANDS=values,
        LAYER_BANDS=values[len(band_names((), classes)) - 1 :],
    )
    yield _about(
        "What makes an entropy percent, and whole numbers: halves round up.",
        ENTROPY_FACTOR=-100 / math.log(classes) if classes > 1 else 0,
        HALF_AND_MORE=HALF_AND_MORE,
    )


def _harmonic(model: ForestModel) -> Iterator[Settings]:
    yield _about(
        "Reflectance 1, the darkest green that counts, and what makes coefficients whole numbers.",
        REFLECTANCE_SCALE=REFLECTANCE_SCALE,
        DARKEST_GREEN=DARKEST_GREEN,
        HALF_UP=HALF_UP,
    )
    yield _about(
        "What the waves are fitted to, their coefficients, and the weights of the bins in each.",
        VARIABLES=list(VARIABLES),
        COEFFICIENTS=list(COEFFICIENTS),
        WEIGHTS=fit_matrix(bin_days(model.recipe)).tolist(),
    )


def _trees(model: ForestModel, deployment: Deployment) -> Iterator[Settings]:
    shares = deployment.confidence == "probability"
    yield _about("Trees of the forest.", TREES_OF_FOREST=deployment.trees)
    yield _about(
        "The strength of a class that all trees vote for.",
        WHOLE=deployment.trees * (SHARE_UNIT if shares else 1),
    )
    yield _about(
        "Assets of the trees; where they are tables, the classifiers they make and what ends a line in them.",
        ASSETS=list(deployment.assets),
        ENSEMBLES=ensemble_count(deployment),
        LINE_END=LINE_END,
    )
    if deployment.way == "inline":
        trees = [list(one) for one in ensembles(model, deployment.confidence)]
        yield _about("The trees of each classifier, in the print format of R's rpart.", TREES=trees)
    yield _about("What the classifiers answer.", OUTPUT_MODE=MODES[deployment.confidence])


def _tiles(request: ScriptRequest) -> list[Block]:
    grid = request.grid
    return plan_blocks(grid.cells_touching(request.area), max(TILE_PIXELS // grid.cell_size, 1))


def _tile(grid: Grid, block: Block) -> dict[str, Any]:
    box = block.geobox(grid)
    west, south, east, north = search.lonlat_bounds(box)
    height, width = box.shape
    return {
        "name": block.name,
        "left": _whole(box.transform.c),
        "top": _whole(box.transform.f),
        "width": width,
        "height": height,
        "west": round(west, 6),
        "south": round(south, 6),
        "east": round(east if east >= west else east + 360, 6),
        "north": round(north, 6),
    }


def _corners(area: BaseGeometry) -> list[list[list[list[float]]]]:
    """Polygons, their rings, the corners of these; to a millimetre."""
    parts = [part for part in getattr(area, "geoms", [area]) if not part.is_empty]
    return [
        [[[round(x, 3), round(y, 3)] for x, y in ring.coords] for ring in (part.exterior, *part.interiors)]
        for part in parts
    ]


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def _literal(value: Any) -> str:
    """A value in the words that both languages share; a list of lists or objects takes a line an item."""
    if isinstance(value, list) and value and isinstance(value[0], (list, dict)):
        items = ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value)
        return f"[\n{items}\n]"
    return json.dumps(value, ensure_ascii=False)


def _days(recipe: Recipe) -> int:
    """Days of a bin, which the script counts with."""
    if recipe.bin_days == "month":
        raise InputError(
            "A script counts its bins in days, not in calendar months. Train the forest with --bin-days 30."
        )
    return recipe.bin_days
