"""Images that Earth Engine ingests from files in a bucket: what is asked for, and whether it came to be.

Google describes manifests in guides/image_manifest, and what is asked of an asset afterwards in the REST
resource `projects.assets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from math import isclose
from typing import Any, Final, Literal

from odc.geo.geobox import GeoBox

from gee_pipeline.earthengine.client.assets import AssetRequest
from gee_pipeline.grid import name_crs

Pyramids = Literal["MEAN", "MODE"]
"""How a coarser pixel comes of four finer ones: their mean, or what most of them are."""

_AFFINE: Final = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")


@dataclass(frozen=True)
class ManifestBand:
    """A band of an image, and where its values are."""

    id: str
    """Its name."""
    file: str
    """Name of the file, without folder."""
    index: int
    """Band of the file, counted from 0."""
    nodata: int
    """Value of pixels that become masked."""
    pyramids: Pyramids
    """How coarser pixels are made."""


@dataclass(frozen=True)
class ImageToIngest:
    """An image asset as it is to be."""

    name: str
    """`projects/P/assets/NAME`."""
    bands: tuple[ManifestBand, ...]
    """In order; all on the same pixels."""
    geobox: GeoBox
    """Their pixels."""
    start: date
    """First day that it is about."""
    end: date
    """Day after the last."""
    properties: Mapping[str, str | int | float]
    """Texts and numbers; Google's guide says that properties of ingested assets hold no lists."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files, each once, in order."""
        return tuple(dict.fromkeys(band.file for band in self.bands))

    def manifest(self, folder: str) -> dict[str, Any]:
        """The manifest as JSON values.

        Args:
            folder: Where the files lie, `gs://BUCKET/PREFIX`.
        """
        return {
            "name": self.name,
            "tilesets": [{"id": file, "sources": [{"uris": [f"{folder}/{file}"]}]} for file in self.files],
            "bands": [
                {
                    "id": band.id,
                    "tilesetId": band.file,
                    "tilesetBandIndex": band.index,
                    "missingData": {"values": [band.nodata]},
                    "pyramidingPolicy": band.pyramids,
                }
                for band in self.bands
            ],
            "startTime": _midnight(self.start),
            "endTime": _midnight(self.end),
            "properties": dict(self.properties),
        }

    def request(self, folder: str, name: str, *, overwrite: bool) -> AssetRequest:
        """The request that ingests it.

        Args:
            folder: Where the files lie, `gs://BUCKET/PREFIX`.
            name: Marks the request, and names its task.
            overwrite: Whether an asset that exists is replaced.
        """
        body = {"imageManifest": self.manifest(folder), "description": name, "overwrite": overwrite}
        return AssetRequest("image", self.name, name, body)

    def differences(self, found: Mapping[str, Any]) -> list[str]:
        """In what an asset is not this image, a clause each; none where it is. Pixels are not looked at.

        Args:
            found: What Earth Engine says of the asset.
        """
        return list(self._differences(found))

    def _differences(self, found: Mapping[str, Any]) -> Iterator[str]:
        if found.get("type") != "IMAGE":
            yield f"it is of the type {found.get('type')}, not IMAGE"
            return
        bands: Sequence[Mapping[str, Any]] = found.get("bands", [])
        wanted, there = [band.id for band in self.bands], [band.get("id") for band in bands]
        if wanted != there:
            yield f"its bands are {', '.join(map(str, there)) or 'none'}, not {', '.join(wanted)}"
        grids = dict.fromkeys(text for band in bands if (text := self._other_grid(band.get("grid", {}))))
        yield from grids
        for field, day in (("startTime", self.start), ("endTime", self.end)):
            if _moment(found.get(field)) != datetime.combine(day, time(), UTC):
                yield f"its {field} is {found.get(field)}, not {_midnight(day)}"
        known = found.get("properties", {})
        if other := sorted(k for k, value in self.properties.items() if not _same(known.get(k), value)):
            yield f"its properties differ in {', '.join(other)}"

    def _other_grid(self, grid: Mapping[str, Any]) -> str:
        """How the pixels of a band differ; empty where they do not."""
        size, (height, width) = grid.get("dimensions", {}), self.geobox.shape
        if (size.get("width"), size.get("height")) != (width, height):
            return f"it has {size.get('width')} x {size.get('height')} pixels, not {width} x {height}"
        affine = grid.get("affineTransform", {})
        there = [float(affine.get(name, 0)) for name in _AFFINE]
        if not all(
            isclose(a, b, abs_tol=1e-6) for a, b in zip(there, self.geobox.transform[:6], strict=True)
        ):
            return f"its transform is {there}, not {list(self.geobox.transform[:6])}"
        crs, wanted = grid.get("crsCode"), name_crs(self.geobox.crs)
        if crs is not None and wanted.startswith("EPSG:") and crs != wanted:
            return f"its CRS is {crs}, not {wanted}"
        return ""


def _midnight(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


def _same(found: Any, wanted: str | float) -> bool:
    """Whether a property is as it was sent; all numbers of JSON may come back as floats."""
    if isinstance(wanted, str) or isinstance(found, str) or found is None:
        return bool(found == wanted)
    return isclose(float(found), wanted)
