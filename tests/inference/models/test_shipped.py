"""The models that ship, by name."""

from pathlib import Path

import pytest

import inference.models.shipped
from gee_pipeline.errors import InputError
from inference.models.model_file import CHECKPOINT, model_kind
from inference.models.shipped import SHIPPED, model_path


@pytest.mark.parametrize("name", list(SHIPPED))
def test_each_name_is_a_checkpoint_in_the_package(name):
    assert model_path(name).name == SHIPPED[name]
    assert model_kind(model_path(name)) == CHECKPOINT


def test_nothing_given_is_the_accurate_one():
    assert model_path(None) == model_path("accurate") != model_path("fast")


def test_a_path_stays_also_where_it_is_called_like_a_name():
    assert model_path(Path("accurate")) == Path("accurate")


def test_another_name_is_refused():
    with pytest.raises(InputError, match="accurate, fast, wide, got 'slow'"):
        model_path("slow")


def test_a_model_that_the_installation_lacks_is_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(inference.models.shipped, "__file__", str(tmp_path / "shipped.py"))
    with pytest.raises(InputError, match=r"compact\.safetensors is missing.*--model"):
        model_path("accurate")
