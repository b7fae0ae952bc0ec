"""A run as data: everything that decides what it computes, kept in the run folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_limited, read_sealed, write_bytes, write_sealed
from gee_pipeline.grid import Grid
from gee_pipeline.incoming.addresses import without_secrets
from gee_pipeline.layers import LayerName, band_names, in_order
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import Clock, Season
from gee_pipeline.source import Source
from inference.run.cropland import CroplandMask

FORMAT: Final = 1
"""Version of run.json; a file of another version is refused."""

RUN_FILE: Final = "run.json"
AREA_FILE: Final = "area.wkb"
_WAY_OUT: Final = "Restore it from a copy, or choose another --out."

LARGEST_AREA: Final = 2**30
"""Most bytes of an area: 1 GiB, 60 million corners."""

CONFIG_FILE: Final = "run.toml"

PlannedKind = Literal["checkpoint", "local-forest", "forest", "served-network"]
"""A network or a Random Forest that this machine runs, or a Random Forest or a network that a server runs."""

ON_SERVERS: Final[dict[PlannedKind, str]] = {"forest": "forest", "served-network": "network"}
"""Kinds that a server runs, and what they are."""

MODEL_FILES: Final[dict[PlannedKind, str]] = {
    "checkpoint": "model.safetensors",
    "local-forest": "forest.safetensors",
    "forest": "forest.safetensors",
    "served-network": "model.safetensors",
}
"""Name of the copy that a run keeps of its model, by the model's kind."""


@dataclass(frozen=True)
class PlannedModel:
    """The model of a run; the run keeps its own copy."""

    name: str
    """File name it came with."""
    digest: str
    """Digest of its content."""
    classes: tuple[str, ...]
    """Names of its classes, in order of their codes from 1."""
    path: Path = field(compare=False)
    """Where the file is."""
    kind: PlannedKind = "checkpoint"
    """Who runs it."""

    @property
    def on_servers(self) -> str | None:
        """What it is where a server runs it, `forest` or `network`; None where this machine does."""
        return ON_SERVERS.get(self.kind)


@dataclass(frozen=True)
class RunPlan:
    """Everything that decides what a run computes, and nothing of where or how fast."""

    grid: Grid
    """Pixels and cells of the run."""
    area: BaseGeometry
    """The area to map: polygon in the grid's CRS."""
    season: Season
    """The season to map."""
    recipe: Recipe
    """How scenes become composites and the model's input."""
    bins: range
    """Bins of the composites; with a model at least the recipe's window."""
    source: Mapping[str, Any]
    """What `Source.describe` says."""
    model: PlannedModel | None = None
    """The model of a map; None makes composites only."""
    cropland: Mapping[str, Any] | None = None
    """What `CroplandMask.describe` says; None maps every pixel of the area."""
    version: str = field(default_factory=lambda: importlib.metadata.version("cropmap"), compare=False)
    """Version of cropmap that made the plan."""
    layers: tuple[LayerName, ...] = field(default=(), compare=False)
    """Layers on request that the map has, in the order of the table; they change no other pixel, so they are
    no part of the run's identity."""
    scenes: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    """What `SceneSource.fingerprints` says of the area, where the source knows it: files that no finished
    cell shows may change, so they are no part of the run's identity."""
    network_form: str = field(default="", compare=False)
    """Form of its network (`inference.models.predictor.form_for`), which a continued run keeps; empty where
    it has none, or began before forms were kept."""
    reader: Source | None = field(default=None, compare=False, repr=False)
    """The source itself; it goes to the workers and is not written to run.json (it may hold tokens)."""

    def __post_init__(self) -> None:
        season = range(self.recipe.bins_in_season)
        if not set(self.bins) <= set(season) or not self.bins:
            raise InputError(f"A season has bins 0 to {season[-1]}, got {self.bins}.")
        if self.model and not set(self.recipe.window) <= set(self.bins):
            raise MismatchError(
                f"The model needs the bins {span(self.recipe.window)}, the run plans {span(self.bins)}. "
                "Plan the model's window, or all bins."
            )

    @cached_property
    def cells(self) -> NDArray[np.int32]:
        """Rows and columns `(n, 2)` of the planned cells, in row order."""
        return self.grid.cells_touching(self.area)

    @property
    def mask(self) -> CroplandMask | None:
        """The cropland mask, ready to read."""
        if self.cropland is None:
            return None
        return CroplandMask(self.cropland["path"], tuple((a, b) for a, b in self.cropland["values"]))

    @property
    def shown_source(self) -> dict[str, Any]:
        """What may be written of the source: runs of version 0.1.0 kept its URL with user and query."""
        values = self.source.items()
        return {key: without_secrets(value) if isinstance(value, str) else value for key, value in values}

    @property
    def command(self) -> str:
        """The subcommand of cropmap that makes and continues the run."""
        if self.model is None:
            return "export"
        return "forest predict" if self.model.kind == "forest" else "predict"

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands of its predictions."""
        return band_names(self.layers, self.classes)

    @property
    def classes(self) -> int:
        """Number of classes of its model."""
        if self.model is None:
            raise AssertionError("a run without a model has no classes")
        return len(self.model.classes)

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that are equal exactly when two plans compute the same."""
        text = json.dumps(self._identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def workload(self) -> str:
        """What a server's costs of the run are counted under."""
        return f"cropmap-{self.digest}"

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON values; the area is next to it in its own file."""
        about = {"format": FORMAT, "version": self.version, "cells": len(self.cells)}
        layers = {"layers": list(self.layers)} if self.layers else {}
        scenes = {"scenes": dict(self.scenes)} if self.scenes else {}
        form = {"network_form": self.network_form} if self.network_form else {}
        return about | self._identity() | layers | scenes | form

    def _identity(self) -> dict[str, Any]:
        return {
            "grid": _grid_to_dict(self.grid),
            "area": {"file": AREA_FILE, "sha256": hashlib.sha256(shapely.to_wkb(self.area)).hexdigest()},
            "season": _season_to_dict(self.season),
            "recipe": self.recipe.to_dict(),
            "bins": [self.bins.start, self.bins.stop],
            "source": dict(self.source),
            "model": _model_to_dict(self.model),
            "cropland": None if self.cropland is None else dict(self.cropland),
        }

    def save(self, folder: Path) -> None:
        """Write run.json, the area and the model's copy; run.json comes last and makes it a run.

        Raises:
            DiskFullError: The disk has no room.
        """
        write_bytes(folder / AREA_FILE, shapely.to_wkb(self.area))
        if self.model:
            _keep(self.model.path, folder / MODEL_FILES[self.model.kind])
        write_sealed(folder / RUN_FILE, self.to_dict())


def _season_to_dict(season: Season) -> dict[str, Any]:
    clock = {"hours_ahead": season.hours_ahead} if season.hours_ahead else {}
    return {"year": season.year, "start": season.start.isoformat(), **clock}


def _season_from_dict(values: dict[str, Any]) -> Season:
    return Season(values["year"], date.fromisoformat(values["start"]), values.get("hours_ahead", 0))


def _keep(path: Path, kept: Path) -> None:
    if not (kept.exists() and path.samefile(kept)):
        write_bytes(kept, path.read_bytes())


def span(bins: range) -> str:
    """Bins for a message: the first and the last."""
    return f"{bins[0]} to {bins[-1]}"


def load_plan(folder: Path) -> RunPlan:
    """The plan of a run folder, without its source.

    Raises:
        InputError: The folder holds no run.
        CorruptFileError: run.json or the area is damaged.
        MismatchError: Another version of cropmap wrote it.
    """
    values = read_run_file(folder)
    try:
        return RunPlan(
            grid=_grid_from_dict(values["grid"]),
            area=_load_area(folder, values["area"]["sha256"]),
            season=_season_from_dict(values["season"]),
            recipe=Recipe.from_dict(values["recipe"]),
            bins=range(*values["bins"]),
            source=values["source"],
            model=_model_from_dict(values["model"], folder),
            cropland=values["cropland"],
            version=values["version"],
            layers=in_order(values.get("layers", [])),
            scenes=values.get("scenes", {}),
            network_form=values.get("network_form", ""),
        )
    except (*ODD_VALUES, ProjError) as error:
        raise _damaged(folder / RUN_FILE, repr(error)) from error


def clock_of(folder: Path) -> Clock | None:
    """By which clock the run in a folder counts days; None where there is no run.

    Raises:
        CorruptFileError: run.json is damaged.
        MismatchError: Another version of cropmap wrote it.
    """
    return load_plan(folder).recipe.clock if (folder / RUN_FILE).is_file() else None


def read_run_file(folder: Path) -> dict[str, Any]:
    """The JSON values of a run; the number of planned cells is among them.

    Raises:
        InputError: The folder holds no run.
        CorruptFileError: run.json is damaged.
        MismatchError: Another version of cropmap wrote it.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} holds no run: there is no {RUN_FILE}. Name the --out of predict or export."
        )
    values = read_sealed(path, _WAY_OUT)
    if values.get("format") != FORMAT:
        raise MismatchError(
            f"This cropmap continues runs of format {FORMAT}, {path} has format {values.get('format')!r}. "
            "Use the version of cropmap that began it, or choose another --out."
        )
    if type(values.get("cells")) is not int or not isinstance(values.get("model", ""), dict | None):
        raise _damaged(path, "it names no cells, or no model")
    return values


def _model_to_dict(model: PlannedModel | None) -> dict[str, Any] | None:
    if model is None:
        return None
    values = {"name": model.name, "digest": model.digest, "classes": list(model.classes)}
    return values if model.kind == "checkpoint" else {**values, "kind": model.kind}


def _model_from_dict(values: dict[str, Any] | None, folder: Path) -> PlannedModel | None:
    if values is None:
        return None
    kind = values.get("kind", "checkpoint")
    classes, path = tuple(values["classes"]), folder / MODEL_FILES[kind]
    return PlannedModel(values["name"], values["digest"], classes, path, kind)


def _grid_to_dict(grid: Grid) -> dict[str, Any]:
    return {
        "crs": str(grid.geobox.crs),
        "transform": list(grid.geobox.transform)[:6],
        "shape": list(grid.geobox.shape),
        "cell_size": grid.cell_size,
        **({} if grid.map_shape is None else {"map_shape": list(grid.map_shape)}),
    }


def _grid_from_dict(values: dict[str, Any]) -> Grid:
    height, width = values["shape"]
    geobox = GeoBox((height, width), Affine(*values["transform"]), values["crs"])
    map_shape = values.get("map_shape")
    return Grid(geobox, values["cell_size"], tuple(map_shape) if map_shape else None)


def _load_area(folder: Path, digest: str) -> BaseGeometry:
    path = folder / AREA_FILE
    try:
        content = read_limited(path, LARGEST_AREA)
    except (CorruptFileError, InputError) as error:
        raise _damaged(path, "it cannot be read") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise _damaged(path, "it is not the area that run.json names")
    return shapely.from_wkb(content)


def _damaged(path: Path, reason: str) -> CorruptFileError:
    return CorruptFileError(f"{path} is damaged: {reason}. {_WAY_OUT}")
