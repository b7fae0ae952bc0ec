"""Labels, training, tuning and adapting in Python give what the commands give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest

import cropmap
from gee_pipeline.errors import InputError
from inference.models.checkpoint import load_checkpoint
from tests.support.tiny_place import CELL_SIZE, CROPS, YEAR, Place, run_cropmap

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def labelled(place: Place) -> geopandas.GeoDataFrame:
    """Eighty points of the tiny place, each with a crop at random."""
    rng = np.random.default_rng(4)
    points = geopandas.GeoSeries([place.polygon], crs=4326).sample_points(80, rng=rng).explode()
    return geopandas.GeoDataFrame({"crop": rng.choice(CROPS, 80)}, geometry=points.to_numpy(), crs=4326)


@pytest.fixture(scope="module")
def samples(
    finished: Path, labelled: geopandas.GeoDataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("samples") / "here.npz"
    cropmap.collect(finished, labelled, out, label_column="crop")
    return out


def done(*words: Any) -> None:
    result = run_cropmap(*words)
    assert result.exit_code == 0, result.stderr


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return {name: file[name].tolist() for name in file.files if name != "metadata"}


def same_model(one: Path, other: Path) -> bool:
    return load_checkpoint(one).digest == load_checkpoint(other).digest


def test_a_table_of_labels_gives_the_samples_that_the_command_makes_of_a_file(
    finished: Path, labelled: geopandas.GeoDataFrame, samples: Path, tmp_path: Path
) -> None:
    labelled.to_file(tmp_path / "points.gpkg")
    done(
        "labels", "collect", finished, tmp_path / "points.gpkg",
        "--label-column", "crop", "--out", tmp_path / "command.npz",
    )  # fmt: skip
    assert arrays(samples) == arrays(tmp_path / "command.npz")
    found = cropmap.collect(finished, tmp_path / "points.gpkg", tmp_path / "file.npz", label_column="crop")
    assert sum(found.classes.values()) == len(labelled)


@pytest.mark.parametrize("points", [[(0, 0)], geopandas.GeoDataFrame({"crop": ["corn"]}, geometry=[None])])
def test_what_are_no_labelled_places_is_refused(finished: Path, points: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"GeoDataFrame with a CRS.*points_from_xy"):
        cropmap.collect(finished, points, tmp_path / "here.npz")
    assert list(tmp_path.iterdir()) == []


def test_suggested_places_are_those_of_the_command(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "places.gpkg"
    done("labels", "suggest", finished, "-n", 6, "--spacing", 50, "--neighbours", 0, "--out", out)
    found = cropmap.suggest(finished, count=6, spacing=50, neighbours=0, progress=False)
    wanted = geopandas.read_file(out)
    assert found["mapped"].tolist() == wanted["mapped"].tolist()
    assert found.geometry.geom_equals_exact(wanted.geometry, 1e-9).all()
    assert (found["label"] == "").all()


def test_advice_is_that_of_the_command(place: Place, tmp_path: Path) -> None:
    options = {"source": str(place.catalog), "workers": 0, "squares": 1}
    found = cropmap.advise(
        place.area, YEAR, out=tmp_path / "here", model=place.model, progress=False, **options
    )
    words = [part for key, value in options.items() for part in (f"--{key}", value)]
    done("advise", "--aoi", place.area, "--year", YEAR, "--model", place.model,
         "--out", tmp_path / "there", *words)  # fmt: skip
    said = [json.loads((tmp_path / one / "advice.json").read_text()) for one in ("here", "there")]
    assert said[0] == said[1]
    assert found.next_step == said[0]["next"]


def test_a_model_is_trained_tuned_and_adapted_as_by_the_commands(
    place: Place, finished: Path, samples: Path, tmp_path: Path
) -> None:
    block, tiny = 0.001, {"preset": "small-8", "epochs": 1, "batch_size": 16}
    words = ["--preset", "small-8", "--epochs", 1, "--batch-size", 16, "--block-size", block, "--quiet"]

    trained = cropmap.train(samples, tmp_path / "a.safetensors", **tiny, block_size=block)
    done("train", samples, "--out", tmp_path / "b.safetensors", *words)
    assert same_model(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert trained.metrics["split"].startswith(f"blocks of {block} degrees")

    cropmap.tune(place.model, samples, tmp_path / "c.safetensors", ways=("bias",), folds=2, block_size=block)
    done("tune", place.model, samples, "--out", tmp_path / "d.safetensors", "--ways", "bias",
         "--folds", 2, "--block-size", block, "--quiet")  # fmt: skip
    assert same_model(tmp_path / "c.safetensors", tmp_path / "d.safetensors")

    quick = {"rounds": 1, "stability": 1, "labelled": 20, "unlabelled": 50}
    adapted = cropmap.adapt(samples, finished, tmp_path / "e.safetensors", **tiny, block_size=block, **quick)
    done("adapt", "--source", samples, "--target", finished, "--out", tmp_path / "f.safetensors", *words,
         *[part for key, value in quick.items() for part in (f"--{key}", value)])  # fmt: skip
    assert same_model(tmp_path / "e.safetensors", tmp_path / "f.safetensors")
    assert adapted.checkpoint.provenance["adapted"]["method"] == "teacher"


def test_another_network_and_another_split_are_options_of_training(samples: Path, tmp_path: Path) -> None:
    found = cropmap.train(samples, tmp_path / "a.safetensors", model="mlp", split="random", epochs=1)
    assert type(found.config).__name__ != "CropNetConfig"
    assert "random" in found.metrics["split"]


def test_a_method_or_an_option_that_there_is_not_is_named(
    finished: Path, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"one of .*teacher.*'magic'"):
        cropmap.adapt(samples, finished, tmp_path / "a.safetensors", method="magic")
    with pytest.raises(InputError, match="colour is no option here"):
        cropmap.adapt(samples, finished, tmp_path / "a.safetensors", colour="red")


def test_composites_of_a_season_are_those_of_the_command(place: Place, tmp_path: Path) -> None:
    run = cropmap.export(
        place.area, YEAR, out=tmp_path / "run", source=str(place.catalog), season="year",
        workers=0, cell_size=CELL_SIZE, progress=False,
    )  # fmt: skip
    assert run.plan.recipe.season.name == "year"
    with pytest.raises(InputError, match=r"summer, winter.*'spring'"):
        cropmap.export(place.area, YEAR, out=tmp_path / "other", season="spring")


def test_nothing_is_written_over_what_it_is_made_of(
    place: Place, finished: Path, samples: Path, labelled: geopandas.GeoDataFrame, tmp_path: Path
) -> None:
    points = tmp_path / "points.gpkg"
    labelled.to_file(points)
    before = {path: path.read_bytes() for path in (samples, points, place.model)}
    for call in (
        lambda: cropmap.train(samples, samples),
        lambda: cropmap.tune(place.model, samples, samples),
        lambda: cropmap.tune(place.model, samples, place.model),
        lambda: cropmap.adapt([str(samples)], finished, samples),
        lambda: cropmap.collect(finished, points, points, label_column="crop"),
    ):
        with pytest.raises(InputError, match="would write over it"):
            call()
    assert {path: path.read_bytes() for path in before} == before


def test_a_place_that_cannot_be_written_is_told_before_the_work(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="No file can be written"):
        cropmap.train(samples, tmp_path / "file" / "model.safetensors")
