"""A composite of one cell on disk: one GeoTIFF, whole and of the right recipe, or an error."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyproj
import rasterio
import rasterio.errors
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, DatasetWriter, MemoryFile

from gee_pipeline.bands import NODATA, TRUE_COLOR
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, parse_json, require_no_pipe, write_bytes
from gee_pipeline.grid import Cell, name_crs
from gee_pipeline.incoming.fast_tiff import read_bands
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Season
from gee_pipeline.source import Composite, SceneCounts

if TYPE_CHECKING:
    import xarray

BLOCK: Final = 256
"""Pixels along a side of a block: a cell is one block per band."""

TRUE_COLORS: Final = dict(
    zip(TRUE_COLOR, (ColorInterp.red, ColorInterp.green, ColorInterp.blue), strict=True)
)
"""What the bands of the bin that is shown stand for; programs that open the file draw them so."""

CROPLAND_BAND: Final = "cropland"
"""Name of the band that holds a source's own cropland mask."""

DAMAGED_RASTER: Final = (rasterio.errors.RasterioError, pyproj.exceptions.ProjError, *ODD_VALUES)
"""What is raised where a raster of ours is damaged: its pixels, its tags or its CRS."""

_JSON_TAGS: Final = tuple(
    f"CROPMAP_{name}" for name in ("SEASON", "RECIPE", "BINS", "CRC32", "COUNTS", "CROPLAND_CRC32")
)

_WAY_OUT: Final = "Delete it to have it made again, or choose another --out."


def composite_path(folder: Path, cell: Cell) -> Path:
    """Where a run keeps the composite of a cell.

    Args:
        folder: Folder of the run.
        cell: The cell.
    """
    return folder / "composites" / f"{cell.name}.tif"


def write_composite(
    path: Path, composite: Composite, recipe: Recipe, season: Season, source: dict[str, Any]
) -> None:
    """Write a composite atomically: int16, nodata -9999, bands `B2_24`, `B3_24`, ... bin by bin.

    A source's own cropland mask follows as one more band, `cropland`, 1 or 0.

    The file is made in memory first, so that a full disk leaves nothing behind.

    Args:
        path: Where the file shall stand.
        composite: Medians of one cell.
        recipe: How they were made.
        season: Which days the bins mean.
        source: What `Source.describe` says.

    Raises:
        DiskFullError: The disk has no room.
    """
    mask = composite.cropland
    label = _Label(
        recipe,
        season,
        composite.bins,
        _checksums(composite.values),
        composite.counts,
        None if mask is None else _checksum(mask),
    )
    with MemoryFile() as memory:
        with memory.open(**_profile(composite)) as file:
            count = len(composite.bins) * len(composite.bands)
            file.write(composite.values.reshape(count, *composite.geobox.shape), list(range(1, count + 1)))
            if mask is not None:
                file.write(mask.astype(np.int16), count + 1)
            file.descriptions = _descriptions(label)
            _explain_bands(file, label)
            file.colorinterp = _colors(label, _clearest_bin(composite))
            file.update_tags(**label.to_tags(source))
        write_bytes(path, memory.getbuffer())


def read_composite(path: Path, cell: Cell, recipe: Recipe, season: Season, bins: range) -> Composite:
    """Bins of a stored composite; the file may hold more of them.

    Args:
        path: A file that `write_composite` wrote.
        cell: The pixels it must have.
        recipe: The recipe whose composite it must be; window and gap rule do not matter.
        season: The season whose days its bins must mean.
        bins: Bins to read.

    Raises:
        CorruptFileError: The file is damaged, or not a composite.
        MismatchError: It has another recipe, season or grid, or lacks bins.
    """
    with _opened(path) as file:
        label = _read_label(path, file)
        _require_match(path, file, label, cell, recipe, season)
        values = _read_bins(path, file, label, bins)
        cropland = _read_cropland(path, file, label)
    return Composite(values, cell.geobox, bins, recipe.bands, label.counts, cropland)


def require_whole(path: Path, cell: Cell, recipe: Recipe, season: Season, bins: range) -> None:
    """Read and verify every bin of a stored composite that a run needs, one after another.

    Args:
        path: A file that `write_composite` wrote.
        cell: The pixels it must have.
        recipe: The recipe whose composite it must be.
        season: The season whose days its bins must mean.
        bins: Bins that it must hold.

    Raises:
        CorruptFileError: The file is damaged, or not a composite.
        MismatchError: It has another recipe, season or grid, or lacks bins.
    """
    with _opened(path) as file:
        label = _read_label(path, file)
        _require_match(path, file, label, cell, recipe, season)
        for index in bins:
            _read_bins(path, file, label, range(index, index + 1))
        _read_cropland(path, file, label)


def open_composite(path: Path) -> xarray.DataArray:
    """A stored composite to look at: `(bin, band, y, x)` in the sensors' units, gaps NaN, days and CRS.

    Coordinates: `bin` its number in the season, `start` and `end` the first and the last day of a bin, `band`
    its name, `x` and `y` of pixel centres in the CRS, which `.rio` of rioxarray knows.

    Args:
        path: A file that `write_composite` wrote.

    Raises:
        CorruptFileError: The file is damaged, or not a composite.
    """
    import rioxarray  # noqa: F401 - gives arrays their .rio
    import xarray as xr

    with _opened(path) as file:
        label = _read_label(path, file)
        values = _read_bins(path, file, label, label.bins)
        geobox = GeoBox(file.shape, file.transform, file.crs)
    scales = np.array(label.recipe.scales, np.float32)[:, None, None]
    array = xr.DataArray(
        np.where(values == NODATA, np.float32(np.nan), values / scales),
        dims=("bin", "band", "y", "x"),
        coords={"bin": list(label.bins), "band": list(label.recipe.bands), **_days(label)},
        name="composite",
        attrs={"source": "medians of clear observations; gaps are NaN", "season_year": label.season.year},
    )
    x, y = (geobox.coordinates[name].values for name in ("x", "y"))
    return array.assign_coords(x=x, y=y).rio.write_crs(str(geobox.crs))


@dataclass(frozen=True)
class StoredBins:
    """Which bins a stored composite holds, and which one programs show."""

    bins: range
    """Bins in the file."""
    shown: int | None
    """The bin whose bands are red, green and blue; None where no bin's are."""


def stored_bins(path: Path) -> StoredBins:
    """The bins of a stored composite, without a look at its values.

    Args:
        path: A file that `write_composite` wrote.

    Raises:
        CorruptFileError: The file is damaged, or not a composite.
    """
    with _opened(path) as file:
        label = _read_label(path, file)
        colors = file.colorinterp
    red = colors.index(ColorInterp.red) if ColorInterp.red in colors else None
    return StoredBins(label.bins, None if red is None else label.bins[red // len(label.recipe.bands)])


@contextmanager
def _opened(path: Path) -> Iterator[DatasetReader]:
    """A raster to read from; what GDAL cannot read, or makes odd values of, is damage."""
    require_no_pipe(path)
    try:
        with rasterio.open(path) as file:
            yield file
    except DAMAGED_RASTER as error:
        raise _corrupt(path, str(error.__cause__ or error).rstrip(".")) from error


def _days(label: _Label) -> dict[str, tuple[str, NDArray[np.datetime64]]]:
    """First and last day of each bin."""
    spans = [label.season.bin(index, label.recipe.bin_days) for index in label.bins]
    starts = np.array([span.start for span in spans], "datetime64[ns]")
    ends = np.array([span.last for span in spans], "datetime64[ns]")
    return {"start": ("bin", starts), "end": ("bin", ends)}


@dataclass(frozen=True)
class _Label:
    """What the tags of a composite say."""

    recipe: Recipe
    season: Season
    bins: range
    checksums: list[int]
    counts: SceneCounts
    mask_checksum: int | None

    def to_tags(self, source: dict[str, Any]) -> dict[str, str]:
        return {
            "CROPMAP_COMPOSITE_DIGEST": self.recipe.composite_digest,
            "CROPMAP_RECIPE": json.dumps(self.recipe.to_dict()),
            "CROPMAP_SEASON": json.dumps([self.season.year, self.season.start.isoformat()]),
            "CROPMAP_BINS": json.dumps([self.bins.start, self.bins.stop]),
            "CROPMAP_CRC32": json.dumps(self.checksums),
            "CROPMAP_COUNTS": json.dumps(asdict(self.counts)),
            "CROPMAP_CROPLAND_CRC32": json.dumps(self.mask_checksum),
            "CROPMAP_SOURCE": json.dumps(source),
        }

    @classmethod
    def of_tags(cls, tags: dict[str, str]) -> _Label:
        values = {key: parse_json(text, key) for key, text in tags.items() if key in _JSON_TAGS}
        (year, start), (first, end) = values["CROPMAP_SEASON"], values["CROPMAP_BINS"]
        recipe = Recipe.from_dict(values["CROPMAP_RECIPE"])
        if not 0 <= first < end <= recipe.bins_in_season:
            raise ValueError(f"bins {first} to {end} of a season that has {recipe.bins_in_season}")
        return cls(
            recipe=recipe,
            season=Season(year, date.fromisoformat(start)),
            bins=range(first, end),
            checksums=list(values["CROPMAP_CRC32"]),
            counts=SceneCounts(**values["CROPMAP_COUNTS"]),
            mask_checksum=values.get("CROPMAP_CROPLAND_CRC32"),
        )


def _read_label(path: Path, file: DatasetReader) -> _Label:
    try:
        label = _Label.of_tags(file.tags())
    except (*ODD_VALUES, InputError, CorruptFileError) as error:
        raise _corrupt(path, f"it carries no label of a composite ({error!r})") from error
    expected = _descriptions(label)
    _require_explained(path, file, label)
    if list(file.descriptions) != expected or set(file.dtypes) != {"int16"}:
        raise _corrupt(path, f"its bands are not the {len(expected)} of int16 that its label names")
    return label


def _require_match(
    path: Path, file: DatasetReader, label: _Label, cell: Cell, recipe: Recipe, season: Season
) -> None:
    stored, wanted = label.recipe.composite_part, recipe.composite_part
    stored.require_same(wanted, f"The composite {path}", "this run", _WAY_OUT)
    if label.season.start != season.start:
        raise MismatchError(
            f"The composite {path} counts its bins from {label.season.start}, this run from {season.start}. "
            f"{_WAY_OUT}"
        )
    geobox = GeoBox(file.shape, file.transform, file.crs)
    if geobox != cell.geobox:
        raise MismatchError(
            f"The composite {path} lies on {_outline(geobox)}, cell {cell.name} of this run on "
            f"{_outline(cell.geobox)}. {_WAY_OUT}"
        )


def _read_bins(path: Path, file: DatasetReader, label: _Label, bins: range) -> NDArray[np.int16]:
    """`(bin, band, y, x)`, each bin verified by its checksum."""
    if not set(bins) <= set(label.bins):
        raise MismatchError(
            f"The composite {path} holds the bins {label.bins[0]} to {label.bins[-1]}; bins {bins[0]} to "
            f"{bins[-1]} are needed. {_WAY_OUT}"
        )
    bands, skipped = len(label.recipe.bands), bins[0] - label.bins[0]
    wanted = range(skipped * bands, (skipped + len(bins)) * bands)
    values = read_bands(path, wanted, (file.count, *file.shape))
    if values is None:
        values = file.read([band + 1 for band in wanted])
    values = values.reshape(len(bins), bands, *file.shape)
    if _checksums(values) != label.checksums[skipped : skipped + len(bins)]:
        raise _corrupt(path, "its values do not have the checksum that was written with them")
    return values


def _read_cropland(path: Path, file: DatasetReader, label: _Label) -> NDArray[np.bool_] | None:
    """The cropland mask `(y, x)` behind the bins, verified by its checksum."""
    if label.mask_checksum is None:
        return None
    mask: NDArray[np.bool_] = file.read(file.count) == 1
    if _checksum(mask) != label.mask_checksum:
        raise _corrupt(path, "its cropland mask does not have the checksum that was written with it")
    return mask


def _checksums(values: NDArray[np.int16]) -> list[int]:
    """One a bin, so that a part of the file can be verified."""
    return [_checksum(of_bin) for of_bin in values]


def _checksum(values: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data)


def _outline(geobox: GeoBox) -> str:
    left, top, (height, width) = geobox.transform.c, geobox.transform.f, geobox.shape
    return f"{width} x {height} pixels of {name_crs(geobox.crs)} from {left:.0f} {top:.0f}"


def _corrupt(path: Path, reason: str) -> CorruptFileError:
    return CorruptFileError(
        f"The composite {path} is damaged or no composite: {reason}. "
        "Delete it and run the same command again; only this cell is made again."
    )


def _profile(composite: Composite) -> dict[str, Any]:
    height, width = composite.geobox.shape
    return {
        "driver": "GTiff",
        "dtype": "int16",
        "count": len(composite.bins) * len(composite.bands) + (composite.cropland is not None),
        "height": height,
        "width": width,
        "crs": str(composite.geobox.crs),
        "transform": composite.geobox.transform,
        "nodata": NODATA,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "interleave": "band",
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": 2,
    }


def _explain_bands(file: DatasetWriter, label: _Label) -> None:
    """Scale and days of every band, so that QGIS and rioxarray show values in their unit, and when."""
    scales = [1 / scale for _ in label.bins for scale in label.recipe.scales]
    file.scales = [*scales, *([1.0] if label.mask_checksum is not None else [])]
    for band, days in enumerate(band_days(label.recipe, label.season, label.bins), 1):
        file.update_tags(band, **days)


def band_days(recipe: Recipe, season: Season, bins: range) -> list[dict[str, str]]:
    """First and last day of each band of values, as its tags have them.

    Args:
        recipe: Of the composite.
        season: Which days its bins mean.
        bins: Bins that it holds.
    """
    days = []
    for index in bins:
        span = season.bin(index, recipe.bin_days)
        both = {"FIRST_DAY": span.start.isoformat(), "LAST_DAY": span.last.isoformat()}
        days += [both] * len(recipe.bands)
    return days


def true_colors(recipe: Recipe) -> Mapping[str, ColorInterp]:
    """What the bands of the bin that is shown stand for; nothing where the recipe lacks one of the three."""
    return TRUE_COLORS if set(TRUE_COLORS) <= set(recipe.bands) else {}


def _clearest_bin(composite: Composite) -> int:
    """The bin with the most observed pixels of its first band; of equal ones that nearest to the middle."""
    observed = (composite.values[:, 0] != NODATA).sum(axis=(1, 2))
    middle = (len(observed) - 1) / 2
    best = max(range(len(observed)), key=lambda place: (observed[place], -abs(place - middle)))
    return composite.bins[best]


def _colors(label: _Label, shown: int) -> list[ColorInterp]:
    """What each band stands for: those of one bin for red, green and blue."""
    names = {f"{band}_{shown}": color for band, color in true_colors(label.recipe).items()}
    return [names.get(name, ColorInterp.undefined) for name in _descriptions(label)]


def _require_explained(path: Path, file: DatasetReader, label: _Label) -> None:
    """Refuse bands that say other days than the label; files of version 0.1.0 say none."""
    expected = band_days(label.recipe, label.season, label.bins)
    found = [
        {key: tags[key] for key in expected[0] if key in tags}
        for tags in map(file.tags, range(1, min(file.count, len(expected)) + 1))
    ]
    if any(found) and found != expected:
        raise _corrupt(path, "its bands are of other days than its label names")


def _descriptions(label: _Label) -> list[str]:
    values = [f"{band}_{index}" for index in label.bins for band in label.recipe.bands]
    return values if label.mask_checksum is None else [*values, CROPLAND_BAND]
