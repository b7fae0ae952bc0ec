"""Whether Earth Engine classifies like this machine: cells drawn at random, computed on both sides.

The servers' composites are fetched and labelled here, with the gap filling and scaling that the model was
trained with, and every pixel is compared with what the servers say of it. What was compared is written next
to the model, and a map is made only of what passed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from gee_pipeline.earthengine.prediction.prediction_source import PredictionSource
from gee_pipeline.earthengine.prediction.served_model import PREDICTION_BANDS
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_own_json, sealed, unsealed, write_json
from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName, band_names, in_order
from gee_pipeline.map_codes import NOT_CROPLAND
from inference.deployment.server_model import ServerModel
from inference.run.plan import RunPlan

_WAY_OUT: Final = "Delete it and compare again with the same command."

FORMAT: Final = 2
"""Version of the file; one of another version is refused."""

CELLS: Final = 3
"""Cells that are compared."""

SEED: Final = 1
"""Seed by which they are drawn."""

EXAMPLES: Final = 5
"""Differing pixels that are reported one by one."""

EMPTY_ALLOWED: Final = 10
"""Cells without a classified pixel that are passed over, for each cell that is wanted."""


@dataclass(frozen=True)
class Difference:
    """A pixel of which the servers say something else."""

    cell: str
    """Name of the cell."""
    row: int
    """Row within the cell, from the top."""
    col: int
    """Column within the cell, from the left."""
    lon: float
    """Degrees east of its centre."""
    lat: float
    """Degrees north of its centre."""
    here: tuple[int, ...]
    """Its values in all bands, computed here."""
    servers: tuple[int, ...]
    """The same, as Earth Engine says."""
    bands: tuple[str, ...] = PREDICTION_BANDS
    """Names of the bands."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Difference:
        """The difference of JSON values, whose tuples are lists."""
        lists: dict[str, Any] = {key: tuple(v) for key, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists})

    def __str__(self) -> str:
        pairs = zip(self.bands, self.here, self.servers, strict=True)
        values = ", ".join(f"{name} {a} here and {b} there" for name, a, b in pairs if a != b)
        return f"cell {self.cell} row {self.row} column {self.col} ({self.lon:.6f}, {self.lat:.6f}): {values}"


@dataclass(frozen=True)
class Verification:
    """What a comparison found; passed or not."""

    subject: str
    """Digest of all that decides the result, see `subject_of`."""
    model: str
    """Digest of the model."""
    year: int
    """Mapped year."""
    cells: tuple[str, ...]
    """Names of the compared cells."""
    empty: tuple[str, ...]
    """Cells that were drawn but hold no classified pixel, and prove nothing."""
    pixels: int
    """Pixels that were compared."""
    classified: int
    """Pixels among them that have a class."""
    differing: dict[str, int]
    """Pixels that differ, by band."""
    differing_pixels: int
    """Pixels that differ in any band."""
    excused: int
    """Pixels that differ for a stated reason; no difference."""
    excuse: str
    """That reason in words, to follow a sentence; empty where none differs so."""
    exact: tuple[str, ...]
    """Bands in which no pixel may differ."""
    tolerance: float
    """Share of the pixels with a class that may differ in the other bands."""
    examples: tuple[Difference, ...]
    """The first pixels that differ."""
    seed: int
    """Seed by which the cells were drawn."""
    when: str
    """Time in UTC."""
    written: dict[str, str]
    """When each asset of the model was written last, as Earth Engine says; none where it goes along."""
    version: str
    """Version of cropmap that compared."""
    layers: tuple[LayerName, ...] = ()
    """Layers on request that were compared too."""

    @property
    def share(self) -> float:
        """Pixels that differ, as a share of those with a class: the others are alike on any servers."""
        return self.differing_pixels / max(self.classified, 1)

    @property
    def passed(self) -> bool:
        """Whether the servers classify like this machine, as far as was seen.

        Observations are but counted, and are the same however harmonics are rounded.
        """
        strict = any(self.differing[band] for band in self.exact)
        return self.classified > 0 and not strict and self.share <= self.tolerance

    def still_holds(self, source: PredictionSource) -> bool:
        """Whether what was compared is still what lies on the servers, and this is that version.

        Raises:
            AccessError: Earth Engine cannot be used, or not the model's assets.
            InputError: An asset is not there.
        """
        return self.version == version("cropmap") and self.written == source.assets_written()

    @property
    def summary(self) -> str:
        """What was found, one sentence."""
        what = f"{self.pixels:,} pixels of {len(self.cells)} cells ({self.classified:,} with a class)"
        if not self.differing_pixels:
            return f"{what} are the same on Earth Engine and here{self.excuse}."
        bands = ", ".join(f"{name} {count:,}" for name, count in self.differing.items() if count)
        return (
            f"{self.differing_pixels:,} of {what} differ between Earth Engine and here ({self.share:.3%} of "
            f"those with a class; {bands}; {self.tolerance:.1%} are allowed){self.excuse}."
        )

    def require_passed(self, model: ServerModel) -> None:
        """Refuse to continue where the servers answer something else.

        Args:
            model: What was compared.

        Raises:
            MismatchError: With counts, share and the first pixels.
        """
        if self.passed:
            return
        named = "".join(f"\n  {example}" for example in self.examples)
        raise MismatchError(
            f"{self.summary}{named}\nThe map would not be the {model.served.kind}'s. {model.way_out}; if it "
            "stays so, please report these pixels."
        )

    def to_dict(self) -> dict[str, Any]:
        """The verification as JSON values."""
        return {"format": FORMAT, **asdict(self), "share": self.share, "passed": self.passed}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Verification:
        """The verification that `to_dict` wrote."""
        rest = {key: value for key, value in values.items() if key not in ("format", "share", "passed")}
        examples = tuple(map(Difference.from_dict, rest.pop("examples")))
        cells, empty, exact, layers = (
            tuple(rest.pop(key, ())) for key in ("cells", "empty", "exact", "layers")
        )
        return cls(cells=cells, empty=empty, exact=exact, layers=in_order(layers), examples=examples, **rest)


def subject_of(plan: RunPlan, source: PredictionSource, model: ServerModel) -> str:
    """Sixteen hex digits of what a comparison is of: model, deployment, recipe, season, area and servers.

    The size of cells is left out: it decides where pixels lie, not how one is computed.
    """
    values = {
        "deployment": dict(model.deployment),
        "recipe": plan.recipe.digest,
        "season": [plan.season.year, plan.season.start.isoformat()],
        "area": hashlib.sha256(shapely.to_wkb(plan.area)).hexdigest(),
        "source": dict(plan.source),
        "servers": source.host,
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class DrawOptions(TypedDict, total=False):
    """Cells that are compared, and who receives reports; the defaults are those of `verify`."""

    cells: int
    seed: int
    notice: Callable[[str], None]


def verify(
    plan: RunPlan,
    source: PredictionSource,
    model: ServerModel,
    *,
    cells: int = CELLS,
    seed: int = SEED,
    notice: Callable[[str], None] = lambda text: None,
) -> Verification:
    """Compare cells drawn at random, all pixels in all bands and layers of the plan; nothing is written.

    Cells of which no pixel has a class prove nothing: they are reported, and others are drawn.

    Args:
        plan: The run whose cells are drawn.
        source: Labels on the servers, and gives their composites.
        model: What labels the pixels, on both sides.
        cells: Cells to compare; all, where the run has fewer.
        seed: Of the draw.
        notice: Takes one sentence for the user.

    Raises:
        InputError: None of the cells drawn has a pixel with a class.
        AccessError: Earth Engine cannot be used.
        EarthEngineError: A cell could not be had.
    """
    if cells < 1:
        raise InputError(f"At least one cell is compared, got --cells {cells}.")
    written = source.assets_written()
    compared: list[_Compared] = []
    empty: list[str] = []
    for cell in _drawn(plan, seed, most=cells * (1 + EMPTY_ALLOWED)):
        found = _compare(cell, plan, source, model)
        if found.differs.any() or found.classified:
            compared.append(found)
        else:
            empty.append(cell.name)
            notice(f"No pixel of cell {cell.name} has a class, which proves nothing; another cell is drawn.")
        if len(compared) == cells:
            break
    if not compared:
        raise InputError(
            f"None of the {len(empty)} cells drawn has a pixel with {plan.recipe.min_clear_bins} clear bins, "
            "so there is nothing to compare. Check --year and --aoi; draw others with "
            f"'{model.verify_command} --seed', or map without (--unverified)."
        )
    if len(compared) < cells:
        notice(f"Only {len(compared)} cells with classified pixels were found, {cells} were wanted.")
    return Verification(
        subject=subject_of(plan, source, model),
        model=model.digest,
        year=plan.season.year,
        empty=tuple(empty),
        exact=model.exact,
        tolerance=model.tolerance,
        seed=seed,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        written=written,
        version=version("cropmap"),
        layers=plan.layers,
        **_counted(compared, model, band_names(plan.layers, len(model.classes))),
    )


def keep(path: Path, verification: Verification) -> None:
    """Write a comparison atomically, in place of a former one of the same."""
    others = [one for one in read_verifications(path) if one.subject != verification.subject]
    write_json(path, [sealed(one.to_dict()) for one in (*others, verification)])


def read_verifications(path: Path) -> list[Verification]:
    """The comparisons of a file, oldest first; none where there is no file. Other versions' are left out.

    Raises:
        CorruptFileError: The file is damaged.
    """
    if not path.is_file():
        return []
    values = read_own_json(path, _WAY_OUT)
    try:
        if not isinstance(values, list):
            raise TypeError(f"a list is needed, got {type(values).__name__}")
        found = [unsealed(one, path, _WAY_OUT) for one in values]
        return [Verification.from_dict(one) for one in found if one["format"] == FORMAT]
    except (*ODD_VALUES, InputError) as error:
        raise CorruptFileError(f"{path} holds no comparisons of a model ({error!r}). {_WAY_OUT}") from error


def verified(path: Path, plan: RunPlan, source: PredictionSource, model: ServerModel) -> Verification | None:
    """The last comparison of this model, deployment, recipe, season, area and servers, passed or not.

    It may be of more layers than the plan has, but not of fewer.
    """
    subject, layers = subject_of(plan, source, model), set(plan.layers)
    found = (one for one in read_verifications(path) if one.subject == subject and layers <= set(one.layers))
    return next(found, None)


def verify_and_keep(
    path: Path,
    plan: RunPlan,
    source: PredictionSource,
    model: ServerModel,
    **drawn: Unpack[DrawOptions],
) -> Verification:
    """What `verify` finds, passed or not, written down.

    Args:
        path: File of the comparisons; a damaged file is refused before anything is compared.
        plan: The run whose cells are drawn.
        source: Labels on the servers, and gives their composites.
        model: What labels the pixels, on both sides.
        **drawn: Which cells.
    """
    read_verifications(path)
    found = verify(plan, source, model, **drawn)
    keep(path, found)
    return found


def passed_verification(
    path: Path,
    plan: RunPlan,
    source: PredictionSource,
    model: ServerModel,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> Verification:
    """The comparison that a map stands on: one that passed and still holds, or a new one.

    Args:
        path: File of the comparisons.
        plan: The run to start.
        source: Labels on the servers, and gives their composites.
        model: What labels the pixels, on both sides.
        notice: Takes one sentence for the user.

    Raises:
        InputError: There is nothing to compare, or an asset of the model is gone.
        MismatchError: The servers say something else.
        AccessError: Earth Engine cannot be used.
        EarthEngineError: A cell could not be had.
    """
    found = verified(path, plan, source, model)
    if found is None or not found.passed or not found.still_holds(source):
        notice(f"{min(CELLS, len(plan.cells))} cells are labelled on Earth Engine and here, and compared.")
        found = verify_and_keep(path, plan, source, model, notice=notice)
    notice(found.summary)
    found.require_passed(model)
    return found


@dataclass(frozen=True)
class _Compared:
    """One cell on both sides."""

    cell: Cell
    here: NDArray[np.uint8]
    servers: NDArray[np.uint8]
    differs: NDArray[np.bool_]
    """`(band, y, x)`."""
    excused: int
    """Pixels that differ for a stated reason."""

    @property
    def classified(self) -> int:
        return int((self.here[0] < NOT_CROPLAND).sum())


def _compare(cell: Cell, plan: RunPlan, source: PredictionSource, model: ServerModel) -> _Compared:
    composite = source.read_cell(cell, plan.season, plan.recipe.window)
    here = model.predicted(composite, plan.layers)
    servers, _ = source.read_prediction(cell, plan.season, plan.layers)
    excused = model.excused(here, servers, composite, plan.layers)
    return _Compared(cell, here, servers, (here != servers) & ~excused, int(excused.any(axis=0).sum()))


def _drawn(plan: RunPlan, seed: int, most: int) -> Iterator[Cell]:
    """Planned cells in random order, each once."""
    order = np.random.default_rng(seed).permutation(len(plan.cells))[:most]
    return plan.grid.cells(plan.cells[order])


def _counted(compared: list[_Compared], model: ServerModel, names: Sequence[str]) -> dict[str, Any]:
    """The fields of a verification that say what was compared and found."""
    differing = {
        name: sum(int(one.differs[band].sum()) for one in compared) for band, name in enumerate(names)
    }
    excused = sum(one.excused for one in compared)
    return {
        "cells": tuple(one.cell.name for one in compared),
        "pixels": sum(one.here[0].size for one in compared),
        "classified": sum(one.classified for one in compared),
        "differing": differing,
        "differing_pixels": sum(int(one.differs.any(axis=0).sum()) for one in compared),
        "excused": excused,
        "excuse": model.words_of_excused(excused),
        "examples": tuple(example for one in compared for example in _examples(one, names))[:EXAMPLES],
    }


def _examples(one: _Compared, names: Sequence[str]) -> Iterator[Difference]:
    """The first pixels of a cell that differ, in row order."""
    to_lonlat = pyproj.Transformer.from_crs(str(one.cell.geobox.crs), "EPSG:4326", always_xy=True)
    for row, col in np.argwhere(one.differs.any(axis=0))[:EXAMPLES].tolist():
        lon, lat = to_lonlat.transform(*(one.cell.geobox.transform * (col + 0.5, row + 0.5)))
        here, servers = (tuple(bands[:, row, col].tolist()) for bands in (one.here, one.servers))
        yield Difference(one.cell.name, row, col, round(lon, 6), round(lat, 6), here, servers, tuple(names))
