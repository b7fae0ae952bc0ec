import numpy as np
import pytest
import torch

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from inference.models.networks.normalisation import Normalisation
from tests.support.made_weights import drawn, write_weights
from training.models.features import features_of
from training.models.registry import MODELS
from training.pretrained.known import BY_DIGEST, KNOWN, USES
from training.pretrained.start import Pretrained, encoder_for, read_pretrained, require_files, started

SCALED = Normalisation((0.2,) * 10, (0.1,) * 10)


def network(name):
    torch.manual_seed(3)
    return MODELS[name].build(3, 10, 43, normalisation=SCALED)


@pytest.mark.parametrize("name", ["presto", "presto-frozen", "galileo-nano", "galileo-nano-frozen"])
def test_all_but_the_head_comes_from_the_file(name, tmp_path, monkeypatch):
    path = write_weights(tmp_path / "any-name", MODELS[name].encoder, monkeypatch)
    pretrained = read_pretrained(path)
    pretrained.require_for(name)
    fresh, begun = network(name), started(network(name), pretrained)
    for key, tensor in begun.state_dict().items():
        of_file = key.startswith("encoder.")
        assert torch.equal(tensor, fresh.state_dict()[key]) != of_file, key
    norm = "encoder.norm.weight" if "presto" in name else "norm.weight"
    assert torch.equal(begun.encoder.norm.weight, drawn(MODELS[name].encoder)[norm])


def test_without_a_file_nothing_changes():
    made = network("presto")
    assert started(made, None) is made


def test_an_unknown_file_is_named_with_its_digest(tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"anything")
    with pytest.raises(InputError, match=r"none of the published weights .*SHA-256 is [0-9a-f]{64}"):
        require_files(["presto"], [path])


def test_a_file_that_is_not_there_says_how_to_fetch_one(tmp_path):
    with pytest.raises(InputError, match="cropmap data weights NAME"):
        read_pretrained(tmp_path / "none.pt")


def test_nothing_of_an_unknown_file_is_unpickled(tmp_path, monkeypatch):
    path = tmp_path / "mine.pt"
    torch.save({}, path)
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("the file was opened"))
    with pytest.raises(InputError, match="none of the published weights"):
        read_pretrained(path)


def test_a_file_without_a_weight_is_damaged(tmp_path, monkeypatch):
    path = write_weights(tmp_path / "w.pt", "presto", monkeypatch, encoder__norm__bias=None)
    with pytest.raises(CorruptFileError, match=r"lacks 'encoder\.norm\.bias'"):
        read_pretrained(path)


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({"encoder__norm__bias": torch.zeros(64)}, "encoder.norm.bias"),
        ({"encoder__blocks__0__mlp__fc1__weight": torch.zeros(256, 128)}, "encoder.blocks.0.alone.0.weight"),
    ],
)
def test_a_weight_of_another_shape_is_named(changed, first, tmp_path, monkeypatch):
    pretrained = read_pretrained(write_weights(tmp_path / "w.pt", "presto", monkeypatch, **changed))
    with pytest.raises(MismatchError, match=f"1 do not, first {first}"):
        pretrained.start(network("presto"))


@pytest.mark.parametrize("change", ["missing", "more"])
def test_only_the_head_may_keep_its_first_weights(change, tmp_path, monkeypatch):
    pretrained = read_pretrained(write_weights(tmp_path / "w.pt", "presto", monkeypatch))
    state = dict(pretrained.state)
    if change == "missing":
        del state["groups"]
    else:
        state["blocks.2.norm1.bias"] = torch.zeros(128)
    with pytest.raises(MismatchError, match="all of a network but its head"):
        Pretrained(pretrained.weights, state).start(network("presto"))


def test_weights_of_another_encoder_are_refused(tmp_path, monkeypatch):
    pretrained = read_pretrained(write_weights(tmp_path / "w.pt", "galileo-nano", monkeypatch))
    for name in ("presto", "cropnet"):
        with pytest.raises(InputError, match=f"galileo-nano, which {name} does not have"):
            pretrained.require_for(name)


def test_models_take_the_file_of_their_encoder(tmp_path, monkeypatch):
    files = [write_weights(tmp_path / name, name, monkeypatch) for name in ("presto", "galileo-nano")]
    require_files(list(MODELS), files)
    found = {name: encoder_for(name, files) for name in ("presto-frozen", "galileo-nano", "cropnet")}
    assert {name: one and one.weights.encoder for name, one in found.items()} == {
        "presto-frozen": "presto",
        "galileo-nano": "galileo-nano",
        "cropnet": None,
    }


@pytest.mark.parametrize("name", [name for name, use in USES.items() if use.kept])
def test_a_model_on_a_kept_encoder_is_nothing_without_it(name):
    with pytest.raises(InputError, match=f"{name} leaves its encoder as it is published"):
        require_files([name], [])
    require_files(["presto", "galileo-nano", "cropnet"], [])  # these can begin with drawn weights


def test_a_file_that_no_model_reads_and_two_for_one_are_refused(tmp_path, monkeypatch):
    one = write_weights(tmp_path / "a", "presto", monkeypatch)
    other = write_weights(tmp_path / "b", "presto", monkeypatch, encoder__norm__bias=torch.ones(128))
    with pytest.raises(
        InputError, match="--pretrained presto is read by no model that is asked for: cropnet"
    ):
        require_files(["cropnet"], [one])
    with pytest.raises(InputError, match="2 are of the encoder presto"):
        require_files(["presto"], [one, other])


@pytest.mark.parametrize("name", ["rf-on-presto", "rf-on-galileo-nano"])
def test_features_of_a_forest_are_what_the_network_embeds(name, tmp_path, monkeypatch):
    spec = MODELS[name]
    pretrained = read_pretrained(write_weights(tmp_path / "w.pt", spec.encoder, monkeypatch))
    series = np.random.default_rng(1).integers(200, 5000, (5, 10, 73)).astype(np.float32)
    found = features_of(spec, series, Recipe(), pretrained=pretrained)
    made = started(network(spec.encoder), pretrained).eval()
    scaled = (torch.from_numpy(series[:, None, :, 24:67]) / 10_000 - 0.2) / 0.1
    with torch.inference_mode():
        np.testing.assert_allclose(found, made.embed(scaled).numpy(), atol=1e-4)
    assert found.shape == (5, 128)
    with pytest.raises(InputError, match="--pretrained FILE"):
        features_of(spec, series, Recipe())


def test_the_known_weights_are_of_models_and_tell_their_licence():
    assert {one.encoder for one in KNOWN.values()} == {use.encoder for use in USES.values()}
    assert {*USES} == {name for name, spec in MODELS.items() if spec.features == "months"}
    assert len(BY_DIGEST) >= len(KNOWN)
    for name, one in KNOWN.items():
        assert one.name == name
        assert MODELS[one.encoder].encoder == one.encoder
        assert len(bytes.fromhex(one.sha256)) == 32
        assert one.licence in one.terms
        assert one.copyright in one.terms
        assert one.address == f"https://github.com/{one.repository}/raw/{one.commit}/{one.path}"
