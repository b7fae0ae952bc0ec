"""Cells on the servers against cells here: what is compared, counted, written down and refused.

The servers are a fake whose classes come from a loop over pixels: gaps by `np.interp` in exact fractions,
votes by scikit-learn's own trees.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from numpy.typing import NDArray

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.grid import Cell
from gee_pipeline.layers import LayerName
from gee_pipeline.season import SUMMER, Season
from gee_pipeline.source import Composite, SceneCounts
from inference.deployment.deployment import Deployment
from inference.deployment.forest_on_servers import ForestOnServers
from inference.deployment.verify import (
    EXAMPLES,
    Verification,
    keep,
    passed_verification,
    read_verifications,
    subject_of,
    verified,
    verify,
    verify_and_keep,
)
from inference.models.forest_model import ForestModel
from inference.run.plan import RunPlan
from inference.run.planning import plan_run
from tests.support.fake_runs import aoi
from tests.support.made_forests import RECIPE as SHORT
from tests.support.made_forests import grown, hard_votes, made_rows, model_of, winner

RECIPE = replace(SHORT, min_clear_bins=2)
SIZE = 32
STEP = 10 * SIZE
LEFT, TOP = 512_000 // STEP * STEP, 5_120_000 // STEP * STEP
CRS = "EPSG:32632"
SEASON = SUMMER.season(2021, "north")
NODATA, NONE = -9999, 255
TREES = 6


@lru_cache
def forest() -> Any:
    return grown(*made_rows(), trees=TREES, max_leaf_nodes=6)


@lru_cache
def model() -> ForestModel:
    return model_of(forest(), 3, recipe=RECIPE)


def both(confidence: Any = "votes") -> ForestOnServers:
    return ForestOnServers(model(), deployment_of(confidence))


def deployment_of(confidence: Any = "votes") -> Deployment:
    return Deployment("classifier", confidence, ("projects/p/assets/f",), model().digest, 3, TREES, 1)


@dataclass(frozen=True)
class Served:
    """Servers that classify as the loop below says, but for what a test changes."""

    confidence: str = "votes"
    bare: tuple[str, ...] = ()
    """Cells without an observation."""
    wrong: dict[tuple[str, int, int], tuple[int, int, int]] = field(default_factory=dict)
    """What is said instead, by cell, row and column."""
    cropland: bool = False
    asked: list[str] = field(default_factory=list)
    host: str | None = None
    when: str = "2024-05-06T07:08:09Z"
    """When the forest's asset was written."""

    def assets_written(self) -> dict[str, str]:
        return {"projects/p/assets/f": self.when}

    def describe(self) -> dict[str, Any]:
        return {"kind": "earthengine", "forest": self.confidence}

    def read_cell(self, cell: Cell, season: Season, bins: range) -> Composite:
        assert (season, bins) == (SEASON, RECIPE.window)
        values, land = self.pixels(cell)
        return Composite(
            values, cell.geobox, bins, RECIPE.bands, SceneCounts(), land if self.cropland else None
        )

    def read_prediction(
        self, cell: Cell, season: Season, layers: tuple[LayerName, ...] = ()
    ) -> tuple[NDArray[np.uint8], SceneCounts]:
        self.asked.append(cell.name)
        values, land = self.pixels(cell)
        bands = loop(values, land if self.cropland else np.ones_like(land), self.confidence)
        for (name, row, col), said in self.wrong.items():
            if name == cell.name:
                bands[:, row, col] = said
        return bands, SceneCounts()

    def pixels(self, cell: Cell) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """A composite `(bin, band, y, x)` with gaps, and where there is cropland."""
        chance = np.random.default_rng([cell.row, cell.col])
        values = chance.integers(0, 5_000, (3, 2, SIZE, SIZE)).astype(np.int16)
        gaps = chance.random((3, SIZE, SIZE)) < (1 if cell.name in self.bare else 0.4)
        land = chance.random((SIZE, SIZE)) < 0.7
        if self.cropland:
            gaps |= ~land
        values[np.repeat(gaps[:, None], 2, 1)] = NODATA
        return values, land


def loop(values: NDArray[np.int16], land: NDArray[np.bool_], confidence: str) -> NDArray[np.uint8]:
    """Class, confidence and clear bins `(3, y, x)`, one pixel at a time."""
    out = np.full((3, SIZE, SIZE), NONE, np.uint8)
    places, rows = [], []
    for y, x in np.ndindex(SIZE, SIZE):
        seen = [t for t in range(3) if values[t, 0, y, x] != NODATA]
        if not land[y, x]:
            out[0, y, x] = 254
            continue
        out[2, y, x] = len(seen)
        if len(seen) >= RECIPE.min_clear_bins:
            places.append((y, x))
            rows.append([filled(values[:, b, y, x], seen, t) for b in range(2) for t in range(3)])
    if rows:
        votes = hard_votes(forest(), np.array(rows, np.float32), 3)
        for place, code, percent in zip(places, *winner(votes, TREES), strict=True):
            out[:2, *place] = code, NONE if confidence == "none" else percent
    return out


def filled(series: NDArray[np.int16], seen: list[int], t: int) -> int:
    before = max((s for s in seen if s <= t), default=seen[0])
    after = min((s for s in seen if s >= t), default=seen[-1])
    low, high = int(series[before]), int(series[after])
    share = Fraction(t - before, after - before) if after > before else 0
    return math.floor(low + (high - low) * share + Fraction(1, 2))


def plan_of(source: Served, cells: int = 6, **changes: Any) -> RunPlan:
    """A row of cells side by side."""
    area = shapely.box(LEFT + 4, TOP - STEP + 4, LEFT + cells * STEP - 4, TOP - 4)
    plan = plan_run(aoi(area, CRS), SEASON, RECIPE, source, crs=CRS, cell_size=SIZE)
    return replace(plan, **changes)


def compared(source: Served, row: int = 6, **options: Any) -> Verification:
    return verify(plan_of(source, row), source, both(source.confidence), **options)


@pytest.mark.parametrize(
    "source", [Served(), Served("none"), Served(cropland=True)], ids=["votes", "none", "land"]
)
def test_servers_that_say_what_the_trees_say_pass(source):
    found = compared(source)
    assert found.passed
    assert found.differing == {"class": 0, "confidence": 0, "clear": 0}
    assert (len(found.cells), found.pixels, found.examples) == (3, 3 * SIZE**2, ())
    assert SIZE**2 < found.classified < 3 * SIZE**2
    assert "are the same on Earth Engine and here" in found.summary
    found.require_passed(both())


def test_a_pixel_that_differs_is_told_with_its_place_and_both_values():
    plan = plan_of(Served())
    source = Served(wrong={(f"r0000_c{c:04d}", 3, 5): (77, 88, 99) for c in range(6)})
    found = compared(source)
    assert not found.passed
    assert found.differing == {"class": 3, "confidence": 3, "clear": 3}
    assert (found.differing_pixels, found.share) == (3, 3 / found.classified)
    first = found.examples[0]
    cell = plan.grid.cell(0, int(first.cell[-4:]))
    assert (first.cell, first.row, first.col, first.servers) == (found.cells[0], 3, 5, (77, 88, 99))
    values, land = Served().pixels(cell)
    assert first.here == tuple(loop(values, np.ones_like(land), "votes")[:, 3, 5].tolist())
    x, y = pyproj.Transformer.from_crs("EPSG:4326", CRS, always_xy=True).transform(first.lon, first.lat)
    assert x == pytest.approx(LEFT + STEP * cell.col + 55, abs=0.2)
    assert y == pytest.approx(TOP - 35, abs=0.2)
    with pytest.raises(MismatchError, match=r"3 of .* differ .*class 3, confidence 3, clear 3") as refused:
        found.require_passed(both())
    assert f"cell {first.cell} row 3 column 5" in str(refused.value)
    assert "77 there" in str(refused.value)
    assert "deploy --overwrite" in str(refused.value)


def test_no_more_than_a_few_pixels_are_told_one_by_one():
    wrong = {("r0000_c0000", row, 0): (99, 0, 0) for row in range(EXAMPLES + 4)}
    found = compared(Served(wrong=wrong), 1)
    assert found.differing_pixels == EXAMPLES + 4
    assert [one.row for one in found.examples] == list(range(EXAMPLES))


def test_one_pixel_in_one_band_is_enough():
    """Of medians none may differ."""
    cell = plan_of(Served(), 1).grid.cell(0, 0)
    code, percent, clear = Served().read_prediction(cell, SEASON)[0][:, 9, 9].tolist()
    found = compared(Served(wrong={(cell.name, 9, 9): (code, percent, clear + 1)}), 1)
    assert found.differing == {"class": 0, "confidence": 0, "clear": 1}
    assert not found.passed


def test_of_harmonic_features_one_classified_pixel_in_a_thousand_may_differ():
    """Pixels without a class are alike on any servers, and dilute no difference."""
    found = replace(compared(Served(), 1), tolerance=0.001, pixels=100_000)
    loose = replace(found, differing_pixels=1, classified=1_000)
    assert loose.passed
    assert "0.1% are allowed" in loose.summary
    assert not replace(loose, differing_pixels=2).passed
    assert not replace(loose, classified=999).passed
    assert not replace(loose, differing={"class": 0, "confidence": 0, "clear": 1}).passed


def test_another_seed_draws_other_cells_and_the_same_seed_the_same():
    one, same, other = (compared(Served(), 20, cells=1, seed=seed).cells for seed in (1, 1, 2))
    assert one == same != other


def test_cells_without_a_classified_pixel_are_told_and_others_drawn():
    source = Served(bare=tuple(f"r0000_c{c:04d}" for c in range(4)))
    told: list[str] = []
    found = compared(source, 6, notice=told.append)
    assert set(found.cells) == {"r0000_c0004", "r0000_c0005"}
    assert sorted(found.empty) == sorted(source.bare)
    assert sum("another cell is drawn" in text for text in told) == 4
    assert "Only 2 cells with classified pixels were found, 3 were wanted." in told[-1]
    assert found.passed


def test_a_cell_without_observations_of_which_the_servers_say_more_is_a_difference():
    source = Served(bare=("r0000_c0000",), wrong={("r0000_c0000", 0, 0): (1, 50, 3)})
    found = compared(source, 1)
    assert (found.cells, found.differing_pixels, found.passed) == (("r0000_c0000",), 1, False)


def test_where_nothing_can_be_compared_nothing_passes():
    source = Served(bare=tuple(f"r0000_c{c:04d}" for c in range(2)))
    with pytest.raises(InputError, match=r"None of the 2 cells drawn .* 2 clear bins.*--unverified"):
        compared(source, 2)


def test_at_least_one_cell_is_compared():
    with pytest.raises(InputError, match="--cells 0"):
        verify(plan_of(Served()), Served(), both(), cells=0)


def test_equal_votes_may_go_to_any_class_where_earth_engine_decides():
    """Without confidence, its own rule for equal votes holds; another class than the tied ones does not."""
    cell = plan_of(Served(), 1).grid.cell(0, 0)
    y, x, tied, other = a_tie(cell)
    found = compared(Served("none", wrong={(cell.name, y, x): (tied, 255, 3)}), 1)
    assert (found.passed, found.excused, found.differing_pixels) == (True, 1, 0)
    assert "1 equal votes are decided otherwise" in found.summary
    assert not compared(Served("none", wrong={(cell.name, y, x): (other, 255, 3)}), 1).passed


def a_tie(cell: Cell) -> tuple[int, int, int, int]:
    """A pixel observed in all bins where two classes have most votes: the larger of them, and the third."""
    values, _ = Served().pixels(cell)
    for y, x in np.ndindex(SIZE, SIZE):
        if (values[:, :, y, x] == NODATA).any():
            continue
        row = [int(values[t, b, y, x]) for b in range(2) for t in range(3)]
        votes = hard_votes(forest(), np.array([row], np.float32), 3)[0]
        best = [k + 1 for k in range(3) if votes[k] == votes.max()]
        if len(best) == 2:
            return y, x, best[1], ({1, 2, 3} - set(best)).pop()
    raise AssertionError("no tie among the pixels")


# ---- on disk ----


def test_what_was_found_is_read_back_and_the_newest_of_one_subject_counts(tmp_path):
    path = tmp_path / "forest.verifications.json"
    assert read_verifications(path) == []
    bad, good = compared(Served(wrong={("r0000_c0000", 1, 1): (9, 9, 9)}), 1), compared(Served(), 1)
    other = replace(good, subject="0" * 16)
    for one in (other, bad):
        keep(path, one)
    assert read_verifications(path) == [other, bad]
    keep(path, good)
    assert read_verifications(path) == [other, good]
    assert json.loads(path.read_text())[1]["passed"] is True
    assert verified(path, plan_of(Served(), 1), Served(), both()) == good


@pytest.mark.parametrize("text", ["[1]", "{}", '[{"format": 2}]', "[", "null"])
def test_a_damaged_file_is_refused(tmp_path, text):
    path = tmp_path / "forest.verifications.json"
    path.write_text(text)
    with pytest.raises(CorruptFileError, match=r"forest\.verifications\.json.*compare again"):
        read_verifications(path)


def test_files_of_other_versions_are_compared_anew(tmp_path):
    path = tmp_path / "forest.verifications.json"
    path.write_text('[{"format": 99}]')
    assert read_verifications(path) == []


def of_fewer_trees(ours: ForestOnServers) -> ForestOnServers:
    """Another forest, deployed in the same way."""
    forest = replace(ours.model, trees=ours.model.trees[:-1])
    return ForestOnServers(forest, replace(ours.deployed, forest=forest.digest))


def test_a_comparison_is_of_one_forest_deployment_season_area_source_and_server_only():
    plan, google, ours = plan_of(Served()), Served(), both()
    others = [
        (plan_of(Served(), 5), google, ours),
        (replace(plan, season=SUMMER.season(2022, "north")), google, ours),
        (replace(plan, recipe=replace(RECIPE, min_clear_bins=3)), google, ours),
        (replace(plan, source={**plan.source, "cropland": "worldcover"}), google, ours),
        (plan, Served(host="localhost"), ours),
        (plan, google, both("probability")),
        (plan, google, of_fewer_trees(ours)),
        (plan, google, replace(ours, deployed=replace(ours.deployed, assets=("projects/p/assets/g",)))),
    ]
    subjects = {subject_of(*one) for one in others}
    assert len(subjects) == len(others)
    assert subject_of(plan, google, ours) not in subjects
    assert subject_of(plan_of(Served()), Served(), both()) == subject_of(plan, google, ours)


# ---- before a map ----


def passed(source: Served, path: Any, told: list[str] | None = None) -> Verification:
    notice = (told if told is not None else []).append
    return passed_verification(path, plan_of(source, 2), source, both(), notice=notice)


def test_a_map_compares_once_and_stands_on_that(tmp_path):
    path, first, second = tmp_path / "f.verifications.json", Served(), Served()
    told: list[str] = []
    found = passed(first, path, told)
    assert len(first.asked) == 2
    assert "2 cells are labelled on Earth Engine and here" in told[0]
    assert passed(second, path) == found
    assert second.asked == []


def test_an_asset_that_was_written_since_is_compared_anew(tmp_path):
    path, told = tmp_path / "f.verifications.json", list[str]()
    passed(Served(), path)
    wrong = {("r0000_c0000", 0, 0): (9, 9, 9)}
    with pytest.raises(MismatchError, match="differ between Earth Engine and here"):
        passed(Served(wrong=wrong, when="2024-05-06T07:08:10Z"), path, told)
    assert "2 cells are labelled on Earth Engine and here" in told[0]


def test_what_another_version_of_cropmap_compared_is_compared_anew(tmp_path):
    path, again = tmp_path / "f.verifications.json", Served()
    keep(path, replace(passed(Served(), path), version="0.0.1"))
    passed(again, path)
    assert len(again.asked) == 2


def test_a_damaged_file_is_refused_before_anything_is_compared(tmp_path):
    path, source = tmp_path / "f.verifications.json", Served()
    path.write_text("[")
    with pytest.raises(CorruptFileError):
        verify_and_keep(path, plan_of(source), source, both())
    assert source.asked == []


def test_a_difference_refuses_the_map_and_is_compared_anew_the_next_time(tmp_path):
    path = tmp_path / "f.verifications.json"
    with pytest.raises(MismatchError, match="differ between Earth Engine and here"):
        passed(Served(wrong={("r0000_c0000", 0, 0): (9, 9, 9)}), path)
    assert [one.passed for one in read_verifications(path)] == [False]
    assert passed(Served(), path).passed
    assert [one.passed for one in read_verifications(path)] == [True]


def test_a_changed_verification_is_found(tmp_path):
    path = tmp_path / "forest.verifications.json"
    keep(path, compared(Served(wrong={("r0000_c0000", 1, 1): (9, 9, 9)}), 1))
    path.write_text(path.read_text().replace('"differing_pixels": 1', '"differing_pixels": 0'))
    with pytest.raises(CorruptFileError, match=r"digest.*Delete it"):
        read_verifications(path)
