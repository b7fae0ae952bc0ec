"""The encoders give what the original code gave, with the published weights.

`monthly_encoders.npz` holds made months, reflectance x 10,000 in the order of `monthly_means.BANDS`, and
what the original encoders made of them: Presto (with no place) and Galileo nano as in rslearn 0.1.19, which
carries the authors' files. The weights are those of nasaharvest/presto at 13173d0, WorldCereal/prometheo at
5fb3969 and nasaharvest/galileo at 0f0b5b9; all groups but those of Sentinel-2 and NDVI were masked, and the
mean of the tokens was taken.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from gee_pipeline.recipe import Recipe
from inference.models.networks.monthly_encoders import (
    GALILEO_NANO,
    GROUPS,
    PRESTO,
    MonthlyEncoder,
    MonthlyNetwork,
)
from inference.models.networks.monthly_means import with_index
from inference.models.networks.normalisation import Normalisation
from tests.support.made_weights import drawn
from training.pretrained.states import STATES, of_one_pixel

HERE = Path(__file__).parent
WEIGHTS = Path(__file__).resolve().parents[4] / ".." / "shared" / "weights"
FILES = {
    "presto": "presto_default_model.pt",
    "presto-worldcereal": "worldcereal_finetuned_presto.pt",
    "galileo-nano": "galileo_nano_encoder.pt",
}
DESIGNS = {"presto": PRESTO, "presto-worldcereal": PRESTO, "galileo-nano": GALILEO_NANO}
MONTHS = {"may_to_november": range(4, 11), "year": range(12)}
SCALED = Normalisation((0.2,) * 10, (0.1,) * 10)


def published(name):
    path = WEIGHTS / FILES[name]
    if not path.is_file():
        pytest.skip(f"The weights {path.name} are not next to this checkout (../shared/weights).")
    return torch.load(path, map_location="cpu", weights_only=True)


@pytest.mark.parametrize("months", MONTHS)
@pytest.mark.parametrize("name", FILES)
def test_an_encoder_gives_what_the_original_gave(name, months):
    state = STATES["galileo-nano" if "galileo" in name else "presto"](published(name))
    encoder = MonthlyEncoder(DESIGNS[name], MONTHS[months]).eval()
    encoder.load_state_dict(state)
    with np.load(HERE / "monthly_encoders.npz") as kept:
        given, wanted = kept[f"{months}_months"], kept[f"{months}_{name}"]
    with torch.inference_mode():
        found = encoder(with_index(torch.from_numpy(given / np.float32(10_000)))).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(wanted[0] - wanted[1]).max() > 0.01  # samples differ by far more


def test_what_tokens_are_told_of_their_month_is_what_the_files_hold():
    presto, galileo = published("presto"), published("galileo-nano")
    told = PRESTO.said(range(12))
    torch.testing.assert_close(told[:, :32], presto["encoder.month_embed.weight"])
    torch.testing.assert_close(told[:, 64:], presto["encoder.pos_embed"][0, :12])
    told = GALILEO_NANO.said(range(12))
    torch.testing.assert_close(told[:, 32:64], galileo["pos_embed"][:12])
    torch.testing.assert_close(told[:, 64:96], galileo["month_embed.weight"])


def test_a_patch_that_is_one_colour_gives_what_its_only_pixel_gives():
    """Beyer et al. 2023: the pseudo-inverse keeps the answer to patches that the interpolation can make."""
    kernel = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    found = of_one_pixel(kernel)
    assert found.shape == (5, 3)
    # the weights of bicubic averaging to one pixel, and their pseudo-inverse, by numpy
    eye = np.eye(64).reshape(64, 1, 8, 8)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(eye), (1, 1), mode="bicubic", antialias=True
    ).numpy()[:, 0, 0, 0]
    wanted = kernel.numpy().reshape(5, 3, 64) @ (resized / (resized @ resized))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encoder", ["presto", "galileo-nano"])
def test_tokens_of_made_weights_are_those_of_their_own_groups(encoder):
    """A change of one band changes the embedding, whichever it is: none is read twice in place of another."""
    network = MonthlyEncoder(DESIGNS[encoder], range(4, 11)).eval()
    network.load_state_dict(STATES[encoder](drawn(encoder)))
    months = torch.full((1, 7, 11), 0.2)
    with torch.inference_mode():
        before = network(months)
        after = []
        for column in range(11):
            other = months.clone()
            other[:, :, column] += 0.1
            after.append(network(other))
    moved = torch.cat(after) - before
    assert (moved.norm(dim=1) > 1e-3).all()
    assert torch.pdist(moved).min() > 1e-3
    assert sorted(column for columns in GROUPS.values() for column in columns) == list(range(11))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_stays_and_another_learns(frozen):
    torch.manual_seed(1)
    network = MonthlyNetwork(PRESTO, 3, Recipe(), SCALED, frozen=frozen).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    torch.nn.functional.cross_entropy(network(torch.randn(8, 1, 10, 43)), torch.arange(8) % 3).backward()
    optimiser.step()
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert any(name.startswith("head.") for name in changed)
    assert any(name.startswith("encoder.") for name in changed) != frozen


def test_an_embedding_does_not_depend_on_how_the_input_is_scaled():
    torch.manual_seed(1)
    reflectance = torch.rand(4, 1, 10, 43) * 0.5
    one, other = (
        MonthlyNetwork(GALILEO_NANO, 3, Recipe(), Normalisation((mean,) * 10, (std,) * 10))
        for mean, std in ((0.0, 1.0), (0.3, 0.05))
    )
    other.load_state_dict(one.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(
            one.embed(reflectance), other.embed((reflectance - 0.3) / 0.05), atol=1e-4, rtol=0
        )
