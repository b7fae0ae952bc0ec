"""Which part of a network a few labels may change, from nothing to everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

Parameters = Iterator[nn.Parameter]

_NORMALISES: Final = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Way:
    """A part of a network, and how far and how fast it is trained."""

    text: str
    """What is changed, in words."""
    trains: Callable[[nn.Module], Parameters] | None
    """The parameters that are trained; None where nothing is."""
    courses: tuple[tuple[float, int], ...] = ()
    """Learning rates and steps that are tried."""


@dataclass(frozen=True)
class Candidate:
    """One way to tune."""

    way: str
    """A key of `WAYS`."""
    learning_rate: float = 0.0
    """Adam's at the start; it falls to 0 along a cosine."""
    steps: int = 0
    """Batches, at least; every label is seen ten times or more."""
    rehearsed: bool = False
    """Whether series of the model's own source hold it to its old answers."""

    @property
    def text(self) -> str:
        """The candidate in words."""
        course = f", {self.steps} steps at {self.learning_rate:g}" if self.steps else ""
        return f"{WAYS[self.way].text}{course}{', old answers rehearsed' if self.rehearsed else ''}"


def last_layer(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the layer that gives the logits.

    Args:
        network: One of `inference.models.networks.specification`; all end in a linear layer.
    """
    linear = [(name, one) for name, one in network.named_modules() if isinstance(one, nn.Linear)]
    return linear[-1]


def _bias(network: nn.Module) -> Parameters:
    yield last_layer(network)[1].bias


def _last(network: nn.Module) -> Parameters:
    yield from last_layer(network)[1].parameters()


def _norms(network: nn.Module) -> Parameters:
    for module in network.modules():
        if isinstance(module, _NORMALISES):
            yield from module.parameters()
    yield from _last(network)


def _all(network: nn.Module) -> Parameters:
    yield from network.parameters()


NOTHING: Final = "nothing"
SHARES: Final = "shares"

WAYS: Final[dict[str, Way]] = {
    NOTHING: Way("nothing", None),
    SHARES: Way("the class shares", None),
    "bias": Way("the last layer's bias", _bias, ((2e-2, 120),)),
    "last": Way("the last layer", _last, ((1e-2, 120),)),
    "norms": Way("normalisation and last layer", _norms, ((5e-3, 120),)),
    "all": Way("everything", _all, ((3e-4, 120), (1e-3, 240))),
}
"""Ways by name, from the smallest change to the largest."""

REHEARSED: Final = ("norms", "all")
"""Ways that can forget, and are tried with rehearsal too."""


def ways_of(network: nn.Module, names: tuple[str, ...]) -> tuple[str, ...]:
    """The ways of some that a network has: `norms` is no other than `last` where nothing normalises.

    Args:
        network: The network.
        names: Keys of `WAYS`.
    """
    normalises = any(isinstance(module, _NORMALISES) for module in network.modules())
    return tuple(name for name in names if name != "norms" or normalises)


def candidates(names: tuple[str, ...], rehearsal: bool) -> tuple[Candidate, ...]:
    """What is tried, from the smallest change to the largest; nothing is always among it.

    Args:
        names: Keys of `WAYS`.
        rehearsal: Whether there are series to rehearse.
    """
    found = [Candidate(NOTHING)]
    for name, way in WAYS.items():
        if name not in names or name == NOTHING:
            continue
        found += [Candidate(name)] if way.trains is None else []
        for learning_rate, steps in way.courses:
            both = (False, True) if rehearsal and name in REHEARSED else (False,)
            found += [Candidate(name, learning_rate, steps, rehearsed) for rehearsed in both]
    return tuple(found)


def hold_norms(network: nn.Module) -> None:
    """Let normalisation keep the source's mean and variance in training.

    A few labels are no population: their own statistics would replace those of thousands of series.

    Args:
        network: Changed in place; its state has the same names as before.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train = _stay(module)  # type: ignore[method-assign]


def _stay(module: nn.Module) -> Callable[..., Any]:
    module.eval()
    return lambda mode=True: module
