import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gee_pipeline.errors import InputError
from gee_pipeline.features.harmonic import bin_days, harmonic_features
from gee_pipeline.recipe import Recipe
from inference.models.networks import image_networks
from inference.models.networks.normalisation import Normalisation
from inference.models.networks.specification import NAMES
from inference.models.series import fill_gaps, model_input
from training.models.features import features_of
from training.models.registry import MODELS, ModelSpec, instead_of_training

pytestmark = pytest.mark.slow

NORMALISATION = Normalisation(
    tuple(0.05 + 0.02 * b for b in range(10)), tuple(0.03 + 0.01 * b for b in range(10))
)
NETWORKS = [name for name, spec in MODELS.items() if spec.kind == "network"]
FROM_TIMM = ["resnet50", "efficientnet-v2-s", "convnext-tiny"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def require_timm():
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed: pip install 'cropmap[training]'.")


def build(name, preset="paper"):
    if name in FROM_TIMM:
        require_timm()
    torch.manual_seed(0)
    return MODELS[name].build(7, 10, 43, preset=preset, normalisation=NORMALISATION)


def count(network):
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_the_names_are_those_of_the_paper():
    assert {name: (spec.kind, spec.features) for name, spec in MODELS.items()} == {
        "cropnet": ("network", "median-2d"),
        "cropnet-1d": ("network", "median-1d"),
        "cropnet-1d-harmonic": ("network", "harmonic"),
        "resnet50": ("network", "median-2d"),
        "efficientnet-v2-s": ("network", "median-2d"),
        "convnext-tiny": ("network", "median-2d"),
        "mlp": ("network", "median-1d"),
        "dcm": ("network", "median-2d"),
        "transformer": ("network", "median-2d"),
        "temporal-cnn": ("network", "median-2d"),
        "pan": ("network", "median-2d"),
        "phenocropnet": ("network", "median-2d"),
        "presto": ("network", "months"),
        "presto-frozen": ("network", "months"),
        "galileo-nano": ("network", "months"),
        "galileo-nano-frozen": ("network", "months"),
        "rf": ("forest", "median-1d"),
        "rf-harmonic": ("forest", "harmonic"),
        "rf-on-presto": ("forest", "months"),
        "rf-on-galileo-nano": ("forest", "months"),
        "rf-cropglobe-harmonic": ("forest", "packaged"),
        "rf-presto": ("forest", "packaged"),
        "rf-presto-maynov": ("forest", "packaged"),
        "rf-alphaearth": ("forest", "packaged"),
    }
    assert all((spec.features == "packaged") == (spec.file is not None) for spec in MODELS.values())
    assert all(spec.name == name and spec.source for name, spec in MODELS.items())


# Tong et al. 2025, table 6
@pytest.mark.parametrize(
    ("name", "millions"),
    [("cropnet", 4.69), ("resnet50", 23.57), ("efficientnet-v2-s", 20.24), ("convnext-tiny", 27.85)],
)
def test_a_network_is_as_large_as_in_the_paper(name, millions):
    assert count(build(name)) / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_from_the_models_input(name):
    network, x = build(name, "compact" if name.startswith("cropnet") else "paper"), torch.randn(2, 1, 10, 43)
    logits = network.train()(x)
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    assert logits.isfinite().all()
    learning = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    assert any(p.grad.any() for p in learning)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_number_of_weights_is_the_stated_one(name):
    assert count(build(name)) == MODELS[name].parameters


@pytest.mark.parametrize("name", FROM_TIMM)
def test_a_network_for_photographs_keeps_several_positions(name):
    """Shrunk by 8, not by 32: 10 x 43 leaves 2 x 6, or 1 x 5 where odd rows are cut off, not 1 x 2 or 0."""
    network = build(name).eval()
    with torch.inference_mode():
        rows, columns = network.forward_features(torch.zeros(1, 1, 10, 43)).shape[2:]
    assert (rows, columns) in ((2, 6), (1, 5))


def test_an_mlp_is_eight_hidden_layers_of_128():
    kinds = [type(module).__name__ for module in build("mlp").modules() if not list(module.children())]
    assert kinds == ["Linear", "BatchNorm1d", "GELU", "Dropout"] * 8 + ["Linear"]
    assert {m.p for m in build("mlp").modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    # 430 x 128 + 7 x 128 x 128 with biases, two numbers a unit to normalise, 128 x 7 + 7
    assert count(build("mlp")) == (430 * 128 + 128) + 7 * (128 * 128 + 128) + 8 * 256 + (128 * 7 + 7)


@pytest.mark.parametrize("name", ["cropnet", "cropnet-1d", "cropnet-1d-harmonic"])
def test_the_preset_chooses_the_size_of_a_cropnet(name):
    assert count(build(name, "compact")) < 0.3 * count(build(name, "paper"))


def test_the_harmonic_network_computes_its_features_from_the_models_input(made_samples):
    window = made_samples(50).series[:, :, 24:67]
    wanted = harmonic_features(fill_gaps(window), bin_days(Recipe()))
    network = build("cropnet-1d-harmonic", "compact")
    found = network.features(torch.from_numpy(model_input(window, NORMALISATION, Recipe())))
    # 15: the largest row sum of the fit's matrix; float32 is exact to 6e-8, and the index goes up to 20
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=2e-4)


def test_the_harmonic_network_scales_its_features_by_what_it_saw(made_samples):
    x = torch.from_numpy(model_input(made_samples(64).series[:, :, 24:67], NORMALISATION, Recipe()))
    network = build("cropnet-1d-harmonic", "compact").train()
    scaled = network.scale(network.features(x))
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(35), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0, correction=0), torch.ones(35), atol=1e-2, rtol=0)
    assert len(network.state_dict()) > len(dict(network.named_parameters()))  # the statistics travel with it


def test_the_harmonic_network_asks_for_the_normalisation():
    with pytest.raises(InputError, match="normalisation of the training samples"):
        MODELS["cropnet-1d-harmonic"].build(7, 10, 43)


def test_a_model_has_the_shape_of_its_recipe():
    with pytest.raises(InputError, match=r"10 and 43; got 9 and 43"):
        MODELS["cropnet"].build(7, 9, 43)
    nine = Recipe.of(bands=("B2", "B3", "B4", "B5", "B6", "B7", "B8A", "B11", "B12"))
    assert MODELS["mlp"].build(3, 9, 43, recipe=nine)(torch.zeros(2, 1, 9, 43)).shape == (2, 3)


def test_without_timm_the_way_out_is_one_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'cropmap\[training\]'"):
        MODELS["resnet50"].build(7, 10, 43)


def failing_imports(monkeypatch, *messages):
    """Imports fail with these messages, one after the other, and then succeed."""
    left = list(messages)

    def attempt(name):
        if left:
            raise RuntimeError(left.pop(0))
        return name

    monkeypatch.setattr(image_networks, "importlib", SimpleNamespace(import_module=attempt))


def test_operators_that_torchvision_misses_are_declared(monkeypatch):
    missing = ("torchvision::made_up_one", "torchvision::made_up_two")
    failing_imports(monkeypatch, *(f"operator {name} does not exist" for name in missing))
    assert image_networks.timm_library() == "timm"
    assert torch.ops.torchvision.made_up_one
    with pytest.raises(NotImplementedError):  # declared, not made up
        torch.ops.torchvision.made_up_two(torch.zeros(1))


@pytest.mark.parametrize(
    "messages",
    [
        ["something else"],
        ["operator aten::add does not exist"],  # of torch itself: a broken installation
        ["operator torchvision::made_up_three does not exist"] * 2,  # declaring it did not help
    ],
)
def test_any_other_failure_of_the_import_is_not_hidden(messages, monkeypatch):
    failing_imports(monkeypatch, *messages)
    with pytest.raises(RuntimeError, match=messages[0]):
        image_networks.timm_library()


def test_the_registry_is_light():
    """It is read for the help of a command, which must answer at once."""
    heavy = "torch timm sklearn numpy scipy numba"
    code = f"import sys, training.models.registry; print([m for m in '{heavy}'.split() if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("name", "shape"), [("cropnet", (30, 10, 43)), ("rf", (30, 430)), ("rf-harmonic", (30, 35))]
)
def test_features_are_of_the_window(name, shape, whole, made_samples):
    season = fill_gaps(made_samples(30).series)
    series = season if whole else season[:, :, 24:67]
    found = features_of(MODELS[name], series, Recipe())
    assert found.shape == shape
    if name == "rf":  # band after band
        assert found[4, 43 * 7 + 5] == season[4, 7, 24 + 5]
    if name == "rf-harmonic":
        days = np.arange(122.5, 335, 5)
        np.testing.assert_array_equal(found, harmonic_features(season[:, :, 24:67], days))


def test_a_mask_of_the_season_is_cut_to_the_window(made_samples):
    samples = made_samples(30)
    observed, season = samples.series[:, 0] != -9999, fill_gaps(samples.series)
    spec = MODELS["rf-harmonic"]
    whole = features_of(spec, season, Recipe(), observed=observed)
    window = features_of(spec, season[:, :, 24:67], Recipe(), observed=observed[:, 24:67])
    np.testing.assert_array_equal(whole, window)
    assert not np.array_equal(whole, features_of(spec, season, Recipe()))


@pytest.mark.parametrize("shape", [(3, 9, 43), (3, 10, 44)])
def test_series_of_another_recipe_have_no_features(shape):
    with pytest.raises(InputError, match="10 bands and of 43 bins"):
        features_of(MODELS["rf"], np.zeros(shape, np.float32), Recipe())


def test_a_spec_cannot_be_changed():
    with pytest.raises(AttributeError):
        MODELS["rf"].name = "other"
    assert isinstance(MODELS["rf"], ModelSpec)


def test_networks_are_trained_and_forests_say_what_to_do_instead():
    told = {name: instead_of_training(name) for name in MODELS}
    assert {name for name, text in told.items() if not text} == set(NETWORKS) == set(NAMES)
    assert all(text.startswith(f"{name} is a forest") for name, text in told.items() if text)
