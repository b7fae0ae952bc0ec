import shutil
from collections import namedtuple
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError
from tests.support.patch_place import write_dataset
from training.foundation.encoder import load_encoder, state_digest, widths
from training.foundation.feature_cache import FeatureCache, view_bytes
from training.foundation.known_weights import KNOWN
from training.foundation.patch_training import CachedInputs, ImageInputs, PatchNetwork
from training.foundation.patches import Patch, PatchDataset
from training.foundation.segmentation import new_decoder

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra cropmap[training]")

SIDE = 64


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("resnet18", KNOWN["random"], None, 1).eval()


@pytest.fixture
def cache(tmp_path, encoder):
    known = KNOWN["random"]
    return FeatureCache(tmp_path / "features", encoder, known, state_digest(encoder), torch.device("cpu"))


@pytest.fixture
def patch():
    rng = np.random.default_rng(1)
    image = rng.integers(1, 5000, (13, SIDE, SIDE)).astype(np.float32)
    return Patch(image, rng.integers(0, 6, (SIDE, SIDE)).astype(np.uint8))


def test_view_0_is_what_the_encoder_makes_of_the_patch_to_three_digits(cache, patch, encoder):
    cache.keep(patch.digest, 0, patch)
    seen = cache.get(patch.digest, 0)
    with torch.inference_mode():
        direct = encoder(torch.from_numpy(patch.image / 10_000)[None])
    for kept, made in zip(seen.pyramid, direct, strict=True):
        torch.testing.assert_close(kept, made[0], rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(seen.labels, patch.labels)


def test_a_network_says_the_same_of_what_is_kept_and_of_the_files(cache, encoder, tmp_path):
    place = write_dataset(tmp_path, "CDL", training=3, test=1)
    data = PatchDataset("CDL", place / "images", place / "labels")
    members = [("CDL", f"2023_00{at}.tif") for at in range(3)]
    digests = {member: data.read(member[1]).digest for member in members}
    for member in members:
        cache.keep(digests[member], 0, data.read(member[1]))
    network = PatchNetwork(encoder, new_decoder("unet", widths(encoder)), frozen=True).eval()
    kept = CachedInputs(cache, digests, 1, cache.device)
    files = ImageInputs({"CDL": data}, KNOWN["random"], cache.device)
    with torch.inference_mode():
        (pyramid, first), (images, second) = kept.batch(members, None), files.batch(members, None)
        torch.testing.assert_close(network(pyramid), network(images), rtol=1e-2, atol=1e-3)
    assert torch.equal(first, second)


def test_training_sees_all_views_and_tests_the_first(cache, patch):
    for view in range(3):
        cache.keep(patch.digest, view, patch)
    inputs = CachedInputs(cache, {("A", "1.tif"): patch.digest}, 3, cache.device)
    rng = np.random.default_rng(1)
    sums = {float(inputs.batch([("A", "1.tif")], rng)[0][4].sum()) for _ in range(40)}
    assert sums == {float(cache.get(patch.digest, view).pyramid[4].sum()) for view in range(3)}
    seen, labels = inputs.batch([("A", "1.tif")], None)
    assert torch.equal(seen[4][0], cache.get(patch.digest, 0).pyramid[4])
    np.testing.assert_array_equal(labels[0].numpy(), patch.labels)


def test_other_views_are_drawn_once_and_differ(cache, patch):
    for view in range(3):
        cache.keep(patch.digest, view, patch)
    views = [cache.get(patch.digest, view) for view in range(3)]
    assert not torch.equal(views[0].pyramid[0], views[1].pyramid[0])
    assert not torch.equal(views[1].pyramid[0], views[2].pyramid[0])
    written = cache.path(patch.digest, 1).stat().st_mtime_ns
    cache.keep(patch.digest, 1, patch)
    assert cache.path(patch.digest, 1).stat().st_mtime_ns == written
    cache.path(patch.digest, 1).unlink()
    cache.keep(patch.digest, 1, patch)
    assert torch.equal(cache.get(patch.digest, 1).pyramid[4], views[1].pyramid[4])


def test_the_size_that_is_told_is_the_size_that_is_taken(cache, patch, encoder):
    cache.keep(patch.digest, 0, patch)
    size = cache.path(patch.digest, 0).stat().st_size
    assert 0 <= size - view_bytes(widths(encoder), SIDE) < 1024
    wanted = [(patch.digest, 0), (patch.digest, 1), ("0" * 16, 0)]
    assert cache.require_room(wanted, widths(encoder), SIDE) == 2 * view_bytes(widths(encoder), SIDE)


def test_a_view_of_the_paper_takes_six_megabytes():
    assert view_bytes((64, 256, 512, 1024, 2048), 256) == pytest.approx(6.1e6, rel=0.02)


def test_a_disk_without_room_is_told_with_the_ways_out(cache, encoder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    with pytest.raises(DiskFullError, match=r"1,000 bytes free.*--cache.*--views 0"):
        cache.require_room([("0" * 16, 0)], widths(encoder), SIDE)


def test_another_encoder_or_scaling_has_another_folder(cache, tmp_path, encoder):
    other = FeatureCache(cache.folder, encoder, KNOWN["random"], "another", cache.device)
    scaled = FeatureCache(cache.folder, encoder, KNOWN["satlas"], cache.key, cache.device)
    assert len({one.path("0" * 16, 0).parent for one in (cache, other, scaled)}) == 3


def test_a_damaged_file_is_named(cache, patch):
    cache.keep(patch.digest, 0, patch)
    cache.path(patch.digest, 0).write_bytes(b"damaged")
    with pytest.raises(CorruptFileError, match="Delete it, and it is computed again"):
        cache.get(patch.digest, 0)


def test_numbers_beyond_16_bits_are_refused_and_not_kept(cache, patch):
    far = Patch(patch.image * 1e12, patch.labels)
    with pytest.raises(InputError, match="--views 0"):
        cache.keep(patch.digest, 0, far)
    assert not cache.path(patch.digest, 0).exists()
