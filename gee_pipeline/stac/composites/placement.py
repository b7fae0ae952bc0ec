"""Whether the files of a scene lie where its item says, and all in the same place."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import SceneReadError
from gee_pipeline.incoming.geometry import on_globe
from gee_pipeline.stac.assets import BandAsset
from gee_pipeline.stac.composites.reading import read_profile
from gee_pipeline.stac.scene import Scene

_TOLERANCE = 0.01
"""Degrees, about 1 km: footprints have straight edges and rounded corners."""

_ABOUT = 0.9
"""A file below this share of the footprint was cut from the scene, and need not hold all of it."""


def require_place(scene: Scene, asset: BandAsset) -> None:
    """Refuse a file that lies elsewhere than the projection and the footprint of its item say.

    Args:
        scene: The scene.
        asset: One of its assets, which has been read.

    Raises:
        SceneReadError: Naming both places.
    """
    box = read_profile(asset.href).box
    _require_declared(scene, asset, box)
    _require_footprint(scene, asset, box)


def require_one_place(scene: Scene, assets: Iterable[BandAsset]) -> None:
    """Refuse bands that do not lie upon one another.

    Args:
        scene: The scene.
        assets: Its bands, which have been read.

    Raises:
        SceneReadError: Naming both places.
    """
    boxes = [(asset, read_profile(asset.href).box) for asset in assets]
    first, known = boxes[0]
    require_place(scene, first)
    for asset, box in boxes[1:]:
        _require_declared(scene, asset, box)
        if box.crs == known.crs and _apart(known, box) > max(_pixel(known), _pixel(box)):
            raise _misplaced(
                scene,
                f"asset {asset.key} begins at {_corner(box)}, asset {first.key} at {_corner(known)}",
                "The bands of a scene lie upon one another",
            )


def _require_declared(scene: Scene, asset: BandAsset, box: GeoBox) -> None:
    if asset.transform is None or asset.crs not in (None, _code(box)):
        return
    left, top = asset.transform[2], asset.transform[5]
    apart = max(abs(box.transform.c - left), abs(box.transform.f - top))
    if apart > _pixel(box) / 2:
        raise _misplaced(
            scene,
            f"asset {asset.key} begins at {_corner(box)}, by proj:transform at {left:.10g} {top:.10g}",
            "A file lies where its item says",
        )


def _require_footprint(scene: Scene, asset: BandAsset, box: GeoBox) -> None:
    (outline, reached), footprint = _outline(asset.href), scene.footprint
    cut = outline.area < _ABOUT * footprint.area
    if reached.intersects(footprint) if cut else reached.contains(footprint):
        return
    raise _misplaced(
        scene,
        f"asset {asset.key} covers {_degrees(outline)}, the footprint of its item {_degrees(footprint)}",
        "A file covers what its item says",
    )


@lru_cache(maxsize=16_384)
def _outline(href: str) -> tuple[BaseGeometry, BaseGeometry]:
    """The outline of a file in EPSG:4326, and how far its footprint may reach; cells ask for it again."""
    outline = on_globe(read_profile(href).box.extent.to_crs("EPSG:4326").geom)
    return outline, outline.buffer(_TOLERANCE)


def _misplaced(scene: Scene, found: str, rule: str) -> SceneReadError:
    return SceneReadError(
        f"{rule}; of scene {scene.id} {found}. Its pixels would be mapped in the wrong place: correct the "
        "file's georeference or the item, or leave the scene out (--leave-out-scene).",
        for_good=True,
    )


def _apart(one: GeoBox, other: GeoBox) -> float:
    """How far the corners of two files lie apart, in the unit of their CRS."""
    return max(abs(one.transform.c - other.transform.c), abs(one.transform.f - other.transform.f))


def _pixel(box: GeoBox) -> float:
    return max(abs(box.transform.a), abs(box.transform.e))


def _code(box: GeoBox) -> int | None:
    return None if box.crs is None else box.crs.epsg


def _corner(box: GeoBox) -> str:
    return f"{box.transform.c:.10g} {box.transform.f:.10g}"


def _degrees(shape: BaseGeometry) -> str:
    west, south, east, north = shape.bounds
    return f"longitude {west:.4f} to {east:.4f}, latitude {south:.4f} to {north:.4f}"
