"""The benchmark of tree texts measures what it says, and fails where writing is slow."""

from dataclasses import replace

import pytest

from benchmarks import forest_text


@pytest.fixture(scope="module")
def measured():
    rows, labels = forest_text.made_rows(80, 430, classes=3)
    return [forest_text.measure(setting, rows, labels, trees=2, rounds=1) for setting in forest_text.SETTINGS]


def test_each_setting_is_measured_and_reported(measured):
    lines = forest_text.report(measured, trees=2).splitlines()
    assert len(lines) == 1 + len(forest_text.SETTINGS)
    for line, one in zip(lines[1:], measured, strict=True):
        assert line.startswith(one.setting)
        assert f"{one.size:,}" in line
    assert measured[0].size > measured[1].size


@pytest.mark.parametrize(("seconds", "code"), [(0.5, None), (1.5, 1)])
def test_slow_writing_fails(monkeypatch, measured, seconds, code):
    slow = replace(measured[0], seconds=seconds)
    monkeypatch.setattr("sys.argv", ["forest_text", "--rows", "20"])
    monkeypatch.setattr(forest_text, "measure", lambda setting, rows, labels: replace(slow, setting=setting))
    if code is None:
        forest_text.main()
    else:
        with pytest.raises(SystemExit, match="1"):
            forest_text.main()


def test_strings_that_lost_a_leaf_stop_the_benchmark(monkeypatch):
    monkeypatch.setattr(forest_text, "forest_strings", lambda model: ["1) root 9999 9999 9999 (0.5)\n"])
    rows, labels = forest_text.made_rows(20, 430, classes=2)
    with pytest.raises(AssertionError, match="strings differ"):
        forest_text.measure("200 leaves", rows, labels, trees=1, rounds=1)
