"""A standalone script that runs a model on Earth Engine without cropmap: for the Code Editor, or for Python.

The scripts are written by hand (`templates`), to be read and changed by their users. Here they get their
settings, and lose the parts that a model does not need. They say what
`gee_pipeline.earthengine.forest.forest_graph` or `gee_pipeline.earthengine.network.network_graph` says, pixel
by pixel.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import shapely
from shapely.geometry.base import BaseGeometry

from gee_pipeline.bands import PIXEL_SIZE, VALID_MAX, VALID_MIN
from gee_pipeline.earthengine.client.settings import Cropland
from gee_pipeline.earthengine.composites import graph, search
from gee_pipeline.earthengine.composites.blocks import Block, plan_blocks
from gee_pipeline.earthengine.composites.tasks import crs_code
from gee_pipeline.earthengine.network.served_network import ServedNetwork
from gee_pipeline.errors import InputError
from gee_pipeline.grid import Grid
from gee_pipeline.layers import HALF_AND_MORE, LayerName, band_names
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH, OUTSIDE
from gee_pipeline.recipe import CloudRule, Recipe
from gee_pipeline.season import Season
from inference.deployment.forest_on_servers import ForestOnServers
from inference.deployment.server_model import ServerModel
from inference.product.legend import Legend, LegendEntry
from inference.scripts.forest_part import forest_part
from inference.scripts.model_part import ModelPart
from inference.scripts.network_part import network_part
from inference.scripts.script_text import DIALECTS, Language, Settings, about, wanted_lines, with_settings

SCORE_MARGIN: Final = 1.0
"""Degrees, about a tile: a scene keeps its score, also where the footprint of the score ends short of the
tile."""

TILE_PIXELS: Final = 10_240
"""Pixels along one side of a tile, which is one export task: 102.4 km, about a tile of Sentinel-2."""

MOST_CORNERS: Final = 2_000
"""Corners of an area that a script carries, about 50 kB; of a larger one it maps the whole tiles."""

MOST_SHOWN: Final = 2
"""Tiles that become a layer in the Code Editor."""

HEADING_WIDTH: Final = 104
"""Characters of a line of a script's heading at most."""

LARGE: Final = 500_000
"""Characters from which on a script is unwieldy in the Code Editor."""


@dataclass(frozen=True)
class ScriptRequest:
    """What a script shall map, and with which model."""

    model: ServerModel
    """The model, and where the servers find it."""
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
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", self.name):
            raise InputError(
                "The name of a script's tasks has 1 to 60 letters, digits, dashes and underscores, got "
                f"{self.name!r}. Give another --name."
            )

    @property
    def outlined(self) -> bool:
        """Whether the script carries the area; if not, it maps the whole tiles."""
        return bool(shapely.get_num_coordinates(self.area) <= MOST_CORNERS)

    @cached_property
    def part(self) -> ModelPart:
        """What the script needs of the model."""
        if isinstance(self.model, ForestOnServers):
            return forest_part(self.model)
        served = self.model.served
        assert isinstance(served, ServedNetwork)
        return network_part(served)


def write_script(request: ScriptRequest, language: Language) -> str:
    """The script as text; nothing is sent.

    Args:
        request: What it shall do.
        language: JavaScript for the Code Editor, or Python that needs the package `ee` only.
    """
    dialect = DIALECTS[language]
    body = "\n".join(wanted_lines(dialect, _parts(request)))
    return _heading(request, language) + with_settings(body, _settings(request), dialect).rstrip() + "\n"


def notices(request: ScriptRequest, language: Language, text: str) -> list[str]:
    """What the user should know of a script, one sentence each.

    Args:
        request: What it does.
        language: Its language.
        text: What `write_script` gave.
    """
    found = []
    if not request.outlined:
        found.append(_UNCUT)
    if language == "javascript" and len(text) > LARGE:
        found.append(
            f"The script has {len(text):,} characters, which the Code Editor may not take. "
            f"{request.part.smaller}"
        )
    return found


def _parts(request: ScriptRequest) -> set[str]:
    """The parts of the templates that a script takes."""
    part = request.part
    return {
        part.name,
        *part.parts,
        "scl" if _cloud_rule(request).scl_clear else "no-scl",
        *(["layers", *request.layers] if request.layers else ["no-layers"]),
        *(["plain"] if part.scored and not request.layers else []),
        *(["cropland"] if request.cropland != "none" else []),
        *(["area"] if request.outlined else []),
    }


def _heading(request: ScriptRequest, language: Language) -> str:
    lines = []
    for paragraph in _paragraphs(request, language):
        lines += [*textwrap.wrap(paragraph, HEADING_WIDTH), ""]
    if language == "python":
        return '"""' + "\n".join(lines) + '"""\n\n'
    return "\n".join(f"// {line}".rstrip() for line in lines[:-1]) + "\n\n"


def _paragraphs(request: ScriptRequest, language: Language) -> Iterator[str]:
    part = request.part
    yield f"Crop map {request.name}, {request.season.year}: {part.title} that runs inside Earth Engine."
    yield (
        f"Written by cropmap ({part.code_command}). The same scenes, composites, filled gaps, classes and "
        f"pixel grid as '{part.map_command}'; only along the edge of the area a pixel may differ."
    )
    yield (
        "Codes of the band 'class': 0 outside the area; 1 and more a class; 254 not cropland; 255 too few "
        "clear observations. 'confidence' is in percent, 255 where there is none. 'clear' counts the bins "
        "with an observation, 255 where it is not cropland."
    )
    if not request.outlined:
        yield _UNCUT
    if language == "python":
        yield (
            "pip install earthengine-api; earthengine authenticate; then run this file. Each tile becomes a "
            "task that writes a GeoTIFF to Google Drive."
        )
    else:
        yield (
            "Paste it into https://code.earthengine.google.com and press Run. Each tile becomes a task, "
            "which is started under 'Tasks'. A layer is computed when it is ticked under 'Layers'."
            f"{part.view}"
        )


_UNCUT: Final = (
    f"The area has more than {MOST_CORNERS:,} corners, so whole tiles are mapped; cut the map afterwards."
)


def _settings(request: ScriptRequest) -> Iterator[Settings]:
    yield from _place(request)
    yield from _rules(request)
    yield from _map(request)
    yield from _layers(request)
    yield from request.part.settings


def _place(request: ScriptRequest) -> Iterator[Settings]:
    tiles = [_tile(request.grid, block) for block in _tiles(request)]
    yield about("Google Cloud project that Earth Engine counts the work for.", PROJECT=request.project)
    yield about(
        "Name of tasks and files, and folder of Google Drive.", NAME=request.name, FOLDER=request.folder
    )
    yield about(
        "CRS and size of a pixel in metres.", CRS=crs_code(request.grid.geobox), PIXEL_SIZE=PIXEL_SIZE
    )
    yield about(
        "Tiles: left upper corner in metres, size in pixels, and the box around in degrees.", TILES=tiles
    )
    if request.outlined:
        yield about("The area in the CRS: polygons of rings of corners.", AREA=_corners(request.area))
    yield about("Tiles that become a layer.", MOST_SHOWN=MOST_SHOWN)


def _rules(request: ScriptRequest) -> Iterator[Settings]:
    recipe, window = request.model.recipe, request.model.recipe.window
    cloud = _cloud_rule(request)
    yield about(
        "Sentinel-2 surface reflectance and Cloud Score+.",
        SENTINEL_2=recipe.sensors[0].sensor.collection,
        CLOUD_SCORE=_score_collection(recipe),
    )
    yield about(
        "Degrees by which scenes and scores are looked for around a tile.",
        SEARCH_MARGIN=search.MARGIN,
        SCORE_MARGIN=SCORE_MARGIN,
    )
    yield about(
        "The season: its first day, hours by which the clock of its days is ahead of UTC, days of a bin, and "
        f"the bins that the {request.part.name} looks at.",
        SEASON_START=request.season.start.isoformat(),
        HOURS_AHEAD=request.season.hours_ahead,
        BIN_DAYS=_days(request),
        FIRST_BIN=window[0],
        LAST_BIN=window[-1],
    )
    yield about(
        "Bands, and the values that an observation can have.",
        BANDS=list(recipe.bands),
        SMALLEST=VALID_MIN,
        LARGEST=VALID_MAX,
    )
    yield about(
        f"A pixel is clear where this score is at least {cloud.threshold:g}, less what 32 bits lose.",
        SCORE_BAND=cloud.score_band,
        LEAST_CLEAR=cloud.least_clear,
    )
    yield about(
        "Scene classes that are clear where a scene has no Cloud Score+.",
        CLEAR_CLASSES=list(cloud.scl_clear),
    )
    yield about(
        "ESA WorldCover, and its class of cropland.",
        WORLDCOVER=graph.WORLDCOVER,
        CROPLAND_CLASS=graph.CROPLAND_CLASS,
    )


def _cloud_rule(request: ScriptRequest) -> CloudRule:
    """The rule for clear pixels of the one sensor that scripts know: reflectance with Cloud Score+.

    Raises:
        InputError: The recipe has other sensors.
    """
    recipe = request.model.recipe
    (group, *more) = recipe.sensors
    if more or group.clear is None:
        raise InputError(
            f"A script is written for a {request.part.name} on Sentinel-2 alone, got "
            f"{', '.join(recipe.sensor_names)}. Map with '{request.part.map_command}' (it takes all sensors)."
        )
    return group.clear


def _score_collection(recipe: Recipe) -> str | None:
    clouds = recipe.sensors[0].sensor.clouds
    return clouds.score_collection if clouds else None


def _map(request: ScriptRequest) -> Iterator[Settings]:
    legend = Legend.of(request.model.classes)
    yield about(
        f"Classes of the {request.part.name}, and all codes of the map.",
        CLASSES=list(map(_entry, legend.crops)),
        LEGEND=list(map(_entry, legend.entries)),
    )
    yield about(
        "A pixel with fewer observed bins has no class; and what pixels without one get.",
        MIN_CLEAR_BINS=request.model.recipe.min_clear_bins,
        OUTSIDE=OUTSIDE,
        NOT_CROPLAND=NOT_CROPLAND,
        NOT_ENOUGH=NOT_ENOUGH,
        NO_VALUE=NONE,
    )


def _entry(entry: LegendEntry) -> dict[str, Any]:
    return {"code": entry.code, "name": entry.name, "color": entry.color}


def _layers(request: ScriptRequest) -> Iterator[Settings]:
    classes = len(request.model.classes)
    _, *values = band_names(request.layers, classes)
    yield about(
        "Bands besides the class, and those among them that are layers on request.",
        VALUE_BANDS=values,
        LAYER_BANDS=values[len(band_names((), classes)) - 1 :],
    )
    yield about(
        "What makes an entropy percent, and whole numbers: halves round up.",
        ENTROPY_FACTOR=-100 / math.log(classes) if classes > 1 else 0,
        HALF_AND_MORE=HALF_AND_MORE,
    )


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


def _days(request: ScriptRequest) -> int:
    """Days of a bin, which the script counts with."""
    days = request.model.recipe.bin_days
    if not isinstance(days, int):
        raise InputError(
            "A script counts its bins in days, not in calendar months. Train the "
            f"{request.part.name} with --bin-days 30."
        )
    return days
