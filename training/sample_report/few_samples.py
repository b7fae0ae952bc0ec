"""Whether some class has too few samples to be learnt."""

from __future__ import annotations

from typing import Final

from training.samples.samples import Samples

FEW: Final = 50
"""Fewer samples of a class hardly teach it; the commands that train warn."""


def warn_of_few(samples: Samples) -> str | None:
    """A sentence on classes of too few samples, or None."""
    few = [f"{name} ({count})" for name, count in samples.counts.items() if count < FEW]
    if not few:
        return None
    return (
        f"Fewer than {FEW} samples: {', '.join(few)}. A map of such a class is hardly better than chance; "
        "collect more, or merge it with another (--classes, --legend)."
    )
