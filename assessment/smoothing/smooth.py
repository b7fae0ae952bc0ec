"""`cropmap smooth`: the map of a run in, a smoothed one beside it out."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from assessment.sample.map_file import PROBABILITIES, AssessedMap, open_map, reading
from assessment.smoothing.compared import compare_accuracy, read_reference
from assessment.smoothing.filters import bayes, likeliest, logits, majority, reach
from assessment.smoothing.request import SMOOTHED_MAP, Changed, SmoothRequest
from assessment.smoothing.sieve import STRIP_PIXELS, sieve
from gee_pipeline.errors import InputError, MismatchError
from gee_pipeline.files import (
    publish,
    require_writable,
    write_bytes,
    write_json,
)
from gee_pipeline.layers import CROP_MAP
from gee_pipeline.map_codes import NONE, OUTSIDE
from inference.product.legend import Legend, read_legend
from inference.product.mosaic import COG_BLOCK, remove_mosaic, write_cog, writing
from inference.product.qgis_style import class_style
from inference.product.statistics import count_values
from inference.run.plan import CONFIG_FILE

REPORT: Final = "report.json"

NEW_MAP: Final = (
    "A smoothed map is a new map: accuracy and areas that were estimated for the other one are not its own. "
    "The points of that sample stay valid, with the classes of the other map as strata."
)
"""Said in the report and by the command."""

LOWEST_PERCENT: Final = 0.0025
"""Probability that 0 percent counts as, and 100 percent lacks: the layer holds whole percents, and what is
rounded to 0 is 0 to half a percent."""

Progress = Callable[[int, int], None]
"""Receives the rows done and all rows."""

Pieces = Iterator[tuple[Window, NDArray[np.uint8]]]
"""Windows that cover the map once, and the new codes `(y, x)` of each."""


def smooth_map(request: SmoothRequest, report: Progress = lambda *_: None) -> Changed:
    """The smoothed map of a run, beside the other one; whole, or not there at all.

    Args:
        request: The run and the method.
        report: Receives the rows done and all rows.

    Raises:
        InputError: The run has no such map, lacks the layer of probabilities, or the answers are faulty.
        IncompleteRunError: The map is not whole yet.
        DiskFullError: The disk has no room.
    """
    assessed = open_map(request.run)
    legend = read_legend(assessed.path.with_name("legend.json"))
    reference = read_reference(request.run, request.answers) if request.answers else None
    work = request.folder.with_name(f"{request.folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    require_writable(work / REPORT)
    try:
        with _opening(request, assessed, legend, work) as opened:
            changed = _write(opened, report)
        if reference:
            accuracy = compare_accuracy(reference, work / SMOOTHED_MAP)
            changed = replace(changed, accuracy=accuracy)
        about = {**request.described(), "map_sha256": assessed.digest(), "note": NEW_MAP}
        write_json(work / REPORT, {**about, **changed.to_dict()})
        publish(work, request.folder, REPORT)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return changed


@dataclass(frozen=True)
class _Opened:
    """A map that is being smoothed."""

    request: SmoothRequest
    map: AssessedMap
    legend: Legend
    work: Path
    codes: Any
    """The class map, open for reading."""
    probabilities: Any
    """The layer of probabilities, open for reading; None where the method needs none."""

    @property
    def classes(self) -> NDArray[np.uint8]:
        return np.array([entry.code for entry in self.legend.crops], np.uint8)


@contextmanager
def _opening(request: SmoothRequest, assessed: AssessedMap, legend: Legend, work: Path) -> Iterator[_Opened]:
    """What a method reads."""
    with reading(assessed.path, assessed) as codes:
        if request.method != "bayes":
            yield _Opened(request, assessed, legend, work, codes, None)
            return
        with reading(_require_probabilities(request, assessed), assessed) as layer:
            opened = _Opened(request, assessed, legend, work, codes, layer)
            if opened.classes.tolist() != list(range(1, layer.count + 1)):
                raise MismatchError(
                    f"{layer.name} has {layer.count} bands, the map {len(opened.classes)} classes: they are "
                    "not of one map. Make the map again."
                )
            yield opened


def _require_probabilities(request: SmoothRequest, assessed: AssessedMap) -> Path:
    path = assessed.beside(PROBABILITIES)
    if path is None:
        raise InputError(
            f"Bayesian smoothing needs the probability of each class, and {assessed.path.parent} has no "
            f"{PROBABILITIES}. Add it with 'cropmap predict --config {request.run / CONFIG_FILE} --layers "
            "probabilities', which takes it from stored composites; or choose --method majority."
        )
    return path


def _majority(opened: _Opened) -> Pieces:
    side, classes = opened.request.side, opened.classes
    for window in opened.map.windows(COG_BLOCK):
        codes = _with_halo(opened.codes, window, reach(side), constant_values=OUTSIDE)[0]
        yield window, majority(codes, classes, side)


def _bayes(opened: _Opened) -> Pieces:
    """Bayesian smoothing; a window without a class is not read."""
    side = opened.request.side
    smoothness = opened.request.described()["smoothness"]
    for window in opened.map.windows(COG_BLOCK):
        codes = opened.codes.read(1, window=window)
        if np.isin(codes, opened.classes).any():
            around = _with_halo(opened.probabilities, window, reach(side), mode="symmetric")
            known = (around != NONE).all(axis=0)
            values = logits(np.where(known, around, 1).astype(np.float64), LOWEST_PERCENT)
            values = bayes(values, known, window=side, smoothness=smoothness)
            values[:, ~np.isin(codes, opened.classes)] = np.nan  # those keep their code
            codes = likeliest(values, codes)
        yield window, codes


def _sieve(opened: _Opened) -> Pieces:
    height, width = opened.map.shape
    rows = max(1, min(height, STRIP_PIXELS // width))

    def strips() -> Iterator[NDArray[np.uint8]]:
        for top in range(0, height, rows):
            yield opened.codes.read(1, window=Window(0, top, width, min(rows, height - top)))

    pixel = abs(opened.map.transform.a * opened.map.transform.e)
    least = math.ceil(round(opened.request.hectares * 10_000 / pixel, 6))
    top = 0
    for codes in sieve(strips, opened.classes, least, opened.work):
        yield Window(0, top, width, len(codes)), codes
        top += len(codes)


_METHODS: Final[dict[str, Callable[[_Opened], Pieces]]] = {
    "bayes": _bayes,
    "majority": _majority,
    "sieve": _sieve,
}


def _with_halo(file: Any, window: Window, halo: int, **padding: Any) -> NDArray[np.uint8]:
    """Bands `(band, y, x)` of a window and what lies around it, padded beyond the edge of the map."""
    height, width = file.shape
    top, left = max(0, window.row_off - halo), max(0, window.col_off - halo)
    bottom = min(height, window.row_off + window.height + halo)
    right = min(width, window.col_off + window.width + halo)
    bands = file.read(window=Window(left, top, right - left, bottom - top))
    above, before = halo - (window.row_off - top), halo - (window.col_off - left)
    below = window.height + 2 * halo - (bottom - top) - above
    behind = window.width + 2 * halo - (right - left) - before
    return np.pad(bands, ((0, 0), (above, below), (before, behind)), **padding)


def _write(opened: _Opened, report: Progress) -> Changed:
    """The raster and what describes it, in a folder; what changed is counted meanwhile."""
    request, legend, work, before = opened.request, opened.legend, opened.work, opened.codes
    mosaic, counts = work / "crop_map.mosaic.tif", np.zeros((1, 256), np.int64)
    pixels, hectares = np.zeros((256, 256), np.int64), np.zeros((2, 256))
    with writing(SMOOTHED_MAP, work), _create(mosaic, before, legend) as out:
        for window, codes in _METHODS[request.method](opened):
            old = before.read(1, window=window)
            _count_changes(opened.map, window, old, codes, pixels, hectares)
            count_values(codes[None], counts)
            out.write(codes, 1, window=window)
            report(window.row_off + window.height, opened.map.shape[0])
        tags = before.tags() | {f"SMOOTHED_{k.upper()}": str(v) for k, v in request.described().items()}
    tags["TIFFTAG_IMAGEDESCRIPTION"] = (
        f"Smoothed ({request.method}): {tags.get('TIFFTAG_IMAGEDESCRIPTION', '')}"
    )
    write_cog(mosaic, work / SMOOTHED_MAP, CROP_MAP, counts, tags)
    remove_mosaic(mosaic)
    write_bytes(work / f"{SMOOTHED_MAP}.aux.xml", legend.to_pam())
    write_bytes((work / SMOOTHED_MAP).with_suffix(".qml"), class_style(legend))
    write_json(work / "legend.json", legend.to_dict())
    names = tuple((entry.code, entry.name) for entry in legend.crops)
    return Changed(request.folder, names, pixels, hectares)


def _create(path: Path, like: Any, legend: Legend) -> Any:
    """An uncompressed raster on the pixels of the map, with its legend."""
    output = rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=like.height,
        width=like.width,
        count=1,
        dtype=CROP_MAP.dtype,
        crs=like.crs,
        transform=like.transform,
        nodata=CROP_MAP.nodata,
        tiled=True,
        blockxsize=256,
        blockysize=256,
        sparse_ok=True,
        bigtiff="IF_SAFER",
    )
    output.descriptions = [CROP_MAP.label]
    output.write_colormap(1, legend.colormap())
    output.update_tags(1, **legend.tags())
    return output


def _count_changes(
    assessed: AssessedMap,
    window: Window,
    old: NDArray[np.uint8],
    new: NDArray[np.uint8],
    pixels: NDArray[np.int64],
    hectares: NDArray[np.float64],
) -> None:
    joint = (old.astype(np.intp) << 8) | new
    pixels += np.bincount(joint.ravel(), minlength=65_536).reshape(256, 256)
    areas = assessed.pixel_hectares(window).ravel()
    for row, codes in enumerate((old, new)):
        hectares[row] += np.bincount(codes.ravel(), areas, minlength=256)
