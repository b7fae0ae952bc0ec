"""Overall accuracies that the paper's authors published, as data."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Final

SOURCE: Final = (
    "Chang et al., On the Generalizability of Foundation Models for Crop Type Mapping, arXiv 2409.09451"
)
"""The paper."""

FIRST: Final = "first"
LATER: Final = "later"

VERSIONS: Final = {
    FIRST: "the first version, which had a sixth data set among the others: plot_oa.py of "
    "yichiac/crop-type-transfer-learning",
    LATER: "a later script there, utils/plot_oa_new.py, with five data sets; its values for id 900 of NCCM "
    "and EuroCrops look exchanged. The table of the final paper was not at hand",
}
"""Version -> where its numbers stand."""

OF_WEIGHTS: Final = "ssl4eo"
"""The weights that the numbers are of: SSL4EO-S12 in a frozen ResNet-50, with a U-Net."""

TEST_IMAGES: Final = 100
"""Images that each data set is tested on; numbers of another test are not set beside."""


@cache
def published_accuracies() -> Mapping[tuple[str, str, str, int], float]:
    """Overall accuracy in percent by version, data set, setting (`ood`, `id`) and local images."""
    text = resources.files("training.foundation").joinpath("published.csv").read_text(encoding="utf-8")
    return {
        (row["version"], row["dataset"], row["setting"], int(row["images"])): float(row["accuracy"])
        for row in csv.DictReader(text.splitlines())
    }
