"""The five classes that all data sets share, and how each data set's own codes became them.

The tables are those of the authors' scripts (yichiac/crop-type-transfer-learning: harmonize_cdl.py,
harmonize_nccm.py, harmonize_sas.py, harmonize_satc.py, experiments/eurocrops/eurocrops_harmonize.py),
oddities included: published labels were made by them. What is odd is stated, and not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NO_DATA: Final = 0
"""Code of pixels that nobody labelled: they train nothing and are not scored."""

CLASSES: Final = ("maize", "soybean", "rice", "wheat", "other")
"""Names of the codes 1 to 5."""

OTHER: Final = 5
"""Code of all that is none of the four crops."""

BEYOND: Final = -1
"""Stands in arrays of original codes for a pixel outside the raster; no data whatever the table."""


@dataclass(frozen=True)
class ClassTable:
    """How the codes of a data set become those of `CLASSES`."""

    codes: Mapping[int, int]
    """Original code -> ours."""
    rest: int = OTHER
    """Ours of every code that is named nowhere."""
    beginnings: Mapping[str, int] | None = None
    """First digits of a code -> ours, where no code of `codes` fits."""

    def code_of(self, original: int) -> int:
        """Ours of one original code."""
        if original == BEYOND:
            return NO_DATA
        if original in self.codes:
            return self.codes[original]
        for digits, code in (self.beginnings or {}).items():
            if str(original).startswith(digits):
                return code
        return self.rest

    def harmonised(self, original: NDArray[Any]) -> NDArray[np.uint8]:
        """Ours of an array of original codes, of the same shape.

        Args:
            original: Whole numbers; `BEYOND` outside the raster.
        """
        present, where = np.unique(original, return_inverse=True)
        ours = np.array([self.code_of(int(code)) for code in present], np.uint8)
        return ours[where].reshape(original.shape)


@dataclass(frozen=True)
class KnownDataset:
    """One of the five data sets of the paper."""

    name: str
    """As the paper calls it."""
    title: str
    """What it is, with place and year."""
    images: str
    """Folder of its images in the published data set."""
    labels: str
    """Folder of its labels there."""
    lists: str
    """How the names of its lists of images begin in the authors' folder `train-test-splits`."""
    year: int | None
    """Year of images and labels; None where there are several."""
    table: ClassTable
    """How its own codes became the five classes."""
    oddity: str
    """What somebody who reads its scores should know of its classes, one or two sentences."""


_IMAGES: Final = "sentinel2_subsample_1000"

DATASETS: Final = {
    one.name: one
    for one in (
        KnownDataset(
            "CDL",
            "Cropland Data Layer, United States, 2023",
            f"{_IMAGES}/sentinel2_cdl_2023_subsampled",
            "cdl_harmonized_block",
            "sentinel2_cdl_2023_subsampled",
            2023,
            ClassTable(
                {
                    **dict.fromkeys((0, 225, 226, 228, 230, *range(236, 242)), NO_DATA),
                    **dict.fromkeys((1, 12, 13), 1),
                    5: 2,
                    **dict.fromkeys((22, 23, 24), 4),
                }
            ),
            "Rice (3) is not in the table and so counts as other. Forest, water and towns are other too. "
            "The double crops 225, 226, 228, 230 and 236 to 241 are not scored; those with other codes are "
            "other.",
        ),
        KnownDataset(
            "EuroCrops",
            "EuroCrops, declared parcels of Europe",
            f"{_IMAGES}/sentinel2_eurocrops_subsampled",
            "eurocrops_cropped_subsampled",
            "sentinel2_eurocrops_subsampled",
            None,
            ClassTable(
                {0: NO_DATA},
                beginnings={"33010106": 1, "330116": 2, "33010107": 3, "33010101": 4, "33010102": 4},
            ),
            "Codes are those of HCAT by their first digits. What is no parcel is not scored, so that other "
            "is here other crops, not forest and towns as elsewhere.",
        ),
        KnownDataset(
            "NCCM",
            "Northeast China Crop Map, 2019",
            f"{_IMAGES}/sentinel2_nccm_2019_subsampled",
            "nccm_harmonized_block",
            "sentinel2_nccm_2019_subsampled",
            2019,
            ClassTable({15: NO_DATA, 1: 1, 2: 2, 0: 3, 3: OTHER}),
            "The map knows no wheat. Its code of rice is 0 and that of no data 15.",
        ),
        KnownDataset(
            "SAS",
            "South America Soybean, 2021",
            f"{_IMAGES}/sentinel2_sas_2021_subsampled",
            "sas_harmonized",
            "sentinel2_sas_2021_subsampled",
            2021,
            ClassTable({1: 2, 0: OTHER}, rest=3),
            "Two classes only, soybean and other. The script makes rice (3) of every other code, where the "
            "text suggests other. Maize, rice and wheat stand under other.",
        ),
        KnownDataset(
            "SACT",
            "South Africa Crop Type, Western Cape, 2017",
            f"{_IMAGES}/sentinel2_sact_2017_subsampled",
            "sact_harmonized",
            "sentinel2_sact_2017_subsampled",
            2017,
            ClassTable({0: NO_DATA, 7: 4}),
            "Two classes only, wheat and other.",
        ),
    )
}
"""By name. The paper's first version also had AgriFieldNet, which its later ones leave out."""
