import os

import numpy as np
import pytest
import safetensors.numpy

from gee_pipeline.errors import CorruptFileError, InputError
from inference.models.forest_model import save_forest
from inference.models.model_file import (
    CHECKPOINT,
    FOREST,
    content_digest,
    model_kind,
    read_model,
    write_model,
)
from inference.models.shipped import model_path
from tests.support.made_forests import grown, made_rows, model_of


def test_a_model_file_tells_its_kind(tmp_path):
    save_forest(tmp_path / "f.safetensors", model_of(grown(*made_rows()), 3))
    assert model_kind(tmp_path / "f.safetensors") == FOREST
    assert model_kind(model_path(None)) == CHECKPOINT


@pytest.mark.parametrize("content", [b"", b"text", None, safetensors.numpy.save({"left": np.zeros(3)})])
def test_what_is_no_model_has_no_kind(tmp_path, content):
    if content is not None:
        (tmp_path / "f.safetensors").write_bytes(content)
    assert model_kind(tmp_path / "f.safetensors") is None


def test_a_digest_is_of_text_names_and_bytes():
    one = np.arange(3, dtype=np.int32)
    digests = [
        content_digest("a", {"x": one}),
        content_digest("b", {"x": one}),
        content_digest("a", {"y": one}),
        content_digest("a", {"x": one + 1}),
    ]
    assert len(set(digests)) == 4
    assert content_digest("a", {"x": one, "y": one}) == content_digest("a", {"y": one, "x": one})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_model_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.safetensors")
    assert model_kind(tmp_path / "m.safetensors") is None
    with pytest.raises(InputError, match="does not exist"):
        read_model(tmp_path / "m.safetensors", FOREST)


def test_a_file_larger_than_any_model_is_not_looked_into(tmp_path):
    path = tmp_path / "m.safetensors"
    path.touch()
    os.truncate(path, 2**33)  # holes: no byte of the disk
    assert model_kind(path) is None
    with pytest.raises(CorruptFileError, match=r"m\.safetensors has 8\.0 GiB; a forest .* at most 4\.0 GiB"):
        read_model(path, FOREST)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    """The order of a safetensors file's metadata is that of a table with a random seed."""
    path = tmp_path / "m.safetensors"
    arrays = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.arange(5, dtype=np.int8)}
    text = '{"name": "\u00e9\u2028 \\"quoted\\""}'
    seen = set()
    for _ in range(12):
        write_model(path, FOREST, text, arrays)
        seen.add(path.read_bytes())
    assert len(seen) == 1
    read, found = read_model(path, FOREST)
    assert read == text
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0
