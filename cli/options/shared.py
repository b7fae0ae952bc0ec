"""Options that several commands share, and the TOML file that can give them all."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.options.paths import ANY_PATH, IN_FILE, OUT_FOLDER, Address, beside, is_place
from gee_pipeline.errors import CropmapError
from gee_pipeline.files import ODD_VALUES, read_toml

if TYPE_CHECKING:
    from gee_pipeline.earthengine.client.settings import EarthEngineSettings
    from gee_pipeline.recipe import Recipe, RecipeOptions
    from gee_pipeline.season import BinLength, MonthDay, SeasonRule

F = TypeVar("F", bound=Callable[..., Any])


class SeasonStart(click.ParamType["date | MonthDay"]):
    """A calendar day such as 2022-07-01, or a day of any year such as 07-01."""

    name = "[YYYY-]MM-DD"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> date | MonthDay:
        """The day that a text names; a TOML file may hold a date itself."""
        from gee_pipeline.errors import InputError
        from gee_pipeline.season import MonthDay

        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date | MonthDay):
            return value
        try:
            return MonthDay.parse(value) if len(value) == len("07-01") else date.fromisoformat(value)
        except (ValueError, InputError):
            self.fail(f"{value!r} is not a valid date. Write it as 2022-07-01, or as 07-01.", param, ctx)


class SeasonRuleType(click.ParamType["SeasonRule"]):
    """A season by its name, or in a TOML file; a run.toml holds the rule itself."""

    name = "NAME|FILE.toml"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> SeasonRule:
        """The rule."""
        from gee_pipeline.season import SEASONS, SeasonRule

        if isinstance(value, SeasonRule):
            return value
        if isinstance(value, str) and value in SEASONS:
            return SEASONS[value]
        try:
            if isinstance(value, dict):
                return SeasonRule.from_dict(value)
            if not Path(value).exists():
                self.fail(
                    f"{value!r} is neither a season ({', '.join(SEASONS)}) nor a TOML file.", param, ctx
                )
            return SeasonRule.from_dict(read_toml(Path(value)))
        except CropmapError as error:
            self.fail(str(error), param, ctx)
        except (OSError, *ODD_VALUES) as error:
            self.fail(f"{value} is no season: {error}", param, ctx)


class Days(click.ParamType[tuple[int, int]]):
    """First and last day of a window, counted from 1."""

    name = "FIRST:LAST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """The two days; a TOML file may hold a list."""
        parts = value.split(":") if isinstance(value, str) else value
        try:
            first, last = (int(part) for part in parts)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a pair of days. Write it as 121:334.", param, ctx)
        return first, last


class BinDays(click.ParamType["BinLength"]):
    """Days of a bin, or calendar months."""

    name = "N|month|month:N,N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> BinLength:
        """The number of days, or the months in one spelling."""
        from gee_pipeline.errors import InputError
        from gee_pipeline.season import months_of

        text = str(value).replace(" ", "")
        try:
            if text.startswith("month"):
                months_of(text)
                return text
            return int(value)
        except InputError as error:
            self.fail(str(error), param, ctx)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is neither a number of days nor 'month'.", param, ctx)


class Gibibytes(click.ParamType[float]):
    """An amount of memory that a machine can have: no infinity and no NaN, which TOML and Python know."""

    name = "GIB"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of GiB."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0.1 <= number <= 1e6:
            self.fail(
                f"{value!r} is not an amount of memory. Write GiB of at least 0.1, such as 2.", param, ctx
            )
        return number


class Names(click.ParamType[tuple[str, ...]]):
    """Several names, separated by commas; a TOML file may hold a list."""

    name = "NAME,NAME,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names in order."""
        parts = value.split(",") if isinstance(value, str) else value
        names = tuple(str(part).strip() for part in parts)
        if not all(names):
            self.fail(f"{value!r} holds an empty name. Separate names by single commas.", param, ctx)
        return names


_OF_MAPS = ("model", "cropland_mask", "device", "layers")
"""Options that only a map has: its run.toml lets an export in the same folder continue too."""


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Take a TOML file's values as the defaults of a command's options.

    A relative path is looked for beside the file, then where the command runs.

    Raises:
        click.BadParameter: The file is not TOML or names an option that the command does not have.
    """
    if path is None:
        return None
    try:
        values = read_toml(path)
    except CropmapError as error:
        raise click.BadParameter(str(error)) from error
    names = {_key(text): p.name for p in ctx.command.params for text in p.opts if p.name != "config"}
    if ctx.command.name == "export":
        values = {key: value for key, value in values.items() if _key(key) not in _OF_MAPS}
    if unknown := sorted(key for key in values if _key(key) not in names):
        raise click.BadParameter(
            f"{path} holds the unknown option {', '.join(unknown)}. "
            f"'{ctx.command_path} --help' lists the options; write them without the leading dashes."
        )
    kinds = {param.name: param.type for param in ctx.command.params}
    chosen = {names[_key(key)]: _as_typed(value) for key, value in values.items()}
    ctx.default_map = {
        name: beside(value, path.parent) if is_place(kinds[name], value) else value
        for name, value in chosen.items()
    }
    return path


def _key(text: str) -> str:
    return text.lstrip("-").replace("-", "_")


def _as_typed(value: Any) -> Any:
    """A number as it would be typed, so that the option's own check sees it: `workers = 1.5` is no 1."""
    return str(value) if type(value) in (int, float) else value


def apply(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator out of several options, in the order in which --help shows them."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _config_option(more: str = "") -> Callable[[F], F]:
    return click.option(
        "--config",
        type=IN_FILE,
        is_eager=True,
        expose_value=False,
        callback=read_config,
        help=f"TOML file with any of these options; the command line wins.{more}",
    )


config_option = _config_option()
"""For commands that write no such file."""

run_config_option = _config_option(" Each run writes its own as run.toml.")

restart_option = click.option(
    "--restart",
    is_flag=True,
    help="Forget what is finished in --out and start over, instead of continuing.",
)

map_legend_option = click.option(
    "--legend",
    type=IN_FILE,
    help="Names of the codes of a MAP: CSV with the columns code and name.  [default: those in the raster]",
)

hemisphere_option = click.option(
    "--hemisphere",
    type=click.Choice(["north", "south"]),
    help="Side of the equator whose season is meant.  [default: that of the area, where it lies on one side]",
)


def _checked_area(ctx: click.Context, param: click.Parameter, path: Path) -> Path:
    """The path of an area, looked at before anything heavy is imported."""
    from gee_pipeline.vector_file import require_vector_file

    require_vector_file(path)
    return path


def _checked_year(ctx: click.Context, param: click.Parameter, year: int) -> int:
    """The year of a season that can have begun; which day it begins on is known with the area."""
    from gee_pipeline.season import require_begun_year, require_year

    require_year(year)
    require_begun_year(year)
    return year


aoi_options = apply(
    click.option(
        "--aoi",
        type=ANY_PATH,
        required=True,
        callback=_checked_area,
        help="Area of interest: polygons as GeoJSON, GeoPackage or Shapefile, in any CRS.",
    ),
    click.option("--layer", metavar="NAME", help="Layer of the --aoi file.  [default: its only one]"),
)

place_options = apply(
    aoi_options,
    click.option(
        "--year",
        type=int,
        required=True,
        callback=_checked_year,
        help="Year of the season, 2017 or later.",
    ),
    hemisphere_option,
)

expected_start_option = click.option(
    "--season-start",
    type=SeasonStart(),
    help="First day of the season as you expect it; refused where the model was trained on another.  "
    "[default: the model's]",
)

map_place_options = apply(place_options, expected_start_option)
"""The same for a map, whose season is that of its model."""

bin_options = apply(
    click.option(
        "--season",
        type=SeasonRuleType(),
        help="Which days a year means: summer (1 January, south 1 July of the year before; a model sees days "
        "121 to 334), winter (3 October of the year before, south 2 April; days 1 to 305), year (as summer; "
        "all days), or a TOML file.  [default: summer]",
    ),
    click.option(
        "--season-start",
        type=SeasonStart(),
        help="First day of the season, in place of the one of --season.",
    ),
    click.option(
        "--window",
        type=Days(),
        help="Days of the season that a model sees, counted from 1.  [default: those of --season]",
    ),
    click.option(
        "--bin-days",
        type=BinDays(),
        help="Length of a bin: days, or calendar months, all (month) or some (month:6,8, counted from the "
        "season's first).  [default: 5]",
    ),
)
"""Season and bins of composites."""

clock_option = click.option(
    "--clock",
    type=click.Choice(["solar", "utc"]),
    help="By which clock observations belong to days: mean solar time of the area, whose midnight cuts no "
    "overpass, or utc as in version 0.1.0.  [default: solar; of a run or files, theirs]",
)

sensor_options = apply(
    click.option(
        "--sensors",
        "--sensor",
        "sensors",
        type=Names(),
        help="Sensors of which all bands are taken: sentinel-2, sentinel-1 (VV and VH), alphaearth (yearly "
        "embeddings of 64 numbers), emit (242 narrow bands, June and August).  [default: sentinel-2]",
    ),
    click.option(
        "--bands",
        type=Names(),
        help="Bands in this order, of any sensors, each sensor's together, in place of --sensors; of files "
        "that name their bands, those that are taken.  [default: B2,B3,B4,B8,B5,B6,B7,B8A,B11,B12]",
    ),
)
"""Whose images composites are made of."""

recipe_options = apply(
    bin_options,
    click.option(
        "--min-clear-bins",
        type=click.IntRange(min=0),
        metavar="N",
        help="A series with fewer observed bins in the window is left out, and mapped as not enough "
        "observations.  [default: 8]",
    ),
)
"""The same, and what a model asks of a series."""

grid_options = apply(
    click.option(
        "--crs",
        help="Projected CRS of the map, in metres, such as EPSG:3035.  [default: UTM zone of the area]",
    ),
    click.option(
        "--cell-size",
        type=int,
        metavar="PIXELS",
        help="Side of a cell, the unit of work and what an interruption can cost; a multiple "
        "of 16.  [default: 256]",
    ),
    click.option(
        "--like",
        type=IN_FILE,
        help="Raster whose CRS, origin and extent the map has, pixel for pixel; its pixels are squares of 10 "
        "m. In place of --crs.",
    ),
)

out_option = click.option(
    "--out",
    type=OUT_FOLDER,
    help="Folder of the run.  [default: the area's name and the year, for example region-2023]",
)

layers_option = click.option(
    "--layers",
    type=Names(),
    help="More layers of the map: second (class), margin, entropy, probabilities, applicability (how unlike "
    "the training samples), sets (how many classes a pixel may well have), members (which). A "
    "finished run gets them without scenes. What they are for: docs/layers.md.  [default: none]",
)

min_mapped_option = click.option(
    "--min-mapped",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Exit with 3 where a smaller share of the pixels to map has a class, 0 to 1, for example 0.95.  "
    "[default: any share will do]",
)

cropland_mask_option = click.option(
    "--cropland-mask",
    type=Address(
        "cropland mask",
        "Write file.tif for every non-zero value, or file.tif:40 or file.tif:1,2,5-9 for some values.",
        values=True,
    ),
    metavar="FILE[:VALUES]",
    help="Raster of cropland; only VALUES are mapped, such as worldcover.tif:40.  [default: any non-zero]",
)

scene_options = apply(
    click.option(
        "--source",
        type=Address(
            "catalog",
            "Give --source the path of a catalog.json or an item collection, or the URL of a STAC API.",
        ),
        metavar="CATALOG",
        help="Where scenes come from: the path of a STAC catalog.json, or the URL of a STAC API.  [default: "
        "Google Earth Engine]",
    ),
    click.option(
        "--collection",
        help="Collection within the source, for example sentinel-2-l2a; several are separated by commas.",
    ),
    click.option(
        "--leave-out-scene",
        metavar="ID",
        multiple=True,
        help="Id of an item of the source that is not used; repeat it for more. Another choice is another "
        "run.  [default: none]",
    ),
    click.option(
        "--bad-scenes",
        type=click.Choice(["stop", "leave-out"]),
        help="What becomes of scenes without all bands, a cloud asset, time or footprint, or whose file is "
        "gone: they stop the run, or are left out and counted.  [default: stop]",
    ),
)
"""Scenes of a STAC catalog in place of Earth Engine."""

area_options = apply(
    run_config_option,
    place_options,
    scene_options,
    out_option,
    grid_options,
)

cropland_option = click.option(
    "--cropland",
    type=click.Choice(["worldcover", "none"]),
    help="Cropland mask that Earth Engine applies on its servers: ESA WorldCover 2021 or none. Cells "
    "without cropland are not fetched.  [default: none]",
)

forest_option = click.option(
    "--forest",
    type=IN_FILE,
    required=True,
    help="Forest that 'cropmap forest deploy' has brought to Earth Engine; FOREST.deployment.json is "
    "next to it.",
)

cloud_options = apply(
    click.option(
        "--cloud-band",
        type=click.Choice(["cs", "cs_cdf"]),
        help="Cloud Score+ band.  [default: cs]",
    ),
    click.option(
        "--cloud-threshold",
        type=float,
        help="A pixel is clear where the score is at least this, 0 to 1.  [default: 0.75]",
    ),
)

earth_engine_options = apply(
    click.option(
        "--project",
        help="Google Cloud project that Earth Engine charges for the work.  [default: the credentials' own]",
    ),
    click.option(
        "--service-account",
        metavar="KEY.json",
        type=IN_FILE,
        help="Key file of a service account.  [default: application default or stored credentials]",
    ),
    click.option(
        "--endpoint",
        type=click.Choice(["standard", "high-volume"]),
        help="Which of Earth Engine's endpoints is asked: high-volume takes more requests at once, each "
        "answered later.  [default: standard]",
    ),
)


def earth_engine_settings(options: dict[str, Any]) -> EarthEngineSettings:
    """What `earth_engine_options` say, taken out of a command's options."""
    from gee_pipeline.earthengine.client.settings import EarthEngineSettings

    names = ("project", "service_account", "endpoint")
    return EarthEngineSettings(**given({name: options.pop(name) for name in names}))


eecu_option = click.option(
    "--max-eecu-hours",
    type=float,
    help="Stop before Earth Engine has computed this many hours, former starts included; see 'cropmap "
    "estimate'.  [default: no limit]",
)

server_options = apply(earth_engine_options, cropland_option, eecu_option)

work_options = apply(
    click.option(
        "--memory",
        type=Gibibytes(),
        help="Memory that the arrays of one worker process may take.  [default: 2]",
    ),
    click.option(
        "--workers",
        type=click.IntRange(min=0),
        metavar="N",
        help="Worker processes; 0 works in this process without Dask.  [default: by cores or GPUs]",
    ),
    click.option(
        "--scheduler",
        help="Address of a running Dask scheduler, such as tcp://host:8786, or tls:// with certificates "
        "(docs/trust.md); --out must be on a shared disk.",
    ),
)

talk_options = apply(
    click.option("--quiet", is_flag=True, help="No progress and no notices on stderr."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave; the others keep the default of the request they go into."""
    return {name: value for name, value in options.items() if value not in (None, ())}


_OF_RECIPES = {
    "cloud_band": "score_band",
    "cloud_threshold": "threshold",
    **{name: name for name in ("sensors", "bands", "season", "season_start", "window", "bin_days", "clock")},
    "min_clear_bins": "min_clear_bins",
}
"""Options of a recipe, and the fields of `RecipeOptions`."""


def take_recipe_options(values: dict[str, Any]) -> RecipeOptions:
    """What the user says of the recipe, whose values are taken out."""
    from gee_pipeline.recipe import RecipeOptions

    return RecipeOptions(**{field: values.pop(key) for key, field in _OF_RECIPES.items() if key in values})


def take_recipe(values: dict[str, Any]) -> Recipe:
    """The recipe that the options of a command with --year make, whose values are taken out."""
    return take_recipe_options(values).applied(year=values["year"])
