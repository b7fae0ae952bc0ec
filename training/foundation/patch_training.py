"""One training on patches: which images see which, the loop, and what the network says of test images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from gee_pipeline.errors import InputError
from training.foundation.feature_cache import FeatureCache
from training.foundation.known_weights import KnownWeights
from training.foundation.patch_scores import confusion_of
from training.foundation.patches import PatchDataset
from training.foundation.views import changed

Member = tuple[str, str]
"""A patch: name of its data set, and file name of its image."""

FALL: Final = 0.5
"""What the learning rate is multiplied with where the held-out loss stands still."""

_MISSING: Final = -1
"""Label of the loss that does not count."""


@dataclass(frozen=True)
class PatchOptions:
    """How a network is fitted to patches; the defaults are those of the paper."""

    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 128
    """Images of one step."""
    learning_rate: float = 1e-3
    """Of Adam at the start."""
    patience: int = 1
    """Epochs without a better held-out loss after which the learning rate is halved."""
    held_out: float = 0.2
    """Share of the training images that choose the epoch, and train nothing."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or self.patience < 0:
            raise InputError(
                "A training has at least one epoch, one image in a batch and no negative patience; got "
                f"--epochs {self.epochs}, --batch-size {self.batch_size}, --patience {self.patience}."
            )
        if not (0 < self.learning_rate < math.inf and 0 < self.held_out < 1):
            raise InputError(
                "A learning rate is above 0 and a held-out share between 0 and 1; got --learning-rate "
                f"{self.learning_rate}, --held-out {self.held_out}."
            )


@dataclass(frozen=True)
class PatchEpoch:
    """What one pass over the training images gave."""

    number: int
    """Counted from 1."""
    loss: float
    """Mean training loss of a batch, in nats a labelled pixel."""
    held_out_loss: float
    """Mean loss of a labelled pixel of the held-out images."""
    learning_rate: float
    """Of the pass."""


@dataclass(frozen=True)
class PatchFit:
    """How a training went; the network has the weights of the chosen epoch."""

    best_epoch: int
    """With the lowest held-out loss, counted from 1."""
    history: tuple[PatchEpoch, ...]
    """One entry an epoch."""


class Inputs(Protocol):
    """What makes batches of patches."""

    def batch(
        self, members: Sequence[Member], rng: np.random.Generator | None
    ) -> tuple[Tensor | list[Tensor], Tensor]:
        """What the network takes, and the labels `(image, y, x)`.

        Args:
            members: The patches.
            rng: Changes them as in training; None shows them as they are.
        """


@dataclass(frozen=True)
class ImageInputs:
    """Images from their files, each time changed anew."""

    data: Mapping[str, PatchDataset]
    """Data sets by name."""
    known: KnownWeights
    """How images are scaled."""
    device: torch.device
    """Where the network is."""

    def batch(
        self, members: Sequence[Member], rng: np.random.Generator | None
    ) -> tuple[Tensor | list[Tensor], Tensor]:
        """Images `(image, channel, y, x)` and labels; as `Inputs`."""
        images, labels = zip(*(self._one(member, rng) for member in members), strict=True)
        stacked = torch.from_numpy(np.stack(images)).to(self.device)
        return stacked, torch.from_numpy(np.stack(labels)).to(self.device)

    def _one(
        self, member: Member, rng: np.random.Generator | None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        patch = self.data[member[0]].read(member[1])
        image = self.known.scaled(patch.image)
        return (image, patch.labels) if rng is None else changed(image, patch.labels, rng)


@dataclass(frozen=True)
class CachedInputs:
    """What a frozen encoder made of images, one of the views that are kept each time."""

    cache: FeatureCache
    """Has all views of all members."""
    digests: Mapping[Member, str]
    """Digest of each patch."""
    views: int
    """Views of each patch."""
    device: torch.device
    """Where the network is."""

    def batch(
        self, members: Sequence[Member], rng: np.random.Generator | None
    ) -> tuple[Tensor | list[Tensor], Tensor]:
        """Five tensors `(image, channel, y, x)` and labels; as `Inputs`."""
        seen = [
            self.cache.get(self.digests[member], 0 if rng is None else int(rng.integers(self.views)))
            for member in members
        ]
        pyramid = [
            torch.stack(level).to(self.device) for level in zip(*(one.pyramid for one in seen), strict=True)
        ]
        return pyramid, torch.from_numpy(np.stack([one.labels for one in seen])).to(self.device)


class PatchNetwork(nn.Module):
    """An encoder and a decoder; a frozen encoder stays as it is, its running means included."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, frozen: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.frozen = encoder, decoder, frozen
        encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> PatchNetwork:
        """Training or evaluation, of a frozen encoder evaluation always."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, seen: Tensor | Sequence[Tensor]) -> Tensor:
        """Logits `(image, class, y, x)` of images, or of what the encoder made of them."""
        return self.decoder(self.encoder(seen) if isinstance(seen, Tensor) else seen)


def split_members(members: Sequence[Member], share: float, seed: int) -> tuple[list[Member], list[Member]]:
    """The images that train, and those that choose the epoch, drawn from all alike.

    Args:
        members: At least two.
        share: Of the second part; it has at least one.
        seed: Of the draw.

    Raises:
        InputError: There is only one image.
    """
    if len(members) < 2:
        raise InputError(f"A training needs two images, one of them to choose the epoch; got {len(members)}.")
    order = np.random.default_rng(seed).permutation(len(members))
    count = min(max(1, round(share * len(members))), len(members) - 1)
    held_out, training = order[:count], order[count:]
    return [members[at] for at in training], [members[at] for at in held_out]


def fit_patches(
    network: PatchNetwork,
    inputs: Inputs,
    training: Sequence[Member],
    held_out: Sequence[Member],
    options: PatchOptions,
    *,
    seed: int,
    progress: Callable[[PatchEpoch], None] = lambda epoch: None,
) -> PatchFit:
    """Fit a network to patches; it has the weights of the epoch with the lowest held-out loss then.

    Args:
        network: On its device.
        inputs: Makes the batches.
        training: Patches that the weights are fitted to.
        held_out: Patches that choose the epoch and when the learning rate falls.
        options: How to train.
        seed: Of the order and the changes of images.
        progress: Told after each epoch.

    Raises:
        InputError: The loss is no longer a number, or no pixel of the held-out images is labelled.
    """
    rng = np.random.default_rng(seed)
    fitted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(fitted, lr=options.learning_rate)
    rate = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=FALL, patience=options.patience)
    history: list[PatchEpoch] = []
    best = math.inf
    for number in range(1, options.epochs + 1):
        used = float(optimiser.param_groups[0]["lr"])
        loss = _train_once(network, inputs, training, options.batch_size, optimiser, rng)
        held_out_loss = _loss_of(network, inputs, held_out, options.batch_size)
        rate.step(held_out_loss)
        history.append(PatchEpoch(number, loss, held_out_loss, used))
        if held_out_loss < best:
            best, best_epoch, kept = held_out_loss, number, _copy_of(network)
        progress(history[-1])
    network.load_state_dict(kept)
    return PatchFit(best_epoch, tuple(history))


def confusions_of(
    network: PatchNetwork, inputs: Inputs, members: Sequence[Member], batch_size: int
) -> NDArray[np.int64]:
    """Counts `(image, class, answer)` of what a network says of patches as they are.

    Args:
        network: On its device.
        inputs: Makes the batches.
        members: The patches.
        batch_size: Images at once.
    """
    network.eval()
    counts = []
    for part in _parts(members, batch_size):
        with torch.inference_mode():
            seen, labels = inputs.batch(part, None)
            said = (network(seen).argmax(dim=1) + 1).cpu().numpy()
        counts += [confusion_of(one, codes) for one, codes in zip(labels.cpu().numpy(), said, strict=True)]
    return np.stack(counts)


def _train_once(
    network: PatchNetwork,
    inputs: Inputs,
    training: Sequence[Member],
    batch_size: int,
    optimiser: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> float:
    """One pass over the training images; the mean loss of its batches."""
    network.train()
    losses = []
    shuffled = [training[at] for at in rng.permutation(len(training))]
    for part in _parts(shuffled, batch_size):
        seen, labels = inputs.batch(part, rng)
        total, pixels = sum_of_losses(network(seen), labels)
        if not pixels:  # images that nobody labelled
            continue
        loss = total / pixels
        _require_finite(float(loss.detach()))
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    if not losses:
        raise InputError("No pixel of the training images is labelled. Look at the lists and at the labels.")
    return float(np.mean(losses))


def _loss_of(network: PatchNetwork, inputs: Inputs, members: Sequence[Member], batch_size: int) -> float:
    """Mean loss of a labelled pixel of patches as they are."""
    network.eval()
    total, pixels = 0.0, 0
    with torch.inference_mode():
        for part in _parts(members, batch_size):
            seen, labels = inputs.batch(part, None)
            loss, count = sum_of_losses(network(seen), labels)
            total, pixels = total + float(loss), pixels + count
    if not pixels:
        raise InputError(
            "No pixel of the held-out images is labelled, so that they cannot choose an epoch. Give a larger "
            "--held-out."
        )
    _require_finite(total)
    return total / pixels


def sum_of_losses(logits: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Cross-entropy summed over the labelled pixels, and how many they are.

    Args:
        logits: `(image, class, y, x)`.
        labels: `(image, y, x)`, 0 no data, 1 to 5.
    """
    targets = labels.long() - 1  # no data becomes _MISSING
    total = functional.cross_entropy(logits, targets, ignore_index=_MISSING, reduction="sum")
    return total, int((targets != _MISSING).sum())


def _require_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise InputError(
            f"The training diverged: its loss is {loss}. Lower the learning rate (--learning-rate)."
        )


def _parts(members: Sequence[Member], size: int) -> Iterator[Sequence[Member]]:
    for start in range(0, len(members), size):
        yield members[start : start + size]


def _copy_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
