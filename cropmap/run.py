"""A run or a map as people look at it in Python: arrays with names, areas as a table, a page."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from rasterio.errors import RasterioError

from cropmap.composites import open_composites
from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.files import read_json
from gee_pipeline.layers import BASE, CONFIDENCE, PROBABILITIES
from inference.product.legend import Legend, read_legend
from inference.run.plan import RUN_FILE, RunPlan, load_plan

if TYPE_CHECKING:
    import xarray

CHUNK: Final = 1_024
"""Pixels along a side of what is read of a map at a time."""


@dataclass(frozen=True)
class CropMap:
    """A finished map: its folder `map` of a run, or of a publication."""

    folder: Path
    """Folder with crop_map.tif and legend.json."""

    @classmethod
    def open(cls, place: Path) -> CropMap:
        """The map of a folder with crop_map.tif and legend.json, or of one that holds such a folder `map`.

        Raises:
            InputError: There is none.
        """
        for folder in (place, place / "map"):
            if (folder / "crop_map.tif").is_file() and (folder / "legend.json").is_file():
                return cls(folder)
        run = next((folder for folder in (place, place.parent) if (folder / RUN_FILE).is_file()), None)
        if run is not None:
            raise InputError(
                f"The run in {run} has no finished map. Go on with cropmap.predict and the same folder, or "
                "see 'cropmap status'."
            )
        raise InputError(
            f"{place} holds no map of cropmap: there is no crop_map.tif with legend.json. Name the out of "
            "cropmap.predict."
        )

    @cached_property
    def report(self) -> dict[str, Any]:
        """What report.json says: areas, model, recipe, completeness."""
        path = self.folder / "report.json"
        found = read_json(path)
        if not isinstance(found, dict) or not {"title", "classes", "simulated"} <= set(found):
            raise CorruptFileError(
                f"{path} is no report of a map of cropmap, or is damaged. Make the map again with "
                "cropmap.predict and the same folder."
            )
        return found

    @cached_property
    def legend(self) -> Legend:
        """Code, name and colour of each class."""
        return read_legend(self.folder / "legend.json")

    @property
    def classes(self) -> xarray.DataArray:
        """Codes `(y, x)` as uint8, read when they are looked at; 0 is outside.

        `attrs` name them as CF has it: `flag_values`, `flag_meanings` (words without spaces), and beside
        these `class_names` and `flag_colors`.
        """
        found = self.layer("crop_map").squeeze("band", drop=True)
        entries = self.legend.entries
        named = {
            "flag_values": [entry.code for entry in entries],
            "flag_meanings": " ".join(entry.slug for entry in entries),
            "flag_colors": [entry.color for entry in entries],
            "class_names": {entry.code: entry.name for entry in entries},
        }
        return found.rename("class").assign_attrs(named)

    @property
    def confidence(self) -> xarray.DataArray:
        """Confidence `(y, x)` in percent, uint8; 255 where there is none."""
        return self.layer(CONFIDENCE.name).squeeze("band", drop=True).rename("confidence")

    @property
    def probabilities(self) -> xarray.DataArray:
        """Probability `(class, y, x)` in percent, uint8, with the names of the classes; 255 where none is.

        Raises:
            InputError: The map was made without `layers=("probabilities",)`.
        """
        found = self.layer(PROBABILITIES.name).rename(band="class")
        return found.assign_coords({"class": [entry.name for entry in self.legend.crops]})

    def layer(self, name: str) -> xarray.DataArray:
        """A raster of the map `(band, y, x)` by its file's name, read when it is looked at.

        Raises:
            InputError: The map does not have it.
        """
        import rioxarray

        path = self.folder / f"{name}.tif"
        if not path.is_file():
            if name in {layer.name for layer in BASE}:
                raise InputError(
                    f"The map in {self.folder} is not whole: {path.name} is missing. Make it again with "
                    "cropmap.predict and the same folder."
                )
            there = ", ".join(sorted(one.stem for one in self.folder.glob("*.tif")))
            raise InputError(
                f"The map in {self.folder} has no layer {name}; it has {there}. A finished run gets more: "
                f"cropmap.predict(..., layers=({name!r},)) with the same folder."
            )
        try:
            found = rioxarray.open_rasterio(path, chunks={"x": CHUNK, "y": CHUNK})
        except RasterioError as error:
            raise CorruptFileError(
                f"{path} cannot be read: {error}. Make the map again with cropmap.predict and the "
                "same folder."
            ) from error
        assert not isinstance(found, list)
        return found  # type: ignore[return-value]  # one raster of one group of bands

    @property
    def areas(self) -> pd.DataFrame:
        """Pixel counts, hectares, share, mean confidence and observations by class: no area estimates."""
        return pd.DataFrame(self.report["classes"]).set_index("code")

    def show(self, **options: Any) -> Any:
        """The map on a geemap map, see `cropmap.show.show`.

        Args:
            **options: As `cropmap.show.show` takes them.
        """
        from cropmap.show import show

        return show(self, **options)

    def _repr_html_(self) -> str:
        return page_of(self)

    def __repr__(self) -> str:
        return f"CropMap({str(self.folder)!r})"


@dataclass(frozen=True)
class Run:
    """A folder of `cropmap.predict` or `cropmap.export`: composites, predictions, at last a map."""

    folder: Path
    """The folder."""

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run of a folder.

        Raises:
            InputError: The folder holds no run.
            CorruptFileError: It is damaged.
            MismatchError: Another version of cropmap wrote it.
        """
        run = cls(folder)
        _ = run.plan  # refuses what is no run
        return run

    @cached_property
    def plan(self) -> RunPlan:
        """Grid, area, season, recipe and model."""
        return load_plan(self.folder)

    @property
    def map(self) -> CropMap:
        """The finished map.

        Raises:
            InputError: There is none yet.
        """
        return CropMap.open(self.folder / "map")

    @property
    def composites(self) -> xarray.Dataset:
        """Reflectance `(time, y, x)` of each band, NaN in gaps, read when it is looked at.

        Raises:
            InputError: The run has none.
        """
        return open_composites(self.folder, self.plan)

    @property
    def probabilities(self) -> xarray.DataArray:
        """As `CropMap.probabilities`."""
        return self.map.probabilities

    @property
    def areas(self) -> pd.DataFrame:
        """As `CropMap.areas`."""
        return self.map.areas

    def pixel(self, lon: float, lat: float) -> dict[str, Any]:
        """What the run says of the pixel at a place.

        Args:
            lon: Degrees east.
            lat: Degrees north.

        Returns:
            `class`, `confidence`, `probabilities` by class where the map has that layer, and `series`, a
            table of reflectance and NDVI by the first day of each bin, where the run has composites.

        Raises:
            InputError: The place is not on the map.
        """
        from cropmap.pixel import pixel_of

        return pixel_of(self, lon, lat)

    def show(self, **options: Any) -> Any:
        """The map of the run on a geemap map, see `cropmap.show.show`; a click tells of its pixel.

        Args:
            **options: As `cropmap.show.show` takes them.
        """
        from cropmap.show import show

        return show(self.map, run=self, **options)

    def _repr_html_(self) -> str:
        if (self.folder / "map" / "report.json").is_file():
            return page_of(self.map)
        plan = self.plan
        rows = {
            "folder": self.folder,
            "cells": f"{len(plan.cells):,}",
            "season": f"{plan.season.year}, from {plan.season.start:%Y-%m-%d}",
            "model": plan.model.name if plan.model else "none: composites only",
            "map": "not finished",
        }
        return _table(rows)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"


def page_of(crop_map: CropMap) -> str:
    """A map in a few lines of HTML: what it is, and hectares by class."""
    report = crop_map.report
    simulated = " Its scenes are simulated." if report["simulated"] else ""
    rows = "".join(_class_row(crop_map, one) for one in report["classes"])
    return (
        f"<p><b>{html.escape(report['title'])}</b><br>{html.escape(str(crop_map.folder))}<br>"
        f"Pixel counts, not area estimates.{simulated}</p>"
        f"<table><tr><th></th><th>class</th><th>hectares</th><th>share</th></tr>{rows}</table>"
    )


def _class_row(crop_map: CropMap, one: Mapping[str, Any]) -> str:
    colors = {entry.code: entry.color for entry in crop_map.legend.entries}
    patch = f'<span style="background:{colors.get(one["code"], "#fff")}">&emsp;</span>'
    return (
        f"<tr><td>{patch}</td><td>{html.escape(one['name'])}</td><td>{one['hectares']:,.1f}</td>"
        f"<td>{one['share']:.1%}</td></tr>"
    )


def _table(rows: Mapping[str, Any]) -> str:
    lines = (f"<tr><td>{key}</td><td>{html.escape(str(value))}</td></tr>" for key, value in rows.items())
    return f"<table>{''.join(lines)}</table>"
