"""What the whole commands are asked for; the fields are their options."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Final

import tomli_w

from gee_pipeline.earthengine.client.budget import require_hours
from gee_pipeline.earthengine.client.settings import Cropland, EarthEngineSettings, Endpoint
from gee_pipeline.errors import InputError
from gee_pipeline.grid import CELL_SIZE, require_cell_size, require_one_crs
from gee_pipeline.incoming.addresses import is_remote, without_secrets
from gee_pipeline.layers import LayerName, in_order
from gee_pipeline.recipe import USUAL, Recipe
from gee_pipeline.season import SEASONS, Hemisphere, MonthDay
from gee_pipeline.stac.choice import BadScenes
from inference.run.cropland import CroplandMask
from inference.run.execute import MEMORY_BUDGET, Progress

_OF_SECRETS: Final = (
    "User, password, query and fragment of {name} are kept in no file: give {name} again, also beside "
    "--config, to continue the run."
)


@dataclass(frozen=True)
class Request:
    """An area, a year and where the run stands; the fields are the options of the command."""

    aoi: Path
    """Vector file of the area of interest."""
    year: int
    """Mapped year."""
    out: Path | None = None
    """Folder of the run; None takes the area's name and the year."""
    layer: str | None = None
    """Layer of the vector file; None takes its only one."""
    hemisphere: Hemisphere | None = None
    """Side of the equator whose season is mapped; None takes that of the area."""
    crs: str | None = None
    """Projected CRS of the map; None takes the UTM zone."""
    like: Path | None = None
    """Raster whose CRS, origin and extent the map has, in place of `crs`."""
    cell_size: int = CELL_SIZE
    """Pixels along one side of a cell, the unit of work and of loss."""
    project: str | None = None
    """Google Cloud project for Earth Engine; None takes that of the credentials."""
    service_account: Path | None = None
    """Key file of a service account for Earth Engine; None looks for other credentials."""
    endpoint: Endpoint = "standard"
    """Which of Earth Engine's endpoints is asked."""
    cropland: Cropland = "none"
    """Cropland mask that Earth Engine applies on its servers."""
    max_eecu_hours: float | None = None
    """Computing time that Earth Engine may take for the whole run; None sets no limit."""

    def __post_init__(self) -> None:
        require_cell_size(self.cell_size)
        require_one_crs(self.crs, self.like)
        require_hours(self.max_eecu_hours)

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return self.out or Path(f"{self.aoi.stem}-{self.year}")

    @property
    def on_earth_engine(self) -> bool:
        """Whether the images are those of Earth Engine."""
        return True

    @property
    def settings(self) -> EarthEngineSettings:
        """How Earth Engine is reached."""
        return EarthEngineSettings(self.project, self.service_account, endpoint=self.endpoint)

    def to_toml(self) -> str:
        """The request as the TOML file in its folder that repeats it; unset options are left out.

        So are user, password and query of URLs, which a comment says. What lies beside the folder, or in it,
        is named from there, so that all can be moved together; other paths are absolute.
        """
        home = self.folder.absolute()
        values = {key: _toml(key, value, home) for key, value in self.options().items() if value is not None}
        named = [f"# {text}\n" for text in self.notices()]
        return "".join(named) + tomli_w.dumps({key: _shown(value) for key, value in values.items()})

    def notices(self) -> list[str]:
        """What the user should know of the options, one sentence each."""
        changed = [key for key, value in self.options().items() if _shown(value) != value]
        return [_OF_SECRETS.format(name="--" + key.replace("_", "-")) for key in changed]

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"out": self.folder}


@dataclass(frozen=True)
class SceneRequest(Request):
    """A request whose cells are worked on here, from scenes or from Earth Engine's composites."""

    source: str | None = None
    """STAC catalog or API; None is Google Earth Engine."""
    collection: str | None = None
    """Collection within a STAC API."""
    leave_out_scene: tuple[str, ...] = ()
    """Ids of scenes that are not used."""
    bad_scenes: BadScenes = "stop"
    """What becomes of scenes that cannot be used: they stop the run, or are left out and counted."""
    memory: float = MEMORY_BUDGET / 2**30
    """GiB that the arrays of one worker process may take."""
    workers: int | None = None
    """Worker processes; 0 is this process without Dask, None by cores or GPUs."""
    scheduler: str | None = None
    """Address of a running Dask scheduler."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_memory(self.memory)
        if self.workers is not None and self.workers < 0:
            raise InputError(f"--workers is 0 or more, got {self.workers}. Omit it to use all cores.")
        if self.source is not None and (names := self._of_earth_engine()):
            raise InputError(
                f"{', '.join(names)} concern Earth Engine, but --source {self.source} reads scenes from a "
                "STAC catalog. Omit one of the two; for a mask of your own there is --cropland-mask."
            )
        if self.source is None and (self.leave_out_scene or self.bad_scenes != "stop"):
            raise InputError(
                "--leave-out-scene and --bad-scenes concern the scenes of a STAC catalog, but no --source is "
                "given. Name the catalog with --source, or omit them to use Earth Engine."
            )
        if self.source is None and self.collection is not None:
            raise InputError(
                "--collection names a collection of a STAC API, but no --source is given. Name the API with "
                "--source, or omit --collection to use Earth Engine."
            )

    @property
    def on_earth_engine(self) -> bool:
        """Whether the images are those of Earth Engine."""
        return self.source is None

    def _of_earth_engine(self) -> list[str]:
        """Options given that only Earth Engine has."""
        values = {
            "--project": self.project,
            "--service-account": self.service_account,
            "--cropland": None if self.cropland == "none" else self.cropland,
            "--max-eecu-hours": self.max_eecu_hours,
        }
        return [name for name, value in values.items() if value is not None]

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        # Imported here: reading catalogs takes as long to import as all the rest of a map on Earth Engine.
        from gee_pipeline.stac.catalog import absolute

        return super().options() | {
            "source": self.source and absolute(self.source),
            "leave_out_scene": list(self.leave_out_scene) or None,
            "bad_scenes": None if self.bad_scenes == "stop" else self.bad_scenes,
        }


@dataclass(frozen=True)
class ModelRequest(Request):
    """A request for a map, whose season is that of its model."""

    season_start: date | MonthDay | None = None
    """First day of the season as the user expects it; another than the model's is refused."""
    layers: tuple[LayerName, ...] = ()
    """Layers on request; set in the order of the table."""
    min_mapped: float | None = None
    """Least share of the pixels to map that has a class, 0 to 1; with less the map is called incomplete."""
    colors: Mapping[str, str] = field(default_factory=dict)
    """`#rrggbb` by the name of a class, in place of the model's; part of no digest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_mapped is not None and not 0 <= self.min_mapped <= 1:
            raise InputError(
                f"--min-mapped is a share, 0 to 1, got {self.min_mapped}. Write for example 0.95."
            )
        object.__setattr__(self, "layers", in_order(self.layers))  # frozen

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        return super().options() | {"layers": list(self.layers) or None, "colors": dict(self.colors) or None}


@dataclass(frozen=True)
class MapRequest(SceneRequest, ModelRequest):
    """What `cropmap predict` is asked for."""

    model: Path | str | None = None
    """File of a model, or the name of one that ships (`inference.models.shipped`); None is the default."""
    cropland_mask: str | None = None
    """Raster of cropland, `file.tif` or `file.tif:values`."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        mask = self.cropland_mask and str(CroplandMask.parse(self.cropland_mask))
        return super().options() | {"cropland_mask": mask}


@dataclass(frozen=True)
class ExportRequest(SceneRequest):
    """What `cropmap export` is asked for."""

    recipe: Recipe = USUAL
    """How the composites are made."""
    whole_season: bool = False
    """True for all 73 bins, False for the model window."""
    to: str | None = None
    """Where Earth Engine's batch tasks write the cells, `gcs://bucket/prefix` or `drive:folder`; None fetches
    them at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_budget_of_fetching(self.to, self.max_eecu_hours)

    def _of_earth_engine(self) -> list[str]:
        return super()._of_earth_engine() + (["--to"] if self.to is not None else [])

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        values, recipe = super().options(), self.recipe
        del values["recipe"]
        known = SEASONS.get(recipe.season.name) == recipe.season
        return values | {
            "bands": list(recipe.bands),
            **_cloud_options(recipe),
            "season": recipe.season.name if known else recipe.season.to_dict(),
            "bin_days": recipe.bin_days,
            "clock": recipe.clock,
        }


@dataclass(frozen=True)
class ServedRequest(ModelRequest):
    """A request for a map that Earth Engine's servers make."""

    cropland_mask: str | None = None
    """Raster of cropland, `file.tif` or `file.tif:values`."""
    to: str | None = None
    """Where Earth Engine's batch tasks write the predictions, `gcs://bucket/prefix` or `drive:folder`; None
    fetches them at once."""
    unverified: bool = False
    """Whether to map without comparing what the servers say with what the model says here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_budget_of_fetching(self.to, self.max_eecu_hours)

    def options(self) -> dict[str, Any]:
        """The options of the command by name, with places that hold in any working directory."""
        mask = self.cropland_mask and str(CroplandMask.parse(self.cropland_mask))
        return super().options() | {"cropland_mask": mask}


@dataclass(frozen=True)
class ForestRequest(ServedRequest):
    """What `cropmap forest predict` is asked for."""

    forest: Path = field(kw_only=True)
    """File of the forest; its deployment is next to it."""


@dataclass(frozen=True)
class NetworkRequest(ServedRequest):
    """What `cropmap predict --on servers` is asked for."""

    model: Path | str | None = None
    """File of a network, or the name of one that ships (`inference.models.shipped`); None is the default."""

    def options(self) -> dict[str, Any]:
        """The options of the command by name; `on` tells `cropmap predict` whose run it is."""
        return super().options() | {"on": "servers"}


@dataclass(frozen=True)
class Listener:
    """Receives notices and progress of a request."""

    notice: Callable[[str], None] = lambda text: None
    """Takes one sentence for the user."""
    progress: Callable[[Progress], None] | None = None
    """Takes the state of the cells."""

    def warn(self, text: str) -> None:
        """Give the user one sentence that asks for a decision."""
        self.notice(f"Warning: {text}")


def require_memory(gibibytes: float) -> None:
    """Refuse an amount of memory that no machine has: too little, infinity, NaN.

    Raises:
        InputError: It is none.
    """
    if not 0.1 <= gibibytes <= 1e6:
        raise InputError(
            f"--memory is an amount of GiB of at least 0.1, got {gibibytes}. Write for example 2."
        )


_PLACES: Final = ("source", "cropland_mask")
"""Options whose text is a path, unless it is an address on the network."""


def _cloud_options(recipe: Recipe) -> dict[str, Any]:
    for group in recipe.sensors:
        if group.clear is not None:
            return {"cloud_band": group.clear.score_band, "cloud_threshold": group.clear.threshold}
    return {}


def _require_budget_of_fetching(to: str | None, hours: float | None) -> None:
    if to is not None and hours is not None:
        raise InputError(
            "--max-eecu-hours bounds what is fetched at once, not the batch tasks of --to: what a task "
            "takes is known when it ends. Omit it, and see 'cropmap estimate' before."
        )


def _shown(value: Any) -> Any:
    """A value as it may be written to a file."""
    return without_secrets(value) if isinstance(value, str) and is_remote(value) else value


def _toml(key: str, value: Any, home: Path) -> Any:
    if isinstance(value, MonthDay):
        return str(value)
    if isinstance(value, Path) or (key in _PLACES and not is_remote(value)):
        return _from(home, Path(value).absolute())
    return value


def _from(home: Path, path: Path) -> str:
    """A path as seen from a folder where it lies beside it or in it, else as it is."""
    if not path.is_relative_to(home.parent):
        return str(path)
    return Path(os.path.relpath(path, home)).as_posix()
