"""What the values of the USDA's Cropland Data Layer mean in CropGlobe's legend."""

from __future__ import annotations

from typing import Final

from gee_pipeline.legends.crosswalk import codes_of
from training.sampling.class_table import ClassTable

CDL: Final = ClassTable(
    classes={name: tuple(map(int, codes)) for name, codes in codes_of("cdl").items()},
    source="USDA NASS Cropland Data Layer (Boryan et al. 2011); other crops, orchards and hay are other.",
)
"""The Cropland Data Layer's values, after the legend in Google's catalog (USDA/NASS/CDL, band cropland).

CropGlobe leaves out double cropping (26, 225, 226, 228, 230-241, 254) and what is not agriculture (63-65,
81-92, 111-195). Left out here as well: fallow (61), which carries no crop, and sweet and pop corn (12, 13),
which are maize and would stand against it in "other". CropGlobe also drops classes and states whose accuracy
is below 80 or 85 %, which is a choice of area and table, not made here.
"""
