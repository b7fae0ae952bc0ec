"""One scene over one cell: which pixels are clear, and their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.bands import CLOUD_BANDS, NODATA, SCORE_SCALE
from gee_pipeline.errors import SceneReadError
from gee_pipeline.grid import Cell
from gee_pipeline.incoming.addresses import is_remote
from gee_pipeline.recipe import SensorGroup
from gee_pipeline.sensors import Sensor
from gee_pipeline.stac.assets import BandAsset
from gee_pipeline.stac.composites.placement import require_one_place, require_place
from gee_pipeline.stac.composites.reading import OpenFiles, ReadFailure, read_bands, read_profile, retried
from gee_pipeline.stac.encoding import (
    Encoding,
    band_encoding,
    decode,
    needs_file,
    plain_encoding,
    store_values,
)
from gee_pipeline.stac.scene import Scene

REMOTE_READS = 8
"""Files of a scene that are fetched at once over the network, where waiting is most of the time."""

_ROUNDING = 1e-9
"""100 steps of 0.01 do not exceed 1, whatever binary fractions make of it."""


_T = TypeVar("_T")

_Group = list[tuple[int, BandAsset]]
"""The bands in one file, each with its place in the group."""


@dataclass(frozen=True)
class _File:
    """What one file holds of a cell."""

    numbers: NDArray[np.float32]
    """`(band, y, x)` as stored."""
    encodings: list[Encoding]
    """How the numbers of each band become values."""


@dataclass(frozen=True)
class SeenPixels:
    """What a scene has in a cell."""

    there: bool
    """Whether it has any pixel, clear or not."""
    clear: int
    """Pixels that are clear by the mask."""
    struck: int
    """Pixels of these that a band has no valid value for."""


@dataclass(frozen=True)
class SceneRead:
    """Reads one scene over one cell."""

    scene: Scene
    """The scene; `Scene.require` has been called."""
    cell: Cell
    """The pixels to fill."""
    retries: int
    """Attempts after the first at a file."""
    files: OpenFiles
    """Where its files stay open for other cells."""

    def into(self, values: NDArray[np.int16], clear: NDArray[np.bool_]) -> SeenPixels:
        """Fill the observation of the scene; bands are read only where a pixel of the cell is clear.

        Args:
            values: `(band, y, x)` in the order of the scene's bands, written where clear.
            clear: `(y, x)`, written: True where the pixel is clear and valid in every band.

        Raises:
            SceneReadError: A file could not be read, also after retries.
            InputError: The numbers of a file do not say what they mean.
        """
        asset = self.scene.mask
        if asset is None:
            clear[:] = True
            return SeenPixels(self._read_bands(values, clear), 0, 0)
        mask = self._mask(asset)
        require_place(self.scene, asset)
        clear[:] = self._clear(mask, self.scene.group)
        if before := int(clear.sum()):
            self._read_bands(values, clear)
        return SeenPixels(bool(np.isfinite(mask).any()), before, before - int(clear.sum()))

    def as_it_is(self) -> NDArray[np.int16]:
        """The scene with its clouds, `(band + 2, y, x)`: its bands as stored, then `CLOUD_BANDS`.

        Nodata where a band has no valid value, and where there is no score, class or flag.

        Raises:
            SceneReadError: A file could not be read, also after retries.
            InputError: The numbers of a file do not say what they mean.
        """
        count, sensor = len(self.scene.bands), self.scene.group.sensor
        out = np.full((count + len(CLOUD_BANDS), *self.cell.geobox.shape), NODATA, np.int16)
        groups = list(self._files().values())
        for group, file in zip(groups, self._read_files(groups), strict=True):
            for (place, _), numbers, encoding in zip(group, file.numbers, file.encodings, strict=True):
                valid = np.ones(out.shape[1:], np.bool_)
                store_values(numbers, encoding, sensor, out[place], valid)
                out[place][~valid] = NODATA
        for place, (asset, scale) in enumerate(((self.scene.score, SCORE_SCALE), (self.scene.classes, 1))):
            if asset is not None:
                found = np.floor(self._mask(asset) * scale + 0.5)
                out[count + place] = np.where(np.isfinite(found), found, NODATA)
        return out

    def _mask(self, asset: BandAsset) -> NDArray[np.float64]:
        numbers = self._attempt([asset], lambda: self._numbers(asset.href, [asset.index]))
        return decode(numbers[0], plain_encoding(asset))

    def _numbers(self, href: str, indices: list[int]) -> NDArray[np.float32]:
        return read_bands(href, indices, self.cell.geobox, self.files)

    def _clear(self, mask: NDArray[np.float64], group: SensorGroup) -> NDArray[np.bool_]:
        if self.scene.score is None or group.clear is None:
            return np.isin(mask, group.clear_values)
        if np.nanmax(mask, initial=0) > 1 + _ROUNDING:
            raise SceneReadError(
                f"A Cloud Score+ lies between 0 and 1. {self._place([self.scene.score])} goes up to "
                f"{np.nanmax(mask):g}. Declare its scale and nodata in the item (STAC raster extension).",
                for_good=True,
            )
        return mask >= group.clear.least_clear

    def _read_bands(self, values: NDArray[np.int16], clear: NDArray[np.bool_]) -> bool:
        """Whether any number is there, valid or not."""
        groups, sensor, there = list(self._files().values()), self.scene.group.sensor, False
        for group, file in zip(groups, self._read_files(groups), strict=True):
            there = there or bool(np.isfinite(file.numbers).any())
            for (place, _), numbers, encoding in zip(group, file.numbers, file.encodings, strict=True):
                store_values(numbers, encoding, sensor, values[place], clear)
        require_one_place(self.scene, [group[0][1] for group in groups])
        return there

    def _read_files(self, groups: list[_Group]) -> Iterable[_File]:
        if not any(is_remote(asset.href) for group in groups for _, asset in group):
            return map(self._read_file, groups)
        with ThreadPoolExecutor(REMOTE_READS) as pool:
            return list(pool.map(self._read_file, groups))

    def _files(self) -> dict[str, _Group]:
        groups: dict[str, _Group] = {}
        for place, asset in enumerate(self.scene.bands.values()):
            groups.setdefault(asset.href, []).append((place, asset))
        return groups

    def _read_file(self, group: _Group) -> _File:
        assets = [asset for _, asset in group]
        indices = [asset.index for asset in assets]

        def read() -> _File:
            numbers = self._numbers(assets[0].href, indices)
            return _File(numbers, [_encoding(asset, self.scene.group.sensor) for asset in assets])

        return self._attempt(assets, read)

    def _attempt(self, assets: list[BandAsset], read: Callable[[], _T]) -> _T:
        try:
            return retried(read, assets[0].href, self.retries)
        except ReadFailure as failure:
            raise SceneReadError(
                f"{self._place(assets)} cannot be read for cell {self.cell.name}, after {failure.attempts} "
                f"attempt(s): {failure.reason}. {self._way_out(failure)}",
                for_good=failure.for_good,
            ) from failure

    def _way_out(self, failure: ReadFailure) -> str:
        if failure.closed:
            return (
                "The server gives the file only to signed links or with credentials: install "
                "'cropmap[planetary-computer]' for scenes of Planetary Computer, give a catalog with signed "
                "links, or set the credentials in the environment, such as AWS_ACCESS_KEY_ID. Then run the "
                "same command again."
            )
        without = (
            f"without the scene it is another run: --leave-out-scene {self.scene.id}, or --bad-scenes "
            "leave-out for all such scenes, and another --out."
        )
        first = "Restore the file and run" if failure.for_good else "Run"
        return f"{first} the same command again; {without}"

    def _place(self, assets: list[BandAsset]) -> str:
        keys = ", ".join(dict.fromkeys(asset.key for asset in assets))
        return f"Asset {keys} of scene {self.scene.id} ({assets[0].href})"


def _encoding(asset: BandAsset, sensor: Sensor) -> Encoding:
    if not needs_file(asset):
        return band_encoding(asset, sensor, asset.data_type or "uint16", None)
    profile = read_profile(asset.href)
    return band_encoding(asset, sensor, profile.data_type, profile.nodata)
