import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from cli.commands.models.explain import explain
from gee_pipeline.errors import CropmapError
from gee_pipeline.recipe import CloudRule, Recipe
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import build_network, config_of
from tests.support.tiny_place import tiny_model
from training.explain.options import ExplainOptions

pytestmark = pytest.mark.slow

pytest.importorskip("captum", reason="captum is not installed: pip install 'cropmap[training]'")

FILES = {"explain.json", "activation.png", "attribution.png", "embedding.png", "ndvi.png"}


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch):
    monkeypatch.setattr("inference.drawing.style.DPI", 40)


@pytest.fixture
def place(tmp_path):
    """A model of three bands at random, and samples of four of its five classes."""
    rng = np.random.default_rng(3)
    labels = np.arange(80) % 4  # corn, soybeans, rice, wheat, which the model calls other
    fea = rng.integers(300, 3000, (80, 3, 73)) + 700 * labels[:, None, None]
    facts = {"lbl": labels, "lon": np.full(80, -91.0), "lat": np.full(80, 35.0)}
    np.savez(tmp_path / "samples.npz", fea=fea.astype(np.int16), **facts)
    tiny_model(tmp_path / "model.safetensors")
    return tmp_path


def invoke(place, *more, samples="samples.npz"):
    given = [place / "model.safetensors", place / samples, "--out", place / "out", "--device", "cpu", *more]
    given += ["--perplexity", "6"]
    return CliRunner().invoke(explain, [str(a) for a in given], catch_exceptions=False)


def test_a_folder_of_pictures_and_numbers_is_written(place):
    more = ["--classes", "corn,soybeans,other", "--target", place / "samples.npz"]
    result = invoke(place, *more)
    assert {path.name for path in (place / "out").iterdir()} == FILES
    facts = json.loads((place / "out" / "explain.json").read_text())
    counted = {"corn": 20, "soybeans": 20, "other": 20}
    assert {domain: region["samples"] for domain, region in facts["regions"].items()} == {
        "source": counted,
        "target": counted,
    }
    assert len(facts["embedding"]["groups"]) == 3
    assert result.stdout.startswith("Written: ")
    assert result.stderr.splitlines() == [
        "Maps over bands and days of 60 source and 60 target samples",
        "t-SNE of 180 series",
    ]


def test_options_reach_the_explanation(place):
    more = ["--classes", "corn,soybeans", "--per-class", "7", "--seed", "9", "--augmentation", "none"]
    result = invoke(place, *more, "--format", "svg", "--quiet", "--json")
    paths = json.loads(result.stdout)
    assert result.stderr == ""
    assert paths[1] == str(place / "out" / "activation.svg")
    facts = json.loads((place / "out" / "explain.json").read_text())
    options = facts["options"]
    assert (options["per_class"], options["seed"], options["augmentation"]) == (7, 9, "none")
    assert [one["samples"] for one in facts["activation"]["maps"]] == [7, 7]
    assert facts["embedding"]["perplexity"] == 6


def test_the_same_command_gives_the_same_numbers(place):
    more = ["--classes", "corn,soybeans", "--per-class", "9"]
    texts = []
    for _ in range(2):
        invoke(place, *more)
        texts.append((place / "out" / "explain.json").read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], r"has none of cotton.*--classes corn,soybeans,rice,other"),  # a class without samples
        (["--classes", "corn,potatoes"], r"corn, soybeans, rice, cotton, other; got"),
        (["--classes", "corn,rice", "--per-class", "0"], "--per-class 300"),
        (["--classes", "corn,rice", "--device", "tpu"], "auto, cpu, cuda"),
    ],
)
def test_bad_input_is_one_message_and_writes_nothing(place, more, message):
    with pytest.raises(CropmapError, match=message):
        invoke(place, *more)
    assert not any((place / "out").glob("*"))


@pytest.mark.parametrize(
    ("name", "title"),
    [("mlp", "Multilayer perceptron"), ("cropnet-1d-harmonic", "CropNet-1D on harmonic coefficients")],
)
def test_a_network_without_maps_is_refused_by_name_before_samples_are_read(place, name, title):
    recipe = Recipe.of(bands=("B3", "B8", "B8A", "B11", "B12"))
    scaled = Normalisation((0.2,) * 5, (0.1,) * 5)
    config = config_of(name, "compact", 2, recipe)
    classes = (CropClass(1, "corn", "#ffd300"), CropClass(2, "rice", "#00a8e2"))
    weights = build_network(config, recipe, scaled).state_dict()
    save_checkpoint(place / "model.safetensors", Checkpoint(config, classes, recipe, scaled, weights))
    with pytest.raises(CropmapError, match=f"last block of a CropNet; this model is {title}"):
        invoke(place, samples=unreadable(place))


def test_samples_of_other_bands_are_refused(place):
    np.savez(place / "ten.npz", fea=np.full((8, 10, 73), 500, np.int16), lbl=np.arange(8) % 2)
    with pytest.raises(CropmapError, match=r"ten\.npz.*\(8, 10, 73\)"):
        invoke(place, samples="ten.npz")


def test_samples_of_another_recipe_are_refused(place):
    recipe = Recipe.from_dict(recipe_of(place)).with_clear(CloudRule(threshold=0.5)).to_dict()
    request = {"year": 2021, "season_start": "2021-01-01"}
    told = json.dumps({"source": "Made.", "recipe": recipe, "request": request})
    with np.load(place / "samples.npz") as arrays:
        np.savez(place / "cloudy.npz", **arrays, metadata=told)
    with pytest.raises(CropmapError, match=r"cloudy\.npz and the model.*0\.5.*against.*0\.75"):
        invoke(place, samples="cloudy.npz")


def unreadable(place):
    """The name of a file of which nothing can be read."""
    (place / "unreadable.npz").touch()
    return "unreadable.npz"


def recipe_of(place):
    from inference.models.checkpoint import load_checkpoint

    return load_checkpoint(place / "model.safetensors").recipe.to_dict()


def test_without_captum_nothing_is_read(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(CropmapError, match=r"pip install 'cropmap\[training\]'"):
        invoke(place, samples=unreadable(place))


def test_defaults_are_those_of_the_explanation():
    defaults = {param.name: param.default for param in explain.params}
    for name in ("per_class", "seed", "augmentation", "perplexity", "device"):
        assert defaults[name] == getattr(ExplainOptions(), name)


def test_every_option_has_help_and_there_is_an_example():
    assert [p.name for p in explain.params if p.param_type_name == "option" and not p.help] == []
    assert "cropmap explain model.safetensors" in CliRunner().invoke(explain, ["--help"]).output
