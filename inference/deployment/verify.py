"""Whether Earth Engine classifies like this machine: cells drawn at random, computed on both sides.

The servers' composites are fetched and classified here, with the gap filling, features and votes that the
forest was trained with, and every pixel is compared with what the servers say of it. What was compared is
written next to the forest, and a map is made only of what passed.
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
from gee_pipeline.files import ODD_VALUES, read_json, sealed, unsealed, write_json
from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName, band_names, in_order
from gee_pipeline.map_codes import NONE, NOT_CROPLAND, NOT_ENOUGH
from gee_pipeline.source import Composite
from inference.deployment.deployment import Deployment
from inference.models.class_layers import layer_values
from inference.models.forest_features import forest_features
from inference.models.forest_model import ForestModel
from inference.models.pixel_prediction import ScoredPrediction
from inference.models.series import clear_bins, pixel_series
from inference.run.plan import RunPlan

_WAY_OUT: Final = "Delete it and run 'cropmap forest verify' again."

FORMAT: Final = 1
"""Version of the file; one of another version is refused."""

CELLS: Final = 3
"""Cells that are compared."""

SEED: Final = 1
"""Seed by which they are drawn."""

EXAMPLES: Final = 5
"""Differing pixels that are reported one by one."""

EMPTY_ALLOWED: Final = 10
"""Cells without a classified pixel that are passed over, for each cell that is wanted."""

TOLERANCE: Final = {"median": 0.0, "harmonic": 0.001}
"""Share of the pixels with a class that may differ. Medians are whole numbers on both sides; a harmonic
coefficient is rounded, and a sum of 43 products that ends close to a half may be rounded either way."""


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
    forest: str
    """Digest of the forest."""
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
    ties_elsewhere: int
    """Equal votes that Earth Engine's own vote gave to another class, where it decides; no difference."""
    tolerance: float
    """Share of the pixels with a class that may differ in class or confidence."""
    examples: tuple[Difference, ...]
    """The first pixels that differ."""
    seed: int
    """Seed by which the cells were drawn."""
    when: str
    """Time in UTC."""
    written: dict[str, str]
    """When each asset of the trees was written last, as Earth Engine says; none where they are inline."""
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
        return self.classified > 0 and not self.differing["clear"] and self.share <= self.tolerance

    def still_holds(self, source: PredictionSource) -> bool:
        """Whether the trees that were compared are still those on the servers, and this is that version.

        Raises:
            AccessError: Earth Engine cannot be used, or not the forest's assets.
            InputError: An asset is not there.
        """
        return self.version == version("cropmap") and self.written == source.assets_written()

    @property
    def summary(self) -> str:
        """What was found, one sentence."""
        what = f"{self.pixels:,} pixels of {len(self.cells)} cells ({self.classified:,} with a class)"
        if not self.differing_pixels:
            return f"{what} are the same on Earth Engine and here{self._ties()}."
        bands = ", ".join(f"{name} {count:,}" for name, count in self.differing.items() if count)
        return (
            f"{self.differing_pixels:,} of {what} differ between Earth Engine and here ({self.share:.3%} of "
            f"those with a class; {bands}; {self.tolerance:.1%} are allowed){self._ties()}."
        )

    def require_passed(self) -> None:
        """Refuse to continue where the servers answer something else.

        Raises:
            MismatchError: With counts, share and the first pixels.
        """
        if self.passed:
            return
        named = "".join(f"\n  {example}" for example in self.examples)
        raise MismatchError(
            f"{self.summary}{named}\nThe map would not be the forest's. Deploy the forest again ('cropmap "
            "forest deploy --overwrite') and verify again; if it stays so, please report these pixels."
        )

    def to_dict(self) -> dict[str, Any]:
        """The verification as JSON values."""
        return {"format": FORMAT, **asdict(self), "share": self.share, "passed": self.passed}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Verification:
        """The verification that `to_dict` wrote."""
        rest = {key: value for key, value in values.items() if key not in ("format", "share", "passed")}
        examples = tuple(map(Difference.from_dict, rest.pop("examples")))
        cells, empty, layers = (tuple(rest.pop(key, ())) for key in ("cells", "empty", "layers"))
        return cls(cells=cells, empty=empty, layers=in_order(layers), examples=examples, **rest)

    def _ties(self) -> str:
        if not self.ties_elsewhere:
            return ""
        return f"; {self.ties_elsewhere:,} equal votes are decided otherwise by Earth Engine's own rule"


def subject_of(plan: RunPlan, source: PredictionSource, deployment: Deployment) -> str:
    """Sixteen hex digits of what a comparison is of: forest, deployment, recipe, season, area and servers.

    The size of cells is left out: it decides where pixels lie, not how one is computed.
    """
    values = {
        "deployment": deployment.to_dict(),
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
    model: ForestModel,
    deployment: Deployment,
    *,
    cells: int = CELLS,
    seed: int = SEED,
    notice: Callable[[str], None] = lambda text: None,
) -> Verification:
    """Compare cells drawn at random, all pixels in all bands and layers of the plan; nothing is written.

    Cells of which no pixel has a class prove nothing: they are reported, and others are drawn.

    Args:
        plan: The run whose cells are drawn.
        source: Classifies on the servers, and gives their composites.
        model: The forest.
        deployment: How it came to the servers.
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
        found = _compare(cell, plan, source, model, deployment)
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
            "so there is nothing to compare. Check --year and --aoi; draw others with 'cropmap forest verify "
            "--seed', or map without (--unverified)."
        )
    if len(compared) < cells:
        notice(f"Only {len(compared)} cells with classified pixels were found, {cells} were wanted.")
    return Verification(
        subject=subject_of(plan, source, deployment),
        forest=model.digest,
        year=plan.season.year,
        empty=tuple(empty),
        tolerance=TOLERANCE[model.features],
        seed=seed,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        written=written,
        version=version("cropmap"),
        layers=plan.layers,
        **_counted(compared, band_names(plan.layers, len(model.classes))),
    )


def verifications_path(forest: Path) -> Path:
    """Where the comparisons of a forest's file are written: `forest.verifications.json`."""
    return forest.with_suffix(".verifications.json")


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
    values = read_json(path)
    try:
        if not isinstance(values, list):
            raise TypeError(f"a list is needed, got {type(values).__name__}")
        found = [unsealed(one, path, _WAY_OUT) for one in values]
        return [Verification.from_dict(one) for one in found if one["format"] == FORMAT]
    except (*ODD_VALUES, InputError) as error:
        raise CorruptFileError(f"{path} holds no comparisons of a forest ({error!r}). {_WAY_OUT}") from error


def verified(
    path: Path, plan: RunPlan, source: PredictionSource, deployment: Deployment
) -> Verification | None:
    """The last comparison of this forest, deployment, recipe, season, area and servers, passed or not.

    It may be of more layers than the plan has, but not of fewer.
    """
    subject, layers = subject_of(plan, source, deployment), set(plan.layers)
    found = (one for one in read_verifications(path) if one.subject == subject and layers <= set(one.layers))
    return next(found, None)


def verify_and_keep(
    path: Path,
    plan: RunPlan,
    source: PredictionSource,
    model: ForestModel,
    deployment: Deployment,
    **drawn: Unpack[DrawOptions],
) -> Verification:
    """What `verify` finds, passed or not, written down.

    Args:
        path: As `verifications_path` gives it; a damaged file is refused before anything is compared.
        plan: The run whose cells are drawn.
        source: Classifies on the servers, and gives their composites.
        model: The forest.
        deployment: How it came to the servers.
        **drawn: Which cells.
    """
    read_verifications(path)
    found = verify(plan, source, model, deployment, **drawn)
    keep(path, found)
    return found


def passed_verification(
    path: Path,
    plan: RunPlan,
    source: PredictionSource,
    model: ForestModel,
    deployment: Deployment,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> Verification:
    """The comparison that a map stands on: one that passed and still holds, or a new one.

    Args:
        path: As `verifications_path` gives it.
        plan: The run to start.
        source: Classifies on the servers, and gives their composites.
        model: The forest.
        deployment: How it came to the servers.
        notice: Takes one sentence for the user.

    Raises:
        InputError: There is nothing to compare, or an asset of the forest is gone.
        MismatchError: The servers say something else.
        AccessError: Earth Engine cannot be used.
        EarthEngineError: A cell could not be had.
    """
    found = verified(path, plan, source, deployment)
    if found is None or not found.passed or not found.still_holds(source):
        notice(f"{min(CELLS, len(plan.cells))} cells are classified on Earth Engine and here, and compared.")
        found = verify_and_keep(path, plan, source, model, deployment, notice=notice)
    notice(found.summary)
    found.require_passed()
    return found


def predicted_here(
    composite: Composite, model: ForestModel, deployment: Deployment, layers: Sequence[LayerName] = ()
) -> NDArray[np.uint8]:
    """What the forest says of a cell on this machine: the bands `(band, y, x)` of a prediction.

    Args:
        composite: The model window of a cell.
        model: The forest.
        deployment: What it reports besides a class.
        layers: Layers on request, in the order of the table.
    """
    names = band_names(layers, len(model.classes))
    bands = np.full((len(names), *composite.values.shape[2:]), NONE, np.uint8)
    codes, confidence, clear = bands[:3]
    wanted, known = _known(composite, model)
    codes[:] = np.where(wanted, NOT_ENOUGH, NOT_CROPLAND)
    clear[wanted] = clear_bins(composite.values, model.recipe.group_sizes)[wanted]
    if known.any():
        features = _features(composite, model, known)
        scores = model.class_parts(features, soft=deployment.confidence == "probability")
        said = scores.largest()
        codes[known] = said.codes
        confidence[known] = NONE if deployment.confidence == "none" else said.confidence
        if layers:
            bands[3:, known] = layer_values(layers, ScoredPrediction(said, scores))
    return bands


def _known(composite: Composite, model: ForestModel) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pixels `(y, x)` are to be mapped, and which of these have enough observations."""
    observed = clear_bins(composite.values, model.recipe.group_sizes)
    wanted = np.ones(observed.shape, np.bool_) if composite.cropland is None else composite.cropland
    return wanted, wanted & (observed >= max(model.recipe.min_clear_bins, 1))


def _features(composite: Composite, model: ForestModel, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    return forest_features(pixel_series(composite.values, known), model.recipe, model.features)


@dataclass(frozen=True)
class _Compared:
    """One cell on both sides."""

    cell: Cell
    here: NDArray[np.uint8]
    servers: NDArray[np.uint8]
    differs: NDArray[np.bool_]
    """`(band, y, x)`."""
    ties_elsewhere: int

    @property
    def classified(self) -> int:
        return int((self.here[0] < NOT_CROPLAND).sum())


def _compare(
    cell: Cell, plan: RunPlan, source: PredictionSource, model: ForestModel, deployment: Deployment
) -> _Compared:
    composite = source.read_cell(cell, plan.season, plan.recipe.window)
    here = predicted_here(composite, model, deployment, plan.layers)
    servers, _ = source.read_prediction(cell, plan.season, plan.layers)
    differs = here != servers
    elsewhere = 0
    if deployment.confidence == "none":  # Earth Engine decides between equal votes by a rule of its own
        free = _has_most_votes(servers[0], composite, model)
        elsewhere = int((differs[0] & free).sum())
        differs[0] &= ~free
    return _Compared(cell, here, servers, differs, elsewhere)


def _has_most_votes(codes: NDArray[np.uint8], composite: Composite, model: ForestModel) -> NDArray[np.bool_]:
    """`(y, x)`: where no class has more votes than that of a code."""
    known = _known(composite, model)[1]
    found = np.zeros(known.shape, np.bool_)
    if known.any():
        votes = model.votes(_features(composite, model, known))
        named = codes[known, None] == np.arange(1, len(model.classes) + 1)
        found[known] = (named & (votes == votes.max(axis=1, keepdims=True))).any(axis=1)
    return found


def _drawn(plan: RunPlan, seed: int, most: int) -> Iterator[Cell]:
    """Planned cells in random order, each once."""
    order = np.random.default_rng(seed).permutation(len(plan.cells))[:most]
    return plan.grid.cells(plan.cells[order])


def _counted(compared: list[_Compared], names: Sequence[str]) -> dict[str, Any]:
    """The fields of a verification that say what was compared and found."""
    differing = {
        name: sum(int(one.differs[band].sum()) for one in compared) for band, name in enumerate(names)
    }
    return {
        "cells": tuple(one.cell.name for one in compared),
        "pixels": sum(one.here[0].size for one in compared),
        "classified": sum(one.classified for one in compared),
        "differing": differing,
        "differing_pixels": sum(int(one.differs.any(axis=0).sum()) for one in compared),
        "ties_elsewhere": sum(one.ties_elsewhere for one in compared),
        "examples": tuple(example for one in compared for example in _examples(one, names))[:EXAMPLES],
    }


def _examples(one: _Compared, names: Sequence[str]) -> Iterator[Difference]:
    """The first pixels of a cell that differ, in row order."""
    to_lonlat = pyproj.Transformer.from_crs(str(one.cell.geobox.crs), "EPSG:4326", always_xy=True)
    for row, col in np.argwhere(one.differs.any(axis=0))[:EXAMPLES].tolist():
        lon, lat = to_lonlat.transform(*(one.cell.geobox.transform * (col + 0.5, row + 0.5)))
        here, servers = (tuple(bands[:, row, col].tolist()) for bands in (one.here, one.servers))
        yield Difference(one.cell.name, row, col, round(lon, 6), round(lat, 6), here, servers, tuple(names))
