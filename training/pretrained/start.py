"""What a training starts from: the encoder of a published file, checked before it is believed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import read_limited
from training.pretrained.known import BY_DIGEST, KNOWN, USES, KnownWeights, encoder_of
from training.pretrained.states import STATES

LARGEST: Final = 2**28
"""Most bytes of a file of weights that is read: 256 MiB, sixty times that of the largest known one."""


@dataclass(frozen=True)
class Pretrained:
    """The encoder of a published file."""

    weights: KnownWeights
    """Which file."""
    state: Mapping[str, Tensor]
    """Its encoder, by the names of `inference.models.networks.monthly_encoders.MonthlyEncoder`."""

    def require_for(self, model: str) -> None:
        """Refuse another model than those on this encoder.

        Raises:
            InputError: The model does not start from it.
        """
        if encoder_of(model) != self.weights.encoder:
            fitting = ", ".join(name for name, use in USES.items() if use.encoder == self.weights.encoder)
            raise InputError(
                f"The weights {self.weights.name} are of the encoder {self.weights.encoder}, which {model} "
                f"does not have. They are for {fitting}."
            )

    def start(self, network: nn.Module) -> nn.Module:
        """A network with this encoder in place of its first weights; the network itself.

        Args:
            network: Made for one of the models on this encoder.

        Raises:
            MismatchError: More than its head would keep its first weights, or a shape differs.
        """
        own = network.state_dict()
        given = {f"encoder.{name}": tensor for name, tensor in self.state.items()}
        rest = [name for name in own if name not in given and not name.startswith("head.")]
        unknown = [name for name in given if name not in own]
        other = [name for name in given if name in own and given[name].shape != own[name].shape]
        if wrong := [*rest, *unknown, *other]:
            raise MismatchError(
                f"The weights {self.weights.name} must fill all of a network but its head, each with its own "
                f"shape; {len(wrong)} do not, first {wrong[0]}. They fit this version of cropmap only with "
                "the models that they are for."
            )
        network.load_state_dict(given, strict=False)
        return network


def read_pretrained(path: Path) -> Pretrained:
    """The encoder of a published file, which is known by its digest before anything of it is read.

    Args:
        path: As `cropmap data weights` wrote it; its name does not matter.

    Raises:
        InputError: The file does not exist, or is none that is known.
        CorruptFileError: It lacks a weight.
    """
    weights, content = _known(path)
    file = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    try:
        return Pretrained(weights, STATES[weights.encoder](file))
    except KeyError as error:
        raise CorruptFileError(
            f"{path} does not hold the encoder {weights.encoder}: it lacks {error}. Fetch it again with "
            f"'cropmap data weights {weights.name}'."
        ) from error


def started(network: nn.Module, pretrained: Pretrained | None) -> nn.Module:
    """The network itself, with the encoder of a published file where there is one.

    Args:
        network: With its first weights.
        pretrained: The encoder; None leaves them.
    """
    return network if pretrained is None else pretrained.start(network)


def encoder_for(model: str, files: Sequence[Path]) -> Pretrained | None:
    """What a model starts from, of some files; None where it has no encoder of theirs.

    Args:
        model: Name in `training.models.registry.MODELS`.
        files: At most one for each encoder, see `require_files`.

    Raises:
        InputError: A file is none that is known.
    """
    fitting = [path for path in files if weights_of(path).encoder == encoder_of(model)]
    return read_pretrained(fitting[0]) if fitting else None


def require_files(models: Sequence[str], files: Sequence[Path]) -> None:
    """Refuse files that no model reads, two for one encoder, and models that lack theirs.

    Args:
        models: Names in `training.models.registry.MODELS`.
        files: Of weights.

    Raises:
        InputError: One of these is so.
    """
    known = [weights_of(path) for path in files]
    encoders = [one.encoder for one in known]
    for one in known:
        if one.encoder not in map(encoder_of, models):
            raise InputError(
                f"--pretrained {one.name} is read by no model that is asked for: {', '.join(models)}. Leave "
                f"it out, or add {one.encoder}."
            )
        if encoders.count(one.encoder) > 1:
            raise InputError(
                f"A model starts from one file, and {encoders.count(one.encoder)} are of the encoder "
                f"{one.encoder}. Leave out all but one --pretrained, and compare them in another run."
            )
    for name in models:
        use = USES.get(name)
        if use and use.kept and use.encoder not in encoders:
            fitting = " or ".join(one.name for one in KNOWN.values() if one.encoder == use.encoder)
            raise InputError(
                f"{name} leaves its encoder as it is published, so it needs --pretrained with a file of "
                f"{fitting}. Fetch one with 'cropmap data weights'."
            )


def weights_of(path: Path) -> KnownWeights:
    """Which published file this is.

    Raises:
        InputError: The file does not exist, or is none that is known.
    """
    return _known(path)[0]


def _known(path: Path) -> tuple[KnownWeights, bytes]:
    if not path.is_file():
        raise InputError(
            f"There is no file of weights at {path}. Fetch one with 'cropmap data weights NAME --to FOLDER'."
        )
    content = read_limited(path, LARGEST)
    digest = hashlib.sha256(content).hexdigest()
    if digest not in BY_DIGEST:
        raise InputError(
            f"{path} is none of the published weights that cropmap knows ({', '.join(KNOWN)}): its SHA-256 "
            f"is {digest}. Fetch one with 'cropmap data weights NAME --to FOLDER'."
        )
    return BY_DIGEST[digest], content
