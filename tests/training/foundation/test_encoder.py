from importlib.util import find_spec

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import file_digest
from inference.models.networks.image_networks import timm_library
from training.foundation.encoder import (
    check_file,
    load_encoder,
    new_encoder,
    spread,
    state_digest,
    widths,
)
from training.foundation.known_weights import KNOWN
from training.foundation.segmentation import DECODERS, new_decoder

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra cropmap[training]")


def classifier(channels=13):
    """A whole ResNet-18 with random weights and a head, as a file of weights has it."""
    torch.manual_seed(5)
    return timm_library().create_model("resnet18", in_chans=channels, num_classes=7)


@pytest.fixture(scope="module")
def state():
    return classifier().state_dict()


def loaded(tmp_path, state, name="ssl4eo", encoder="resnet18", suffix=".pth"):
    """An encoder through the real check and the real loader."""
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    file = check_file(path, KNOWN[name], file_digest(path))
    return load_encoder(encoder, KNOWN[name], file, 1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_encoder_from_a_file_makes_what_the_network_in_the_file_makes(tmp_path, state, suffix):
    ours = loaded(tmp_path, state, suffix=suffix).eval()
    theirs = classifier().eval()
    images = torch.rand(2, 13, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images)[-1], theirs.forward_features(images))


def test_weights_one_level_down_are_found(tmp_path, state):
    ours = loaded(tmp_path, {"state_dict": state, "epoch": 100})
    torch.testing.assert_close(ours.state_dict()["conv1.weight"], state["conv1.weight"])


def test_a_file_without_a_head_and_counters_is_whole(tmp_path, state):
    bare = {key: value for key, value in state.items() if key[:3] != "fc." and "num_batches" not in key}
    assert state_digest(loaded(tmp_path, bare)) == state_digest(loaded(tmp_path, state))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s | {"queue": torch.zeros(3)}, "holds tensors that no resnet18 has: queue"),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, "no resnet18 has: module"),
        (lambda s: {k: v for k, v in s.items() if k != "layer3.0.conv1.weight"}, r"lacks .*layer3\.0\.conv1"),
        (lambda s: s | {"layer1.0.conv1.weight": torch.zeros(2, 2, 3, 3)}, r"other sizes .*\(2, 2, 3, 3\)"),
        (lambda s: s | {"conv1.weight": s["conv1.weight"][:, :9]}, "see 13 bands .* sees 9"),
    ],
)
def test_tensors_that_do_not_belong_are_refused_by_name(tmp_path, state, change, words):
    with pytest.raises(MismatchError, match=words):
        loaded(tmp_path, change(dict(state)))


def test_weights_of_another_encoder_are_refused(tmp_path, state):
    with pytest.raises(MismatchError, match="resnet50"):
        loaded(tmp_path, state, encoder="resnet50")


def test_weights_of_nine_bands_are_no_thirteen(tmp_path, state):
    with pytest.raises(MismatchError, match=r"satlas see 9 bands \(B04, B03, B02"):
        loaded(tmp_path, state, "satlas")


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_of_something_else_is_named(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    file = check_file(path, KNOWN["ssl4eo"], file_digest(path))
    with pytest.raises(CorruptFileError, match=r"weights\.pth is not a file of weights"):
        load_encoder("resnet18", KNOWN["ssl4eo"], file, 1)


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    torch.save({"conv1.weight": print}, tmp_path / "weights.pth")
    file = check_file(tmp_path / "weights.pth", KNOWN["ssl4eo"], file_digest(tmp_path / "weights.pth"))
    with pytest.raises(CorruptFileError, match="not a file of weights"):
        load_encoder("resnet18", KNOWN["ssl4eo"], file, 1)


@pytest.mark.parametrize("name", ["imagenet", "ssl4eo", "satlas"])
def test_another_digest_than_the_published_is_refused_with_the_way_out(tmp_path, name):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    words = f"not {KNOWN[name].digest}.*--sha256 {name}={file_digest(path)}"
    with pytest.raises(MismatchError, match=words):
        check_file(path, KNOWN[name])


def test_a_digest_that_was_given_wins(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    digest = file_digest(path)
    assert check_file(path, KNOWN["ssl4eo"], digest[:10].upper()).checked == "first 10 digits as given"
    with pytest.raises(MismatchError, match="is not the file that is expected"):
        check_file(path, KNOWN["ssl4eo"], "0" * 64)
    with pytest.raises(InputError, match="64 hex digits"):
        check_file(path, KNOWN["ssl4eo"], "abc")


def test_a_missing_file_says_where_it_is_published_and_under_which_licence(tmp_path):
    with pytest.raises(InputError, match=r"hf\.co/torchgeo/resnet50_sentinel2_all_moco.* under CC-BY-4\.0"):
        check_file(tmp_path / "weights.pth", KNOWN["ssl4eo"])


def test_three_channels_are_repeated_and_a_grey_image_gives_the_same(tmp_path):
    three = torch.rand(4, 3, 7, 7)
    many = spread(three, 13)
    for channel in range(13):
        torch.testing.assert_close(many[:, channel], three[:, channel % 3] * 3 / 13)
    assert many.sum(dim=1).allclose(three.sum(dim=1), rtol=0.2)  # 13 is no multiple of 3
    encoder = loaded(tmp_path, classifier(3).state_dict(), "imagenet")
    assert encoder.state_dict()["conv1.weight"].shape[1] == 13


def test_a_random_encoder_is_drawn_by_the_seed():
    first, again, other = (
        state_digest(load_encoder("resnet18", KNOWN["random"], None, s)) for s in (1, 1, 2)
    )
    assert first == again != other


def test_weights_with_a_name_need_a_file():
    with pytest.raises(InputError, match="come from a file"):
        load_encoder("resnet18", KNOWN["ssl4eo"], None, 1)


def test_scaling_of_satlas_is_that_of_its_bands():
    image = np.arange(1, 14, dtype=np.float32)[:, None, None] * 1000  # B01 1,000 ... B12 13,000
    scaled = KNOWN["satlas"].scaled(image)[:, 0, 0]
    expected = [4000 / 3558, 3000 / 3558, 2000 / 3558, *(x / 8160 for x in (5e3, 6e3, 7e3, 8e3, 12e3, 13e3))]
    np.testing.assert_allclose(scaled, np.clip(expected, 0, 1), rtol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_decoder_answers_on_the_pixels_of_the_image(name, decoder):
    encoder = new_encoder(name, 13).eval()
    with torch.inference_mode():
        pyramid = encoder(torch.rand(2, 13, 64, 96))
        logits = new_decoder(decoder, widths(encoder)).eval()(pyramid)
    assert [tuple(level.shape[2:]) for level in pyramid] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]
    assert logits.shape == (2, 5, 64, 96)


def test_a_resnet50_has_the_widths_of_the_paper():
    assert widths(new_encoder("resnet50", 13)) == (64, 256, 512, 1024, 2048)
