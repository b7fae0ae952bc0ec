"""CropGlobe's filter by the accuracy of a map's values, against a loop over points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import InputError
from training.sampling.reference.accuracy import accuracy_filter
from training.sampling.reference.known_maps import known_maps
from training.sampling.reference.reference_maps import ParcelsFile, ServerTable, reference_map
from training.sampling.reference.square_labels import SquareLabels

CDL = known_maps()["cdl"].table
TABLE = """value,region,user,producer
1,Iowa,95.1,96
1,Ohio,95,84.9
5,Iowa,85,99
5,Ohio,85.1,85.1
36,Iowa,80,20
36,Ohio,79.9,99
24,Iowa,90,
"""
KEPT = {("Iowa", 1), ("Ohio", 5), ("Iowa", 36), ("Iowa", 24)}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "accuracy.csv"
    path.write_text(TABLE)
    return path


def labels(values: np.ndarray, known: np.ndarray | None = None) -> SquareLabels:
    codes = np.vectorize(CDL.code_of)(values) if values.dtype.kind == "i" else np.ones(values.shape)
    known = np.ones(values.shape, bool) if known is None else known
    return SquareLabels(codes.astype(np.uint8), values, known)


def test_crops_need_more_than_85_in_both_and_others_80(table: Path) -> None:
    chosen = accuracy_filter(table, None, None, reference_map("cdl", 2023))
    assert chosen is not None
    rng = np.random.default_rng(1)
    values = rng.choice(np.array([1, 5, 24, 36, 2, 111], np.int32), (20, 30))
    regions = rng.choice(np.array(["Iowa", "iowa ", "Ohio", ""]), (20, 30))
    kept = chosen.kept(labels(values), labels(regions), CDL)
    for value, region, found in zip(values.ravel(), regions.ravel(), kept.ravel(), strict=True):
        # 111 has no class: there is nothing to leave out
        assert found == ((region.strip().title(), int(value)) in KEPT or value == 111)


def test_the_states_are_those_on_earth_engine_unless_they_are_given(table: Path, tmp_path: Path) -> None:
    cdl = reference_map("cdl", 2023)
    chosen = accuracy_filter(table, None, None, cdl)
    assert chosen
    assert chosen.regions
    assert chosen.regions.place == ServerTable("TIGER/2018/States", "NAME")
    (tmp_path / "states.gpkg").touch()
    chosen = accuracy_filter(table, str(tmp_path / "states.gpkg"), "name", cdl)
    assert chosen
    assert chosen.regions
    assert chosen.regions.place == ParcelsFile(tmp_path / "states.gpkg", "name")
    assert accuracy_filter(None, None, None, cdl) is None


def test_without_regions_accuracies_hold_everywhere(tmp_path: Path) -> None:
    """As of England's crop map, of which users' accuracies are published."""
    path = tmp_path / "accuracy.csv"
    path.write_text("value,user\nAC17,80\nAC66,79\nLG03,81%\n")
    crome = known_maps()["crome"].table
    chosen = accuracy_filter(path, None, None, reference_map("sas", 2023))
    assert chosen
    values = np.array([["AC17", "AC66", "LG03", "AC20", ""]])
    found = SquareLabels(np.array([[1, 4, 7, 7, 7]], np.uint8), values, values != "")
    # land without a value is other by a map of cropland
    assert chosen.kept(found, None, crome).tolist() == [[True, False, True, False, True]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("value,producer\n1,2\n", (None, None), "columns value and user"),
        ("value,user\n", (None, None), "has no row"),
        ("value,user\n1,101\n", (None, None), "0 to 100.*'101' in row 2"),
        ("value,user\n1,x\n", (None, None), "'x' in row 2"),
        ("value,user\n1,\n", (None, None), "no user's accuracy in row 2"),
        ("value,user\n1,90\n 1.0,91\n", (None, None), "twice, again in row 3"),
        ("value,user\n1,90\n", ("table:x", "NAME"), "has no column region"),
        ("value,user,region\n1,90,Iowa\n", ("table:x", None), "--region-column"),
        ("value,user,region\n1,90,Iowa\n", ("asset:x/y", "NAME"), "Regions are polygons"),
        ("value,user,region\n1,90,Iowa\n", (None, None), "--regions states.gpkg"),
    ],
)
def test_a_wrong_table_is_refused(
    text: str, options: tuple[str | None, str | None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        accuracy_filter(path, *options, reference_map("sas", 2023))


def test_regions_without_a_table_are_refused() -> None:
    with pytest.raises(InputError, match="--accuracy"):
        accuracy_filter(None, "table:x", "NAME", reference_map("cdl", 2023))
