"""What a request for an export asks for: image, grid, destination and files, or an asset and its content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from affine import Affine

from tests.support.ee_emulator.assets import check_name
from tests.support.ee_emulator.faults import Refusal, foreign_project, unknown_field
from tests.support.ee_emulator.grid import BadGrid, Grid, grid_of

_FIELDS: Final = {
    "expression",
    "description",
    "fileExportOptions",
    "assetExportOptions",
    "grid",
    "maxPixels",
    "maxWorkers",
    "priority",
    "requestId",
    "workloadTag",
}
_CLASSIFIER_FIELDS: Final = {
    "expression",
    "description",
    "assetExportOptions",
    "maxWorkers",
    "priority",
    "requestId",
    "workloadTag",
}
_TABLE_FIELDS: Final = _CLASSIFIER_FIELDS | {"selectors", "maxErrorMeters", "maxVertices"}
_OPTIONS: Final = {"fileFormat", "cloudStorageDestination", "driveDestination", "geoTiffOptions"}
_TIFF: Final = {"cloudOptimized", "noData", "tileDimensions", "tileSize", "skipEmptyFiles", "metadataKeys"}

DEFAULT_SHARD: Final = 256
DEFAULT_MAX_PIXELS: Final = 100_000_000


@dataclass(frozen=True)
class Export:
    """One `image:export`, understood."""

    expression: dict[str, Any]
    """The image, without the nodes by which the client said the grid."""
    grid: Grid
    bucket: str | None
    """Bucket of Cloud Storage; None is Drive."""
    folder: str | None
    """Folder of Drive; None is its root."""
    prefix: str
    file_size: tuple[int, int] | None
    """Width and height of a file; None is one file."""
    nodata: float | None
    skip_empty: bool
    max_pixels: int

    def files(self) -> list[tuple[str, Grid]]:
        """Names and grids of the files, row by row.

        A split image gets the first row and the first column of each file into its name; one that fits a file
        does not.
        """
        width, height = self.file_size or (self.grid.width, self.grid.height)
        if width >= self.grid.width and height >= self.grid.height:
            return [(f"{self.prefix}.tif", self.grid)]
        return [
            (f"{self.prefix}-{row:010d}-{column:010d}.tif", self.grid.window(column, row, width, height))
            for row in range(0, self.grid.height, height)
            for column in range(0, self.grid.width, width)
        ]


@dataclass(frozen=True)
class AssetExport:
    """One `table:export` or `classifier:export`, understood."""

    expression: dict[str, Any]
    name: str
    """projects/PROJECT/assets/NAME."""
    overwrite: bool


def asset_export_of(body: dict[str, Any], project: str, *, table: bool) -> AssetExport:
    """What an export to an asset asks for.

    Args:
        body: The request.
        project: The only project that assets can be written to.
        table: Whether it is a table, not a classifier.

    Raises:
        Refusal: A field is unknown, or it asks for something that the emulator does not do.
    """
    _only(body, _TABLE_FIELDS if table else _CLASSIFIER_FIELDS)
    if body.get("selectors"):
        raise Refusal(400, "The emulator exports all columns of a table; it knows no selectors.")
    options = body.get("assetExportOptions", {})
    _only(options, {"earthEngineDestination"})
    destination = options.get("earthEngineDestination")
    if not destination:
        raise Refusal(400, "The emulator exports tables and classifiers to assets only.")
    _only(destination, {"name", "overwrite"})
    check_name(destination["name"])
    if destination["name"].split("/")[1] != project:
        raise foreign_project(destination["name"].split("/")[1])
    return AssetExport(body["expression"], destination["name"], destination.get("overwrite", False))


def export_of(body: dict[str, Any]) -> Export:
    """What an `image:export` to Cloud Storage or Drive asks for.

    Raises:
        Refusal: A field is unknown, or it asks for something that the emulator does not do.
    """
    _only(body, _FIELDS)
    options = body.get("fileExportOptions")
    if not options:
        raise Refusal(400, "The emulator exports images to Cloud Storage and Drive only.")
    _only(options, _OPTIONS)
    if options.get("fileFormat") != "GEO_TIFF":
        raise Refusal(400, f"The emulator exports GEO_TIFF only, not {options.get('fileFormat')!r}.")
    tiff = options.get("geoTiffOptions", {})
    _only(tiff, _TIFF)
    expression, grid = _image_and_grid(body)
    bucket, folder, prefix = _destination(options)
    return Export(
        expression=expression,
        grid=grid,
        bucket=bucket,
        folder=folder,
        prefix=prefix,
        file_size=_file_size(tiff),
        nodata=_value(tiff.get("noData"), "floatValue"),
        skip_empty=tiff.get("skipEmptyFiles", False),
        max_pixels=int(_value(body.get("maxPixels"), "value") or DEFAULT_MAX_PIXELS),
    )


def _only(message: dict[str, Any], names: set[str]) -> None:
    if unknown := set(message) - names:
        raise unknown_field(min(unknown))


def _value(message: dict[str, Any] | None, name: str) -> Any:
    return None if message is None else message[name]


def _destination(options: dict[str, Any]) -> tuple[str | None, str | None, str]:
    if cloud := options.get("cloudStorageDestination"):
        _only(cloud, {"bucket", "filenamePrefix", "permissions", "bucketCorsUris"})
        return cloud["bucket"], None, cloud["filenamePrefix"]
    if drive := options.get("driveDestination"):
        _only(drive, {"folder", "filenamePrefix"})
        return None, drive.get("folder"), drive["filenamePrefix"]
    raise Refusal(400, "fileExportOptions must have a destination.")


def _file_size(tiff: dict[str, Any]) -> tuple[int, int] | None:
    size = tiff.get("tileDimensions")
    if not size:
        return None
    shard = int(_value(tiff.get("tileSize"), "value") or DEFAULT_SHARD)
    if size["width"] % shard or size["height"] % shard:
        raise Refusal(
            400,
            f"fileDimensions ({size['width']}x{size['height']}) must be a multiple of shardSize ({shard}).",
        )
    return size["width"], size["height"]


def _image_and_grid(body: dict[str, Any]) -> tuple[dict[str, Any], Grid]:
    """Image and grid, from the request's grid or from the nodes that `ee.batch.Export` wraps the image in."""
    if "grid" not in body:
        return _unwrapped(body["expression"])
    try:
        return body["expression"], grid_of(body["grid"])
    except BadGrid as error:
        raise Refusal(400, str(error)) from error


def _unwrapped(expression: dict[str, Any]) -> tuple[dict[str, Any], Grid]:
    """Undo `clipToBoundsAndScale(reproject(image, crs, crsTransform), Rectangle([0, 0, width, height]))`.

    That is what the client makes of crs, crsTransform and dimensions. On exactly this grid reprojecting
    changes nothing, so the image inside is what is computed.
    """
    graph = _Graph(expression["values"])
    clip = graph.call(graph.values[expression["result"]], "Image.clipToBoundsAndScale")
    projected = graph.call(clip["input"], "Image.reproject")
    rectangle = graph.call(clip["geometry"], "GeometryConstructors.Rectangle")
    of_projection = graph.call(rectangle["crs"], "Image.projection")["image"]
    if graph.call(of_projection, "Image.reproject") != projected or set(clip) != {"input", "geometry"}:
        raise _no_grid()
    left, top, right, bottom = graph.plain(rectangle["coordinates"])
    crs = graph.plain(graph.call(projected["crs"], "Projection")["crs"])
    transform = Affine(*graph.plain(projected["crsTransform"])) * Affine.translation(left, top)
    values = {**graph.values, "emulated image": projected["image"]}
    inner = {"result": "emulated image", "values": values}
    return inner, Grid(crs, transform, int(right - left), int(bottom - top))


@dataclass(frozen=True)
class _Graph:
    values: dict[str, Any]

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        while "valueReference" in node:
            node = self.values[node["valueReference"]]
        return node

    def call(self, node: dict[str, Any], function: str) -> dict[str, Any]:
        invocation = self.resolved(node).get("functionInvocationValue", {})
        if invocation.get("functionName") != function:
            raise _no_grid()
        return invocation["arguments"]

    def plain(self, node: dict[str, Any]) -> Any:
        node = self.resolved(node)
        if "constantValue" not in node:
            raise _no_grid()
        return node["constantValue"]


def _no_grid() -> Refusal:
    return Refusal(
        400,
        "The emulator exports on an exact grid only: give crs, crsTransform and dimensions, and no region or "
        "scale.",
    )


def check_request_id(name: str) -> None:
    """Refuse an id that the service would refuse: up to 60 letters, digits and hyphens."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", name):
        raise Refusal(400, f"Invalid request_id: '{name}' (up to 60 of the characters a-z, A-Z, 0-9, '-').")
