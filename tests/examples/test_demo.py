"""The demo: the command it runs and what it prints."""

from pathlib import Path

import numpy as np

from cli.predict import predict
from examples.demo import describe, predict_command
from examples.scoring import Score


def test_the_demo_runs_a_command_that_exists():
    name, *options = predict_command(Path("demo"), 2021)
    assert name == "predict"
    names = {text for parameter in predict.params for text in parameter.opts}
    given = dict(option.split("=", 1) for option in options)
    assert set(given) <= names
    assert given["--year"] == "2021"
    assert Path(given["--source"]) == Path("demo/scenes/catalog.json")
    assert Path(given["--aoi"]) == Path("demo/scenes/area.geojson")


def test_the_score_is_told_by_class_and_in_total():
    confusion = np.array([[80, 10], [0, 100]])
    text = describe(Score(("corn", "rice"), confusion, np.array([10, 0])))
    assert "Overall accuracy 90.0%" in text
    assert "200 field pixels (10 without a class" in text
    corn = next(line.split() for line in text.splitlines() if "corn" in line)
    assert corn == ["corn", "80.0%", "100.0%", "0.889"]
