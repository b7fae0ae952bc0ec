"""Whether classes and season of some samples go together."""

from __future__ import annotations

import re

from gee_pipeline.season import SUMMER
from training.samples.samples import Samples


def warn_of_season(samples: Samples) -> str | None:
    """A sentence where classes named winter something are distinguished by summer growth; else None."""
    winter = [name for name in samples.class_names if re.match(r"winter(\b|_)", name, re.IGNORECASE)]
    rule = samples.recipe.season
    if not winter or rule != SUMMER:
        return None
    return (
        f"{', '.join(winter)}: most of a winter crop's growth lies outside the season '{rule.name}' "
        f"({rule.days}). Where the samples reach back to the autumn, train on --season winter."
    )
