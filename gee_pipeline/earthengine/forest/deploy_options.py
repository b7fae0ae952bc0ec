"""How a forest comes to Earth Engine's servers, and what it answers there; light to import, for options."""

from __future__ import annotations

from typing import Final, Literal, get_args

Way = Literal["classifier", "table", "inline"]
"""How trees come to the servers: as a classifier asset, as table assets, or within every request."""

Confidence = Literal["votes", "probability", "none"]
"""What the confidence of a pixel is: the share of the trees' votes, the mean of their shares, or nothing."""

DEEPEST: Final = 30
"""Splits above a leaf: the numbers of the nodes double with each and end at 2^31 - 1, which fits 32 bits."""

WAYS: Final[tuple[Way, ...]] = get_args(Way)
CONFIDENCES: Final[tuple[Confidence, ...]] = get_args(Confidence)

DEFAULT_WAY: Final[Way] = "classifier"
DEFAULT_CONFIDENCE: Final[Confidence] = "votes"
