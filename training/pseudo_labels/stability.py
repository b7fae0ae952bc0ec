"""Whether a network stays with a class: passes with dropout left on, and other checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gee_pipeline.errors import InputError, MismatchError
from inference.models.checkpoint import Checkpoint
from inference.models.predictor import Predictor
from inference.models.series import model_input

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)


@dataclass(frozen=True)
class Verdicts:
    """What was found about some pixels and their classes."""

    again: NDArray[np.bool_]
    """`(pixel,)`: the network itself gives the class."""
    agreeing: NDArray[np.uint8]
    """`(pixel,)`: dropout passes that give it."""
    also: NDArray[np.bool_]
    """`(pixel,)`: all other checkpoints give it."""


class Stability:
    """The network of a map and other checkpoints, ready to be asked about pixels."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        others: Sequence[Checkpoint] = (),
        *,
        passes: int,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        """Prepare the networks.

        Args:
            checkpoint: The model of the map.
            others: Models that must agree; `require_comparable` says which may.
            passes: Passes with dropout.
            seed: Chooses what is dropped.
            device: `auto`, `cpu`, `cuda` or `cuda:1`.

        Raises:
            InputError: Passes are asked of a network without dropout, or there is no such device.
        """
        self._predictor = Predictor(checkpoint, device)
        self._others = [(_codes_for(checkpoint, other), Predictor(other, device)) for other in others]
        self._passes, self._seed, self._asked = passes, seed, 0
        self._network = with_dropout(checkpoint).to(self._predictor.device) if passes else None

    def check(self, series: NDArray[np.int16], codes: NDArray[np.uint8]) -> Verdicts:
        """What the networks say about pixels; the same in every run of the program, on one kind of device.

        Args:
            series: `(pixel, band, bin)` of the model window, gaps nodata.
            codes: `(pixel,)` classes on the map.
        """
        also = np.ones(len(codes), bool)
        for translated, predictor in self._others:
            also &= translated[predictor.predict(series).codes] == codes
        again = self._predictor.predict(series).codes == codes
        return Verdicts(again, self._agreeing(series, codes), also)

    def _agreeing(self, series: NDArray[np.int16], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`(pixel,)`: of how many dropout passes the likeliest class is the one on the map."""
        out = np.zeros(len(codes), np.uint8)
        if self._network is None:
            return out
        step, device = self._predictor.batch_size, self._predictor.device
        model = self._predictor.checkpoint
        with torch.random.fork_rng(_cuda_devices(device)), torch.inference_mode():
            torch.manual_seed(int(np.random.SeedSequence([self._seed, self._asked]).generate_state(1)[0]))
            for start in range(0, len(codes), step):
                part = slice(start, start + step)
                x = torch.from_numpy(model_input(series[part], model.normalisation, model.recipe))
                x = x.to(device)
                for _ in range(self._passes):
                    likeliest = self._network(x).argmax(dim=1).cpu().numpy() + 1
                    out[part] += likeliest == codes[part]
        self._asked += 1
        return out


def with_dropout(checkpoint: Checkpoint) -> nn.Module:
    """The network with its dropout left on and all else as in mapping: batch normalisation stays frozen.

    Each pass then is a sample of the network's posterior (Gal and Ghahramani 2016).

    Raises:
        InputError: The network drops nothing.
    """
    network = checkpoint.build()
    layers = [layer for layer in network.modules() if isinstance(layer, _DROPOUTS) and layer.p > 0]
    if not layers:
        raise InputError(
            "Dropout passes need a network with dropout, and that of this run has none, so all passes "
            "would be equal. Leave the rule out with --passes 0, and name other checkpoints with --also."
        )
    for layer in layers:
        layer.train()
    return network


def require_comparable(mine: Checkpoint, other: Checkpoint, name: str) -> None:
    """Refuse a checkpoint that cannot classify the pixels of a run.

    Args:
        mine: The model of the run.
        other: The model that shall agree.
        name: What it is called in messages.

    Raises:
        InputError: It is the model of the run itself.
        MismatchError: It has another recipe, or lacks a class.
    """
    if mine.digest == other.digest:
        raise InputError(
            f"The checkpoint {name} is the run's own model, which always agrees with itself. Give another "
            "one with --also, for example trained with another --seed."
        )
    mine.recipe.require_same(
        other.recipe, "The run's model", f"the checkpoint {name}", "Give another checkpoint with --also."
    )
    known = {crop.name for crop in other.classes}
    if lacking := [crop.name for crop in mine.classes if crop.name not in known]:
        raise MismatchError(
            f"The checkpoint {name} must know every class of the run, but lacks {', '.join(lacking)}: no "
            "label of these could be kept. Give another checkpoint with --also."
        )


def _codes_for(mine: Checkpoint, other: Checkpoint) -> NDArray[np.uint8]:
    """`(256,)`: code of `mine` for each code of `other`, 0 for a class that `mine` lacks."""
    codes = {crop.name: crop.code for crop in mine.classes}
    out = np.zeros(256, np.uint8)
    for crop in other.classes:
        out[crop.code] = codes.get(crop.name, 0)
    return out


def _cuda_devices(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
