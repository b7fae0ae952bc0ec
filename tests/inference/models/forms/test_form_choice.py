"""Which form a network runs in on a machine."""

import json
from dataclasses import replace

import pytest
import torch

from inference.models.forms import form_choice
from inference.models.forms.fast_forms import FORMS
from inference.models.forms.form_choice import choices_file, fastest_form
from inference.models.networks.cropnet import CropNetConfig

TINY = replace(CropNetConfig.of("compact", 2), channels=(4, 4), strides=(2, 1), dropout=(0.0, 0.0))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    form_choice._measure.cache_clear()
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")


@pytest.fixture
def slow(monkeypatch):
    """Rounds take the seconds that a test says, by name of the form."""
    seconds = dict.fromkeys(FORMS, 1.0)
    calls = []

    def measured(form, x):
        name = next(name for name, kind in FORMS.items() if isinstance(form, kind))
        calls.append(name)
        return seconds[name]

    monkeypatch.setattr(form_choice, "_seconds", measured)
    return seconds, calls


@pytest.mark.parametrize("winner", list(FORMS))
def test_the_form_of_the_shortest_round_is_chosen(winner, slow):
    seconds, calls = slow
    seconds[winner] = 0.5
    assert fastest_form(TINY, 9) == winner
    assert calls == list(FORMS) * form_choice.ROUNDS


def test_the_choice_is_measured_once_and_kept_for_later_processes(slow):
    seconds, calls = slow
    seconds["winograd"] = 0.5
    assert fastest_form(TINY, 9) == "winograd"
    form_choice._measure.cache_clear()  # as another process
    seconds["direct"] = 0.1
    calls.clear()
    assert fastest_form(TINY, 9) == "winograd"
    assert calls == []
    assert list(json.loads(choices_file().read_text()).values()) == ["winograd"]


def test_another_shape_is_measured_by_itself(slow):
    _, calls = slow
    fastest_form(TINY, 9)
    calls.clear()
    fastest_form(TINY, 12)
    assert calls
    assert len(json.loads(choices_file().read_text())) == 2


def test_forms_are_measured_on_one_thread_as_maps_are_made(monkeypatch):
    before, seen = torch.get_num_threads(), set()
    monkeypatch.setattr(
        form_choice, "_seconds", lambda form, x: seen.add(torch.get_num_threads()) or form(x).sum().item()
    )
    torch.set_num_threads(2)
    try:
        fastest_form(TINY, 9)
        assert (seen, torch.get_num_threads()) == ({1}, 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("content", ["", "[1]", '{"a"', "null"])
def test_a_damaged_file_of_choices_is_as_none(content, slow):
    choices_file().parent.mkdir()
    choices_file().write_text(content)
    slow[0]["direct"] = 0.5
    assert fastest_form(TINY, 9) == "direct"


def test_a_form_of_another_version_is_measured_again(slow):
    fastest_form(TINY, 9)
    kept = dict.fromkeys(json.loads(choices_file().read_text()), "of-another-version")
    choices_file().write_text(json.dumps(kept))
    form_choice._measure.cache_clear()
    assert fastest_form(TINY, 9) in FORMS


def test_where_nothing_can_be_kept_the_choice_still_holds_in_the_process(slow, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder would be")
    seconds, calls = slow
    seconds["direct"] = 0.5
    assert fastest_form(TINY, 9) == "direct"
    calls.clear()
    assert fastest_form(TINY, 9) == "direct"
    assert calls == []


def test_a_network_without_other_forms_has_no_choice(slow):
    assert fastest_form(replace(TINY, dimensions=1), 9) == ""
    assert slow[1] == []


def test_real_rounds_choose_one_of_the_forms():
    assert fastest_form(TINY, 9) in FORMS
