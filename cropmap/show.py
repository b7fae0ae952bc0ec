"""Maps and composites on a map of geemap or leafmap; tiles come from this computer, no account is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pyproj

from gee_pipeline.bands import BRIGHTEST, TRUE_COLOR
from gee_pipeline.errors import InputError
from gee_pipeline.files import atomic_path

if TYPE_CHECKING:
    import xarray

    from cropmap.run import CropMap, Run
    from inference.run.plan import RunPlan

HIGHEST: Final = 0.6
"""Reflectance at the upper edge of the drawing of a band."""

PALEST: Final = 40
"""Opacity, of 255, of a class without any confidence."""

NO_DAY: Final = "none"
"""Of the slider: no composite is shown."""


@contextmanager
def environment_kept() -> Iterator[None]:
    """Variables of the process are afterwards what they were.

    The server of tiles sets GDAL's for the whole process, such as GDAL_DISABLE_READDIR_ON_OPEN: rasters that
    are read later would lose the names, colours and overviews in the files beside them.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@environment_kept()
def show(
    crop_map: CropMap,
    *,
    run: Run | None = None,
    view: Any = None,
    confidence: bool | Literal["opacity"] = True,
    composites: Sequence[date | str] | Literal["all"] = (),
    parcels: Path | None = None,
    points: Path | None = None,
    beside: CropMap | Run | date | str | None = None,
) -> Any:
    """A `geemap.Map` with the class map and its legend; needs `pip install 'cropmap[notebook]'`.

    Args:
        crop_map: The map.
        run: Its run; a click then shows what the run says of the pixel.
        view: A `geemap.Map` or `leafmap.Map` to lay it on; None makes a `geemap.Map`.
        confidence: Whether confidence is a layer too, to be switched on; with `opacity` classes are also the
            paler the less confident they are.
        composites: Days of which a slider shows one, as its composite in true colours; each takes the bin
            that holds it. `all` is every bin. A composite is drawn when the slider first comes to it.
        parcels: Vector file of parcels, such as fields.gpkg.
        points: Sample points: a vector file, or a CSV with `lon` and `lat` in degrees.
        beside: Another map of the same place, a run with one, or a day of the run whose composite is seen
            there: the two are split by a line that can be drawn.

    Raises:
        InputError: Something cannot be shown, or the packages are missing.
    """
    _require_files(parcels, points)
    days = _days(run, composites)
    west, south, east, north = _bounds(crop_map)
    view = view if view is not None else _map_of_the_world()
    view.center, view.zoom = ((south + north) / 2, (west + east) / 2), 13
    view.fit_bounds([[south, west], [north, east]])
    path = str(_paled(crop_map) if confidence == "opacity" else crop_map.folder / "crop_map.tif")
    if beside is not None:
        view.split_map(left_layer=path, right_layer=str(_raster_of(beside, run)))
    else:
        view.add_raster(path, layer_name="Crops", zoom_to_layer=False)
    if confidence:
        view.add_raster(
            str(crop_map.folder / "confidence.tif"),
            layer_name="Confidence",
            colormap="viridis",
            vmin=0,
            vmax=100,
            visible=False,
            zoom_to_layer=False,
        )
    for name, file in (("Parcels", parcels), ("Points", points)):
        if file is not None:
            _add_places(view, Path(file), name)
    view.add_legend(title="Crops", legend_dict={entry.name: entry.color for entry in crop_map.legend.crops})
    if run is not None:
        _add_slider(view, run, days)
        _tell_of_clicks(view, run)
    return view


def _add_places(view: Any, file: Path, name: str) -> None:
    """A vector file, or a table with longitude and latitude."""
    from assessment.sample.tables import VECTORS, read_points

    if file.suffix.lower() in VECTORS:
        view.add_vector(str(file), layer_name=name, zoom_to_layer=False)
    else:
        view.add_gdf(read_points(file), layer_name=name, zoom_to_layer=False)


def _require_files(*files: Path | None) -> None:
    for file in files:
        if file is not None and not Path(file).is_file():
            raise InputError(f"Parcels and points are read from a file, and {file} does not exist.")


def _raster_of(beside: CropMap | Run | date | str, run: Run | None) -> Path:
    """The classes of a map, or of the map of a run; or a composite of the run that is shown."""
    from cropmap.run import Run

    if isinstance(beside, date | str):
        (day,) = _days(run, [beside])
        assert run is not None  # or there are no days
        return _composite(run, day)
    found = beside.map if isinstance(beside, Run) else beside
    return found.folder / "crop_map.tif"


def _paled(crop_map: CropMap) -> Path:
    """The picture of the classes under their confidence, which is made once."""
    return _made_once(
        crop_map.folder / "crop_map_by_confidence.tif", lambda path: by_confidence(crop_map, path)
    )


def _made_once(path: Path, write: Callable[[Path], Path]) -> Path:
    """A picture beside a map; one that was stopped in the making is not shown later."""
    if not path.is_file():
        with atomic_path(path) as part:
            write(part)
    return path


def by_confidence(crop_map: CropMap, path: Path) -> Path:
    """Classes in their colours, the more transparent the less confident: four bands of bytes, a GeoTIFF.

    Where no confidence is known, colours are full; outside the area nothing is seen. One block is held at a
    time.

    Args:
        crop_map: The map.
        path: File that is written.
    """
    import numpy as np
    import rasterio
    from rasterio.enums import ColorInterp, Resampling

    from gee_pipeline.map_codes import NONE, OUTSIDE

    palette = np.zeros((4, 256), np.uint8)
    for entry in crop_map.legend.entries:
        palette[:, entry.code] = (*bytes.fromhex(entry.color[1:]), 255 if entry.code != OUTSIDE else 0)
    alpha = np.full(256, 255, np.uint8)
    alpha[:101] = np.round(PALEST + (255 - PALEST) * np.arange(101) / 100)
    alpha[NONE] = 255
    folder = crop_map.folder
    with rasterio.open(folder / "crop_map.tif") as classes, rasterio.open(folder / "confidence.tif") as sure:
        shape = {"count": 4, "dtype": "uint8", "nodata": None, "photometric": "RGB"}
        form = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
        place = {"crs": classes.crs, "transform": classes.transform}
        size = {"width": classes.width, "height": classes.height}
        with rasterio.open(path, "w", **shape, **form, **place, **size) as picture:
            picture.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
            for _, window in picture.block_windows(1):
                colors = palette[:, classes.read(1, window=window)]
                colors[3] = np.minimum(colors[3], alpha[sure.read(1, window=window)])
                picture.write(colors, window=window)
            halvings = range(1, max(1, (max(picture.shape) // 256).bit_length()))
            picture.build_overviews([2**n for n in halvings], Resampling.nearest)
    return path


def true_color(run: Run, day: date | str, path: Path) -> Path:
    """The composite that holds a day as a picture in true colours: three bands of bytes, a GeoTIFF.

    Args:
        run: A run with composites.
        day: The day.
        path: File that is written.

    Raises:
        InputError: No bin holds the day, or the bands are not there.
    """
    found = _require_true_color(run)
    at = bin_of(run.plan, day)
    bands = found[list(TRUE_COLOR)].isel(time=at).to_array("band")
    bytes_ = (bands / BRIGHTEST * 254 + 1).clip(1, 255).fillna(0).astype("uint8")
    bytes_.rio.write_crs(found.rio.crs).rio.write_nodata(0).rio.to_raster(path, driver="GTiff", tiled=True)
    return path


def _require_true_color(run: Run) -> xarray.Dataset:
    """The composites of a run, with the bands of true colours."""
    found = run.composites
    if missing := [band for band in TRUE_COLOR if band not in found]:
        raise InputError(f"True colours take {', '.join(TRUE_COLOR)}, and {', '.join(missing)} is not there.")
    return found


def bin_of(plan: RunPlan, day: date | str) -> int:
    """Which of the bins of a run, counted from 0, holds a day; bins may be months, which are not alike long.

    Raises:
        InputError: None does, or it is not a day.
    """
    try:
        wanted = date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError as error:
        raise InputError(f"A day is written like 2023-06-20, got {day!r}.") from error
    bins = [plan.season.bin(index, plan.recipe.bin_days) for index in plan.bins]
    for at, one in enumerate(bins):
        if one.start <= wanted < one.end:
            return at
    raise InputError(
        f"No composite holds {wanted}: they reach from {bins[0].start} to the day before {bins[-1].end}."
    )


def _days(run: Run | None, composites: Sequence[date | str] | Literal["all"]) -> list[str]:
    """First days of bins, or the days that are given, of which each has a composite in true colours."""
    if not composites:
        return []
    if run is None:
        raise InputError("Composites are those of a run: show it by cropmap.open_run(folder).show(...).")
    _require_true_color(run)
    if composites == "all":
        return [f"{run.plan.season.bin(index, run.plan.recipe.bin_days).start}" for index in run.plan.bins]
    if isinstance(composites, str):
        raise InputError(f"Composites are a list of days, or 'all', got {composites!r}.")
    for day in composites:
        bin_of(run.plan, day)
    return [str(day) for day in composites]


def _add_slider(view: Any, run: Run, days: Sequence[str]) -> None:
    """One composite of some days at a time, beneath parcels and points but above the classes."""
    if not days:
        return
    import ipyleaflet
    import ipywidgets

    slider = ipywidgets.SelectionSlider(
        options=[NO_DAY, *days], description="Composite", continuous_update=False
    )

    def moved(change: Mapping[str, Any]) -> None:
        for day in days:
            if (layer := view.find_layer(_layer_name(day))) is not None:
                layer.visible = day == change["new"]
        if change["new"] != NO_DAY and view.find_layer(_layer_name(change["new"])) is None:
            _add_composite(view, run, change["new"])

    slider.observe(moved, "value")
    view.add(ipyleaflet.WidgetControl(widget=slider, position="bottomleft"))


def _layer_name(day: str) -> str:
    return f"Composite {day}"


@environment_kept()
def _add_composite(view: Any, run: Run, day: str) -> None:
    view.add_raster(str(_composite(run, day)), layer_name=_layer_name(day), zoom_to_layer=False)


def _composite(run: Run, day: str) -> Path:
    """The picture of a composite, which is made once."""
    path = run.folder / "map" / f"composite_{day}.tif"
    return _made_once(path, lambda part: true_color(run, day, part))


def _tell_of_clicks(view: Any, run: Run) -> None:
    """A click shows class, confidence and NDVI of its pixel in a corner of the map."""
    import ipyleaflet
    import ipywidgets

    text = ipywidgets.HTML("Click on the map")
    view.add(ipyleaflet.WidgetControl(widget=text, position="bottomright"))

    def clicked(**event: Any) -> None:
        if event.get("type") == "click":
            lat, lon = event["coordinates"]
            try:
                text.value = told(run.pixel(lon, lat))
            except InputError as error:
                text.value = str(error)

    view.on_interaction(clicked)


def told(pixel: Mapping[str, Any]) -> str:
    """What a run says of a pixel, as HTML; the series of NDVI and of each band as small drawings."""
    percent = "" if pixel["confidence"] is None else f", {pixel['confidence']} %"
    lines = [f"<b>{pixel['class']}</b>{percent}"]
    if pixel["probabilities"]:
        lines += [f"{name} {share} %" for name, share in pixel["probabilities"].items()]
    if pixel["series"] is not None:
        series = pixel["series"]
        if "NDVI" in series:
            lines.append(_drawn("NDVI", series["NDVI"].tolist(), 1.0, height=50))
        lines += [_drawn(band, series[band].tolist(), HIGHEST) for band in series if band != "NDVI"]
    return "<br>".join(lines)


def _drawn(name: str, values: list[float], most: float, width: int = 160, height: int = 18) -> str:
    """Values from 0 to the most as points of an SVG, without those that are gaps."""
    step = width / max(len(values) - 1, 1)
    points = [
        f'<circle cx="{i * step:.0f}" cy="{height * (1 - min(max(v / most, 0), 1)):.0f}" r="2"/>'
        for i, v in enumerate(values)
        if v == v
    ]
    return f'{name} <svg width="{width}" height="{height}">{"".join(points)}</svg>'


def _bounds(crop_map: CropMap) -> tuple[float, float, float, float]:
    """West, south, east and north of a map in degrees."""
    classes = crop_map.classes
    found: tuple[float, float, float, float] = pyproj.Transformer.from_crs(
        classes.rio.crs, "EPSG:4326", always_xy=True
    ).transform_bounds(*classes.rio.bounds())
    return found


def _map_of_the_world() -> Any:
    """A `geemap.Map` without a session of Earth Engine."""
    try:
        import geemap
    except ImportError as error:
        raise InputError(
            f"Maps in a notebook take geemap, which is missing ({error}). Install it: pip install "
            "'cropmap[notebook]'."
        ) from error
    return geemap.Map(ee_initialize=False)
