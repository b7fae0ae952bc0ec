"""CropGlobe built again: the reference map of each country sampled by the paper's rules (Tong et al. 2025).

The files are named as the published ones are, so that `cropmap benchmark --data` takes their folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import ee

from gee_pipeline.earthengine.client.session import connect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.errors import AccessError, CropmapError, EarthEngineError, IncompleteRunError, InputError
from gee_pipeline.files import write_bytes
from gee_pipeline.recipe import USUAL, Recipe
from training.cropglobe.counts import Counts, counts_of
from training.cropglobe.dataset import COUNTRIES, KINDS
from training.sampling.dry_run import DryRun, dry_run
from training.sampling.field_samples import SampleListener, take_samples
from training.sampling.plan import SampleRequest
from training.sampling.reference.known_maps import map_of_country
from training.sampling.sample_file import SampleSummary
from training.sampling.squares.rule import SamplingRule

YEAR: Final = 2023
"""Year of the published samples."""

[FILE] = KINDS["median"]
"""Name of the samples of a country, as they are published."""

OUTLINES: Final = "USDOS/LSIB_SIMPLE/2017"
"""Land of each country on Earth Engine; overseas land has names of its own there."""

_NAMES: Final = {
    "ARG": "Argentina",
    "AUS": "Australia",
    "BEL": "Belgium",
    "CHN": "China",
    "FRA": "France",
    "GBR": "United Kingdom",
    "NLD": "Netherlands",
    "USA": "United States",
}
"""What the outlines call each country."""


@dataclass(frozen=True)
class BuildRequest:
    """What `cropmap data build cropglobe` is asked for."""

    to: Path
    """Folder of the samples."""
    countries: tuple[str, ...] = COUNTRIES
    """Countries, three letters each."""
    areas: Mapping[str, Path] = field(default_factory=dict)
    """Vector file of the area of a country; others are the country's outline by Earth Engine."""
    maps: Mapping[str, str] = field(default_factory=dict)
    """Where the reference map of a country lies: a path, `asset:ID[:BAND]` or `table:ID`; others are where
    Earth Engine has them."""
    accuracies: Mapping[str, Path] = field(default_factory=dict)
    """CSV with the accuracies of the map of a country; others are taken as they are."""
    year: int = YEAR
    """Year of maps and seasons."""
    per_cell: int | None = None
    """Samples of a class in a square; None takes the paper's, 1 in the USA and 5 elsewhere."""
    rule: SamplingRule = field(default_factory=SamplingRule)
    """Buffer, spacing, side of the squares and seed."""
    recipe: Recipe = USUAL
    """How series are made."""
    source: str | None = None
    """STAC catalog or API; None is Google Earth Engine."""
    collection: str | None = None
    """Collection within a STAC API."""
    cropland_mask: str | None = None
    """FILE or FILE:VALUES: WorldCover as a raster, for maps on this machine that know some crops only."""
    settings: EarthEngineSettings = field(default_factory=EarthEngineSettings)
    """Access to Earth Engine and limits."""
    max_eecu_hours: float | None = None
    """Computing time that each country may take."""

    def __post_init__(self) -> None:
        named = {*self.countries, *self.areas, *self.maps, *self.accuracies}
        if unknown := sorted(named - {*COUNTRIES}):
            raise InputError(f"CropGlobe's countries are {', '.join(COUNTRIES)}; got {', '.join(unknown)}.")
        if unread := sorted(named - {*self.countries}):
            raise InputError(
                f"Areas, maps or accuracies of {', '.join(unread)} are given, which is not among --countries "
                f"{','.join(self.countries)}. Add it, or omit them."
            )


@dataclass(frozen=True)
class Country:
    """What became of one country."""

    code: str
    """Three letters."""
    summary: SampleSummary | None
    """What was drawn; None where it failed before."""
    counts: Counts | None
    """Samples by class beside the paper's table 1; None where there is no file."""
    failure: str | None = None
    """Why it is not complete."""


Heard = Callable[[str], SampleListener]
"""Makes the listener of a country."""


def build_cropglobe(request: BuildRequest, heard: Heard = lambda code: SampleListener()) -> list[Country]:
    """The samples of each country, in their files; what a former start finished is kept.

    A country that fails does not end the others.

    Args:
        request: Countries, maps and rules.
        heard: Makes a listener for each.

    Raises:
        InputError: Something concerns no country, or a map that nobody can read on Earth Engine has no place.
        AccessError: Earth Engine cannot be used.
        IncompleteRunError: Countries are not complete; the same request continues.
    """
    requests = {code: sample_request(request, code) for code in request.countries}
    built = [_built(code, one, heard(code)) for code, one in requests.items()]
    if failed := [country for country in built if country.failure]:
        raise UnfinishedBuild(built, failed)
    return built


class UnfinishedBuild(IncompleteRunError):
    """Some countries are not complete."""

    def __init__(self, built: list[Country], failed: list[Country]) -> None:
        """Name those that failed.

        Args:
            built: All countries.
            failed: Those of them that are not complete.
        """
        reasons = " ".join(f"{country.code}: {country.failure}" for country in failed)
        super().__init__(
            f"{len(failed)} of {len(built)} countries are not complete. {reasons} The same command continues."
        )
        self.built = built


def count_cropglobe(request: BuildRequest, heard: Heard = lambda code: SampleListener()) -> dict[str, DryRun]:
    """How many samples each rule would leave in each country, without a series.

    Args:
        request: Countries, maps and rules.
        heard: Makes a listener for each.

    Raises:
        InputError: As `build_cropglobe`.
        CropmapError: A map cannot be read.
    """
    return {code: dry_run(sample_request(request, code), heard(code)) for code in request.countries}


def sample_request(request: BuildRequest, code: str) -> SampleRequest:
    """The sampling of a country by the paper's rules.

    Raises:
        InputError: Its map is missing, or its outline cannot be had.
    """
    known = map_of_country(code)
    if code not in request.maps and known.asset is None:
        raise InputError(
            f"{code} takes its labels from {known.title}, which is not on Earth Engine where everybody can "
            f"read it. Get it from {known.address} ({known.licence}) and name it with --map {code}=PATH, or "
            f"--map {code}=table:ID; or leave the country out of --countries."
        )
    on_server = code not in request.maps or request.maps[code].startswith(("asset:", "table:"))
    completes = known.table.cropland_outside is not None and not on_server
    return SampleRequest(
        aoi=request.areas.get(code) or outline(request, code),
        year=request.year,
        reference=known.name,
        reference_at=request.maps.get(code),
        out=request.to / FILE.format(code),
        rule=replace(request.rule, per_cell=request.per_cell or known.per_cell, each_class=True),
        recipe=request.recipe,
        cropland_mask=request.cropland_mask if completes else None,
        accuracy=request.accuracies.get(code),
        source=request.source,
        collection=request.collection,
        settings=request.settings,
        max_eecu_hours=request.max_eecu_hours,
    )


def outline(request: BuildRequest, code: str) -> Path:
    """The land of a country as GeoJSON, fetched once from Earth Engine.

    Raises:
        InputError: Earth Engine has no such outline.
        AccessError: Earth Engine cannot be used.
    """
    path = request.to / "areas" / f"{code}.geojson"
    if path.exists():
        return path
    session = connect(request.settings)
    land = ee.FeatureCollection(OUTLINES).filter(ee.Filter.eq("country_na", _NAMES[code]))
    try:
        geometry = Fetcher(session).value(land.geometry(), _polygons)
    except EarthEngineError as error:
        raise InputError(
            f"The outline of {code} could not be had from {OUTLINES}: {error} Give it with --area "
            f"{code}=FILE."
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, json.dumps(geometry).encode())
    return path


def _built(code: str, request: SampleRequest, listener: SampleListener) -> Country:
    summary, failure = None, None
    try:
        summary = take_samples(request, listener)
    except AccessError:  # the same for every country
        raise
    except CropmapError as error:
        failure = str(error)
    counts = counts_of(request.out) if request.out.exists() else None
    return Country(code, summary, counts, failure)


def _polygons(value: Any) -> dict[str, Any]:
    """A GeoJSON geometry of areas."""
    if not isinstance(value, dict) or value.get("type") not in ("Polygon", "MultiPolygon"):
        raise ValueError("the outline of a country is polygons")
    return value
