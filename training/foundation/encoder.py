"""The encoder: a ResNet of timm, with weights from a file that is checked before it is believed."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import file_digest, in_words, require_no_pipe
from inference.models.networks.image_networks import timm_library
from training.foundation.known_weights import RANDOM, KnownWeights

ENCODERS: Final = ("resnet50", "resnet18")
"""Names of encoders; the paper has the first."""

HEAD: Final = ("fc.weight", "fc.bias")
"""Tensors of the head that a classifier ends with; an encoder has none."""

COUNTERS: Final = "num_batches_tracked"
"""End of the names of counters that old files lack and nothing reads."""

FIRST_LAYER: Final = "conv1.weight"
"""Name of the weights that see the bands."""


@dataclass(frozen=True)
class EncoderFile:
    """A file of weights, checked."""

    path: Path
    """The file."""
    digest: str
    """Its SHA-256."""
    checked: str
    """What the digest was compared with, in words."""
    published: bool
    """Whether its digest begins as that of the published file."""


def check_file(path: Path, known: KnownWeights, sha256: str = "") -> EncoderFile:
    """A file of weights whose digest is the one that is expected.

    Args:
        path: The file.
        known: What it is said to be; the first digits of its digest are compared where they are known.
        sha256: Digest to expect, all 64 hex digits or the first 8 or more; empty believes `known`.

    Raises:
        InputError: The file is not there, or what is expected is no digest.
        MismatchError: It has another digest.
    """
    require_no_pipe(path)
    if not path.is_file():
        raise InputError(f"The weights {path} do not exist. {way_to_weights(known)}")
    expected = (sha256 or known.digest).lower()
    if expected and (not 8 <= len(expected) <= 64 or set(expected) - set("0123456789abcdef")):
        raise InputError(
            f"A SHA-256 has 64 hex digits, of which at least the first 8 are given; got {sha256}."
        )
    digest = file_digest(path)
    if not digest.startswith(expected):
        raise MismatchError(
            f"{path} is not the file that is expected for {known.name}: its SHA-256 is {digest}, not "
            f"{expected}{'' if len(expected) == 64 else '...'}. Fetch it again; where it is meant, say so "
            f"with --sha256 {known.name}={digest}."
        )
    words = "not compared with anything"
    if expected:
        by = "given" if sha256 else "published"
        words = f"{'as' if len(expected) == 64 else f'first {len(expected)} digits as'} {by}"
    return EncoderFile(path, digest, words, is_published(known, digest))


def is_published(known: KnownWeights, digest: str) -> bool:
    """Whether a digest is that of the published file, as far as its digits are known.

    Args:
        known: The weights.
        digest: SHA-256 of a file.
    """
    return bool(known.digest) and digest.startswith(known.digest)


def way_to_weights(known: KnownWeights) -> str:
    """How to get a file of weights, in words; cropmap fetches none by itself."""
    if not known.address:
        return "Check the path."
    return (
        f"Those of {known.title} are published at {known.address} under {known.licence}: fetch them, and "
        f"name the file with --weights {known.name}=FILE."
    )


def new_encoder(name: str, channels: int) -> nn.Module:
    """An encoder with random weights.

    Args:
        name: One of `ENCODERS`.
        channels: Of its input.

    Returns:
        What makes of `(image, channel, y, x)` five tensors, shrunk by 2, 4, 8, 16 and 32.

    Raises:
        InputError: timm is not installed.
    """
    return timm_library().create_model(name, features_only=True, in_chans=channels, pretrained=False)


def widths(encoder: nn.Module) -> tuple[int, ...]:
    """Channels of what an encoder makes, from the largest picture to the smallest."""
    return tuple(encoder.feature_info.channels())  # type: ignore[operator, union-attr]


def load_encoder(name: str, known: KnownWeights, file: EncoderFile | None, seed: int) -> nn.Module:
    """An encoder as it begins.

    Args:
        name: One of `ENCODERS`.
        known: Its bands, and what its file is like.
        file: Its weights; None draws them.
        seed: Of the draw.

    Raises:
        CorruptFileError: The file holds no tensors by name.
        MismatchError: They are not those of this encoder: other channels, names or sizes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = new_encoder(name, len(known.bands))
    if file is None:
        if known.name != RANDOM:
            raise InputError(f"The weights {known.name} come from a file. {way_to_weights(known)}")
        return encoder
    state = {key: value for key, value in _tensors(file.path).items() if key not in HEAD}
    _require_channels(file.path, state, known)
    if known.file_channels != len(known.bands):
        state[FIRST_LAYER] = spread(state[FIRST_LAYER], len(known.bands))
    _require_same_tensors(file.path, name, state, encoder.state_dict())
    encoder.load_state_dict(state, strict=False)
    return encoder


def spread(weights: Tensor, channels: int) -> Tensor:
    """Weights of a first layer for more channels: repeated in turn, and smaller so that sums stay as large.

    Args:
        weights: `(filter, channel, y, x)`.
        channels: Of the result.
    """
    there = weights.shape[1]
    turns = [channel % there for channel in range(channels)]
    return weights[:, turns] * (there / channels)


def state_digest(encoder: nn.Module) -> str:
    """Sixteen hex digits of the weights that an encoder has."""
    digest = hashlib.sha256()
    for key, tensor in encoder.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name; a file that names them one level down, under `state_dict`, is understood."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        values: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, SafetensorError) as error:
        reason = in_words(error).splitlines()[0]
        raise CorruptFileError(f"{path} is not a file of weights: {reason}. Fetch it again.") from error
    if isinstance(values, Mapping) and isinstance(values.get("state_dict"), Mapping):
        values = values["state_dict"]
    if not isinstance(values, Mapping) or not all(isinstance(one, Tensor) for one in values.values()):
        raise CorruptFileError(f"{path} does not hold tensors by name. Give a file of weights alone.")
    return dict(values)


def _require_channels(path: Path, state: Mapping[str, Tensor], known: KnownWeights) -> None:
    first = state.get(FIRST_LAYER)
    if first is not None and first.ndim == 4 and first.shape[1] != known.file_channels:
        raise MismatchError(
            f"The weights {known.name} see {known.file_channels} bands ({', '.join(known.bands)}"
            f"{' by three channels' if known.channels else ''}); the first layer of {path} sees "
            f"{first.shape[1]}. Give the file that belongs to the name."
        )


def _require_same_tensors(
    path: Path, name: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    if strange := sorted(state.keys() - wanted.keys()):
        raise MismatchError(
            f"{path} holds tensors that no {name} has: {_some(strange)}. Only the head "
            f"({', '.join(HEAD)}) may be there besides; take a file of the encoder alone, with names as timm "
            "gives them, or another --encoder."
        )
    if missing := sorted(key for key in wanted.keys() - state.keys() if not key.endswith(COUNTERS)):
        raise MismatchError(
            f"{path} lacks tensors of a {name}: {_some(missing)}. Only the head may be missing; take the "
            "whole file, or another --encoder."
        )
    if other := sorted(key for key in state if state[key].shape != wanted[key].shape):
        sizes = f"{tuple(state[other[0]].shape)} instead of {tuple(wanted[other[0]].shape)}"
        raise MismatchError(
            f"{path} holds tensors of other sizes than those of a {name}: {_some(other)}, {sizes}. Take "
            "another --encoder."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
