"""What the layers of one pixel must be, in exact fractions; nothing of cropmap is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

HALF = Fraction(1, 2)
LAYERS = ("second", "margin", "entropy", "probabilities")


def pixel_layers(shares: Sequence[Fraction]) -> dict[str, list[int]]:
    """The values of each layer, band by band.

    Args:
        shares: Probability of each class; their sum is 1.
    """
    own = shares.index(max(shares))
    others = {k: share for k, share in enumerate(shares) if k != own}
    best = max(others.values(), default=Fraction(0))
    second = next((k + 1 for k, share in sorted(others.items()) if share == best), 255)
    return {
        "second": [second],
        "margin": [math.floor(100 * (shares[own] - best) + HALF)],
        "entropy": [entropy(shares)],
        "probabilities": [math.floor(100 * share + HALF) for share in shares],
    }


def entropy(shares: Sequence[Fraction]) -> int:
    """Entropy in percent of that of equal shares, halves up, with 60 digits."""
    if len(shares) == 1:
        return 0
    with localcontext() as context:
        context.prec = 60
        found = [Decimal(s.numerator) / Decimal(s.denominator) for s in shares if s > 0]
        nats = -sum((p * p.ln() for p in found), Decimal(0))
        percent = 100 * nats / Decimal(len(shares)).ln()
        return math.floor(percent + Decimal("0.5") + Decimal("1e-40"))  # an exact half may lack a digit
