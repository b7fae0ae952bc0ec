import hashlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import CloudRule, Recipe
from inference.models.checkpoint import load_checkpoint, save_checkpoint
from inference.models.crop_class import CropClass
from inference.models.networks.cropnet import CropNetConfig
from inference.models.networks.normalisation import Normalisation
from inference.models.shipped import model_path
from inference.models.told.class_curves import ClassCurves
from inference.models.told.prediction_sets import PredictionSets

SMALL = CropNetConfig("small", (4, 6), (2, 1), (0.2, 0.3), bands=10, classes=5)


@pytest.fixture
def checkpoint(make_checkpoint):
    return make_checkpoint(config=SMALL)


@pytest.fixture
def path(tmp_path, checkpoint):
    save_checkpoint(tmp_path / "model.safetensors", checkpoint)
    return tmp_path / "model.safetensors"


def _contents(path):
    """Metadata and tensors of a file, by the library alone."""
    with safetensors.safe_open(path, "pt") as file:
        return json.loads(file.metadata()["cropmap"]), {
            k: file.get_tensor(k).clone() for k in sorted(file.keys())
        }


def _rewrite(path, values, tensors):
    text = values if isinstance(values, str) else json.dumps(values)
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    entries = {"cropmap": text, "cropmap_digest": digest.hexdigest()[:16]}
    safetensors.torch.save_file(tensors, path, entries)


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path, make_checkpoint):
    saved = make_checkpoint(
        config=SMALL,
        recipe=Recipe.of(clear=CloudRule(threshold=0.6), min_clear_bins=5),
        provenance={"data": "Überall", "footprint": None, "samples": {"corn": 3}, "parts": [1, 2]},
        metrics={"macro_f1": 1 / 3},
        temperature=1.7,
    )
    save_checkpoint(tmp_path / "m.safetensors", saved)
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert replace(loaded, weights={}) == replace(saved, weights={})
    assert loaded.weights.keys() == saved.weights.keys()
    assert all(torch.equal(loaded.weights[name], saved.weights[name]) for name in saved.weights)
    assert loaded.digest == saved.digest


def test_a_network_of_one_dimension_comes_back(tmp_path, make_checkpoint, make_network):
    flat = replace(SMALL, dimensions=1)
    saved = make_checkpoint(config=flat)
    save_checkpoint(tmp_path / "m.safetensors", saved)
    loaded, x = load_checkpoint(tmp_path / "m.safetensors"), torch.randn(3, 1, 10, 43)
    assert loaded.config == flat
    assert loaded.digest == saved.digest
    assert torch.equal(loaded.build()(x), make_network(flat)(x))
    with pytest.raises(MismatchError, match=r"blocks\.0\.0\.weight"):
        replace(loaded, config=SMALL).build()


def test_a_file_from_before_the_dimensions_keeps_its_digest(path, checkpoint):
    values, _ = _contents(path)
    assert sorted(values["config"]) == ["bands", "channels", "classes", "dropout", "preset", "strides"]
    with safetensors.safe_open(path, "pt") as file:
        assert load_checkpoint(path).digest == file.metadata()["cropmap_digest"]


@pytest.mark.parametrize(("name", "digest"), [("accurate", "7e42727e22609578"), ("fast", "7414607007f5010b")])
def test_a_shipped_model_keeps_its_digest_whatever_is_added_to_what_is_known_of_it(name, digest):
    """Runs that were begun with it name this digest."""
    shipped = load_checkpoint(model_path(name))
    assert shipped.digest == digest
    assert shipped.applicability is not None
    assert shipped.curves is not None
    assert shipped.prediction_sets is not None
    assert shipped.prediction_sets.samples == (141, 413, 201, 74, 62)


def test_what_is_told_of_other_classes_or_bins_is_refused(checkpoint):
    bins, classes = len(checkpoint.recipe.window), len(checkpoint.classes)
    curve = ((0.5,) * bins,) * 3
    told = replace(checkpoint, curves=ClassCurves((curve,) * classes))
    assert told.digest == checkpoint.digest
    with pytest.raises(MismatchError, match="curves of classes of 2 came with a model of 5"):
        replace(checkpoint, curves=ClassCurves((curve,) * 2))
    with pytest.raises(MismatchError, match=f"window of {bins} bins, got 1"):
        replace(checkpoint, curves=ClassCurves((((0.5,),) * 3,) * classes))
    with pytest.raises(MismatchError, match="prediction sets of 1 came with a model of 5"):
        replace(checkpoint, prediction_sets=PredictionSets(0.9, (0.5,), (9,), "samples"))


def test_the_built_network_is_in_eval_mode_and_has_the_weights(checkpoint, make_network):
    network, x = checkpoint.build(), torch.randn(3, 1, 10, 43)
    assert not network.training
    assert torch.equal(network(x), make_network(SMALL)(x))


def test_the_digest_changes_with_every_part(checkpoint):
    weights = {name: t.clone() for name, t in checkpoint.weights.items()}
    weights["head.bias"][0] += 1e-6
    classes = (replace(checkpoint.classes[0], color="#123456"), *checkpoint.classes[1:])
    others = [
        replace(checkpoint, weights=weights),
        replace(checkpoint, classes=classes),
        replace(checkpoint, temperature=1.01),
        replace(checkpoint, recipe=Recipe(min_clear_bins=9)),
        replace(checkpoint, metrics={"accuracy": 0.3}),
    ]
    assert len({checkpoint.digest, *(other.digest for other in others)}) == 6


def test_the_metadata_is_readable(path, checkpoint):
    with safetensors.safe_open(path, "pt") as file:
        assert sorted(file.metadata()) == ["cropmap", "cropmap_digest"]
    values, _ = _contents(path)
    assert values["recipe_digest"] == checkpoint.recipe.digest
    assert values["classes"][1] == {"code": 2, "name": "crop 2", "color": "#028040"}


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors does not exist.*--model"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x02}q\x00.", b"\xff" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"m\.safetensors cannot be read as safetensors"):
        load_checkpoint(tmp_path / "m.safetensors")


@pytest.mark.parametrize("share", [0.001, 0.2, 0.9, 0.999])
def test_a_truncated_file_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptFileError, match="truncated"):
        load_checkpoint(path)


@pytest.mark.parametrize("where", ["weights", "metadata"])
def test_a_flipped_bit_is_noticed(path, where):
    """Of the lowest bit of a weight, and of a digit of the normalisation: both leave a valid file."""
    content = bytearray(path.read_bytes())
    at = len(content) - 4 if where == "weights" else content.index(b"0.05") + 3
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFileError, match=r"is damaged: .* digest"):
        load_checkpoint(path)


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))])
def test_loading_runs_no_code_of_the_file(tmp_path, save):
    target = tmp_path / "the code ran"
    save(_Bomb(target), tmp_path / "m.safetensors")
    with pytest.raises(CorruptFileError):
        load_checkpoint(tmp_path / "m.safetensors")
    assert not target.exists()


def test_weights_without_metadata_are_refused(path):
    _, tensors = _contents(path)
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(CorruptFileError, match=r"'cropmap' entry.*cropmap train"):
        load_checkpoint(path)


def _without(key):
    return lambda values: values.pop(key)


def _with(key, value):
    return lambda values: values.update({key: value})


@pytest.mark.parametrize(
    ("damage", "kind", "names"),
    [
        (_without("classes"), CorruptFileError, "classes"),
        (_without("recipe_digest"), CorruptFileError, "recipe_digest"),
        (_with("classes", 3), CorruptFileError, "damaged"),
        (_with("config", {"preset": "compact"}), CorruptFileError, "damaged"),
        (_with("temperature", 0), CorruptFileError, "temperature"),
        (_with("normalisation", {"mean": [0.1] * 10, "std": [0.0] * 10}), CorruptFileError, "above 0"),
        (_with("recipe", {"bands": ["B2"]}), CorruptFileError, "recipe"),
        (_with("format", 2), MismatchError, "format 1, .* has format 2"),
        (_without("format"), MismatchError, "has format None"),
        (_with("recipe_digest", "0" * 16), MismatchError, "recipe digest.*0000"),
        (lambda values: values["recipe"].update(min_clear_bins=3), MismatchError, "changed after training"),
        (lambda values: values["classes"].pop(), MismatchError, "4 classes.*5 outputs"),
        (lambda values: values["config"].update(bands=9), MismatchError, "9, 10 and 10"),
        (lambda values: values["normalisation"]["mean"].pop(), CorruptFileError, "each band"),
        (lambda values: values["config"].update(channels=[4, 8]), MismatchError, r"blocks\.1\.0\.weight"),
    ],
)
def test_damaged_metadata_is_refused(path, damage, kind, names):
    values, tensors = _contents(path)
    damage(values)
    _rewrite(path, values, tensors)
    with pytest.raises(kind, match=names):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null"])
def test_metadata_that_is_no_json_object_is_refused(path, text):
    _, tensors = _contents(path)
    _rewrite(path, text, tensors)
    with pytest.raises(CorruptFileError, match=r"metadata.*damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (_without("head.bias"), r"head\.bias: wanted \(5,\) of float32, got none"),
        (_with("extra", torch.zeros(2)), r"extra: wanted none, got \(2,\) of float32"),
        (_with("head.weight", torch.zeros(5, 7)), r"head\.weight: wanted \(5, 6\) of float32, got \(5, 7\)"),
    ],
)
def test_weights_that_do_not_fit_the_configuration_are_refused(path, damage, names):
    values, tensors = _contents(path)
    damage(tensors)
    _rewrite(path, values, tensors)
    with pytest.raises(MismatchError, match=names):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(path, checkpoint, value):
    values, tensors = _contents(path)
    tensors["blocks.0.0.weight"][0, 0, 1, 1] = value
    _rewrite(path, values, tensors)
    with pytest.raises(CorruptFileError, match=r"not numbers.*blocks\.0\.0\.weight"):
        load_checkpoint(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="diverged"):
        save_checkpoint(path, replace(checkpoint, weights=tensors))
    assert path.read_bytes() == before


def test_provenance_that_is_no_json_is_refused(tmp_path, checkpoint):
    for wrong in ({"loss": float("nan")}, {"path": Path("x")}):
        with pytest.raises(InputError, match="JSON values"):
            save_checkpoint(tmp_path / "m.safetensors", replace(checkpoint, metrics=wrong))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: CropClass(0, "corn", "#ffffff"), "between 1 and 253, got 0"),  # 0 is outside
        (lambda: CropClass(254, "corn", "#ffffff"), "got 254"),  # 254 is not cropland
        (lambda: CropClass(1, " ", "#ffffff"), "needs a name"),
        (lambda: CropClass(1, "corn", "yellow"), "#rrggbb, got 'yellow'"),
        (lambda: Normalisation((0.1, 0.2), (0.1,)), "each band"),
        (lambda: Normalisation((float("nan"),), (0.1,)), "each band"),
    ],
)
def test_values_that_mean_nothing_are_refused(make, names):
    with pytest.raises(InputError, match=names):
        make()


def test_codes_run_from_1_and_names_are_unique(checkpoint):
    first, second, *rest = checkpoint.classes
    with pytest.raises(InputError, match="codes 1 to 5"):
        replace(checkpoint, classes=(second, first, *rest))
    with pytest.raises(InputError, match="crop 1"):
        replace(checkpoint, classes=(first, replace(second, name="crop 1"), *rest))


def test_a_network_is_built_without_drawing_weights(checkpoint):
    before = torch.get_rng_state()
    built = checkpoint.build().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert {name: torch.equal(built[name], weight) for name, weight in checkpoint.weights.items()} == {
        name: True for name in built
    }


def test_loading_and_building_do_not_import_the_compiler_of_torch():
    code = (
        "import sys; from inference.models.checkpoint import load_checkpoint\n"
        "from inference.models.shipped import model_path\n"
        "load_checkpoint(model_path('accurate')).build()\n"
        "print(','.join(sorted({'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_forged_size_is_refused_before_memory_is_taken(path, monkeypatch):
    values, tensors = _contents(path)
    values["config"]["channels"] = [60_000, 60_000]  # 130 GB
    _rewrite(path, values, tensors)
    made = []
    monkeypatch.setattr(torch.nn.Linear, "__init__", _noting(torch.nn.Linear.__init__, made))
    with pytest.raises(MismatchError, match=r"must fit the configuration.*60000"):
        load_checkpoint(path)
    assert {layer.weight.device.type for layer in made} == {"meta"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int32])
def test_weights_of_another_number_type_are_not_cast(path, dtype):
    values, tensors = _contents(path)
    name = next(name for name in tensors if name.endswith("weight"))
    _rewrite(path, values, tensors | {name: tensors[name].to(dtype)})
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(MismatchError, match=f"{name}: wanted .* of float32, got .* of {kind}"):
        load_checkpoint(path)


@pytest.mark.parametrize("model", ["mlp", "cropnet-1d-harmonic"])
def test_no_network_is_made_before_its_weights_fit(path, monkeypatch, model):
    values, tensors = _contents(path)
    sizes = {key: values["config"][key] for key in ("bands", "classes")}
    config = {"model": model, "bins": len(Recipe.from_dict(values["recipe"]).window), **sizes}
    _rewrite(path, values | {"config": config}, tensors)
    made = []
    monkeypatch.setattr(torch.nn.Linear, "__init__", _noting(torch.nn.Linear.__init__, made))
    with pytest.raises(MismatchError, match="must fit the configuration"):
        load_checkpoint(path)
    assert {layer.weight.device.type for layer in made} == {"meta"}


def _noting(init, made):
    def noted(self, *args, **options):
        init(self, *args, **options)
        made.append(self)

    return noted


def test_a_network_of_thousands_of_blocks_is_refused(path):
    values, tensors = _contents(path)
    many = {"channels": [1] * 3_000, "strides": [1] * 3_000, "dropout": [0.1] * 3_000}
    _rewrite(path, values | {"config": values["config"] | many}, tensors)
    with pytest.raises(CorruptFileError, match="at most 64 blocks"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"provenance": []},
        {"metrics": "good"},
        {"provenance": {"year": "2021"}},
        {"provenance": {"season_start": 20210101}},
        {"provenance": {"season_start": "spring"}},
    ],
)
def test_facts_of_another_kind_are_damage(path, change):
    values, tensors = _contents(path)
    _rewrite(path, values | change, tensors)
    with pytest.raises(CorruptFileError, match=r"metadata of .* is damaged"):
        load_checkpoint(path)


def test_metadata_nested_beyond_reason_is_damage(path):
    _rewrite(path, "[" * 10_000, _contents(path)[1])
    with pytest.raises(CorruptFileError, match="nested too deeply"):
        load_checkpoint(path)


def test_a_file_larger_than_any_model_is_not_read(path, monkeypatch):
    monkeypatch.setattr("inference.models.model_file.LARGEST_MODEL", 1_000)
    with pytest.raises(CorruptFileError, match=r"at most 1,000 bytes"):
        load_checkpoint(path)
