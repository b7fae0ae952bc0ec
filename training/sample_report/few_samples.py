"""Whether some class has too few samples to be learnt, and how many samples were left out."""

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


def warn_of_left_out(samples: Samples) -> str | None:
    """A sentence on samples that the files have and that are not used, or None."""
    sparse, duplicates = samples.sparse_dropped, samples.duplicates_dropped
    if not sparse + duplicates:
        return None
    reasons = {
        f"with fewer than {samples.recipe.min_clear_bins} observed bins in the model window": sparse,
        "that repeat the series of another": duplicates,
    }
    counted = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    return f"Samples of the files that are not used: {counted}."
