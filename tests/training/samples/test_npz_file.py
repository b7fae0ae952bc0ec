"""Sizes of npz files before they are read, and what is damage."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import CorruptFileError, InputError
from training.samples.npz_file import load_arrays


def _claiming(path: Path, shape: tuple[int, ...]) -> Path:
    """An npz whose array says that it has a shape, with eight bytes of it."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<i2", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fea.npy", content.getvalue() + bytes(8))
    return path


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", fea=np.arange(6).reshape(2, 3), lbl=np.array(["a", "b"]))
    found = load_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["fea"], [[0, 1, 2], [3, 4, 5]])
    assert found["lbl"].tolist() == ["a", "b"]


@pytest.mark.parametrize("shape", [(2**50,), (10**6, 10, 73), (5,)])
def test_an_array_that_claims_more_than_there_is_is_damage(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(CorruptFileError, match=r"fea\.npy claims"):
        load_arrays(_claiming(tmp_path / "a.npz", shape))


def test_a_small_file_of_large_arrays_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.samples.npz_file.LARGEST_SAMPLES", 2**20)
    np.savez_compressed(tmp_path / "a.npz", fea=np.zeros(2**20, np.int16))
    assert (tmp_path / "a.npz").stat().st_size < 20_000
    with pytest.raises(InputError, match=r"2\.0 MiB of arrays.* at most 1\.0 MiB.* Split it"):
        load_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("place", np.linspace(0, 1, 40, endpoint=False))
def test_no_flipped_bit_gives_other_arrays_or_another_kind_of_error(tmp_path: Path, place: float) -> None:
    np.savez_compressed(tmp_path / "a.npz", fea=np.arange(400))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[int(place * len(content))] ^= 8
    (tmp_path / "a.npz").write_bytes(content)
    try:
        found = load_arrays(tmp_path / "a.npz")
    except (CorruptFileError, InputError):
        return
    assert [array.tolist() for array in found.values()] == [list(range(400))]
