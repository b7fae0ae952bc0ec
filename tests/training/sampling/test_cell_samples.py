"""Squares kept on disk until all are done."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.source import Spent
from training.sampling.cell_samples import CellSamples, Facts, PartFolder
from training.sampling.squares.grid import SampleCell

REQUEST = {"year": 2021, "classes": {"corn": [1]}, "seed": 0}
CELL, OTHER_CELL = SampleCell(350, -913, 60), SampleCell(351, -913, 60)
SAMPLES = CellSamples(
    series=np.arange(1_460, dtype=np.int16).reshape(2, 10, 73),
    labels=np.array([0, 6], np.uint8),
    lon=np.array([-91.25, -91.24]),
    lat=np.array([35.01, 35.02]),
    values=np.array([1, 36], np.int32),
    candidates=812,
    left_out=np.array([[111, 9], [176, 40]]),
)


@pytest.fixture
def parts(tmp_path: Path) -> PartFolder:
    return PartFolder(tmp_path / "samples.npz")


def same(one: CellSamples, other: CellSamples) -> None:
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, vars(other)[name])
        assert np.asarray(value).dtype == np.asarray(vars(other)[name]).dtype


def test_a_square_is_read_as_it_was_written(parts: PartFolder) -> None:
    with parts.held(REQUEST):
        parts.write(CELL, SAMPLES)
        found = parts.read(CELL)
        assert found is not None
        same(found, SAMPLES)
        assert parts.read(OTHER_CELL) is None


def test_an_empty_square_is_one_that_is_done(parts: PartFolder) -> None:
    empty = replace(
        SAMPLES,
        series=SAMPLES.series[:0],
        labels=SAMPLES.labels[:0],
        lon=SAMPLES.lon[:0],
        lat=SAMPLES.lat[:0],
        values=SAMPLES.values[:0],
        candidates=0,
        left_out=SAMPLES.left_out[:0],
    )
    with parts.held(REQUEST):
        parts.write(CELL, empty)
        found = parts.read(CELL)
        assert found is not None
        same(found, empty)


@pytest.mark.parametrize("spoil", [lambda b: b[:-40], lambda b: b[:200] + b"????" + b[204:], lambda b: b""])
def test_a_damaged_square_is_made_anew(parts: PartFolder, spoil) -> None:
    with parts.held(REQUEST):
        parts.write(CELL, SAMPLES)
        (path,) = parts.folder.glob("*.npz")
        path.write_bytes(spoil(path.read_bytes()))
        assert parts.read(CELL) is None
        assert not path.exists()


def test_facts_are_kept(parts: PartFolder) -> None:
    with parts.held(REQUEST):
        assert parts.facts == Facts(None, Spent())
        parts.keep_facts(Facts(12, Spent(3, 4, 5.5, 1)))
    assert PartFolder(parts.out).facts == Facts(12, Spent(3, 4, 5.5, 1))


def test_another_request_is_refused_with_what_differs(parts: PartFolder) -> None:
    with parts.held(REQUEST):
        parts.write(CELL, SAMPLES)
    with pytest.raises(MismatchError) as caught, parts.held({**REQUEST, "year": 2022, "seed": 4}):
        pass
    message = str(caught.value)
    assert "seed: 0 against 4; year: 2021 against 2022" in message
    assert "--out" in message
    with parts.held(REQUEST):  # the lock was let go
        pass


def test_a_folder_without_a_square_gives_way_to_a_corrected_request(parts: PartFolder) -> None:
    with parts.held(REQUEST):
        parts.keep_facts(Facts(12, Spent(3, 4, 5.5, 1)))
    corrected = {**REQUEST, "year": 2022}
    with parts.held(corrected):
        assert parts.facts == Facts(None, Spent())
        parts.write(CELL, SAMPLES)
    with pytest.raises(MismatchError), parts.held(REQUEST):
        pass
    with parts.held(corrected):
        assert parts.read(CELL) is not None


def test_one_process_at_a_time(parts: PartFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.sampling.cell_samples._PATIENCE", 0.01)
    with (
        parts.held(REQUEST),
        pytest.raises(InputError, match="One process at a time"),
        PartFolder(parts.out).held(REQUEST),
    ):
        pass


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "samples.npz.parts").touch()
    with pytest.raises(InputError, match="--out"), PartFolder(tmp_path / "samples.npz").held(REQUEST):
        pass


@pytest.mark.parametrize("place", np.linspace(0, 1, 40, endpoint=False))
def test_no_flipped_bit_gives_other_samples(parts: PartFolder, place: float) -> None:
    with parts.held(REQUEST):
        parts.write(CELL, SAMPLES)
        (path,) = parts.folder.glob("*.npz")
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 4
        path.write_bytes(content)
        if (found := parts.read(CELL)) is not None:
            same(found, SAMPLES)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": SAMPLES.labels[:1]},
        {"series": SAMPLES.series[0]},
        {"left_out": np.array([1, 2])},
        {"candidates": "many"},
    ],
)
def test_a_square_of_other_shapes_is_damaged(parts: PartFolder, change: dict[str, Any]) -> None:
    with parts.held(REQUEST):
        np.savez(parts.folder / f"{CELL.name}.npz", **{**vars(SAMPLES), **change})
        assert parts.read(CELL) is None


@pytest.mark.parametrize("text", ["[]", "{", '{"scenes": 3}', '{"scenes": 3, "spent": {"dollars": 1}}'])
def test_damaged_facts_say_what_to_do(parts: PartFolder, text: str) -> None:
    with parts.held(REQUEST):
        (parts.folder / "facts.json").write_text(text)
        with pytest.raises(CorruptFileError, match=r"facts\.json .* Delete .*samples\.npz\.parts"):
            _ = parts.facts
