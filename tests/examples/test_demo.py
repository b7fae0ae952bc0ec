"""The demo: the command it runs and what it prints."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from cli.commands.predict import predict
from examples.demo import describe, predict_command, run_demo
from examples.scoring import Score
from examples.simulated_scenes import Settings


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


@pytest.mark.slow
def test_a_small_demo_makes_a_map_and_says_how_right_it_is(tmp_path, capfd):
    settings = Settings(size=64, acquisitions=40)
    assert run_demo(tmp_path / "demo", settings) == 0
    told = capfd.readouterr().out
    crop_map = tmp_path / "demo" / "run" / "map" / "crop_map.tif"
    assert f"Map: {crop_map}" in told
    assert "SIMULATED" in told
    accuracy = float(told.split("Overall accuracy ")[1].split("%")[0])
    with rasterio.open(crop_map) as mapped, rasterio.open(tmp_path / "demo/scenes/fields.tif") as fields:
        window = mapped.window(*fields.bounds)
        codes, truth = mapped.read(1, window=window), fields.read(1)
    counted = (codes != 0) & (truth != 0)
    assert accuracy == pytest.approx(100 * (codes == truth)[counted].mean(), abs=0.051)
    # 40 acquisitions see the east too rarely, so some pixels are not mapped. Of the others a map of nothing
    # but soybeans, the largest class, would have half right.
    mapped_pixels = counted & (codes != 255)
    assert (codes == truth)[mapped_pixels].mean() > 0.7
