"""What the values of the USDA's Cropland Data Layer mean in CropGlobe's legend."""

from __future__ import annotations

from typing import Final

from training.sampling.class_table import ClassTable

CDL: Final = ClassTable(
    classes={
        "corn": (1,),
        "cotton": (2,),
        "rice": (3,),
        "soybeans": (5,),
        "wheat": (22, 23, 24),  # durum, spring, winter
        "sugarcane": (45,),
        "other": (
            *(4, 6, 10, 11, 14, 21, 25, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39),
            *(41, 42, 43, 44, *range(46, 61), *range(66, 73), *range(74, 78)),
            *(*range(204, 225), 227, 229, *range(242, 251)),
        ),
    },
    source="USDA NASS Cropland Data Layer (Boryan et al. 2011); other crops, orchards and hay are other.",
)
"""The Cropland Data Layer's values, after the legend in Google's catalog (USDA/NASS/CDL, band cropland).

CropGlobe leaves out double cropping (26, 225, 226, 228, 230-241, 254) and what is not agriculture (63-65,
81-92, 111-195). Left out here as well: fallow (61), which carries no crop, and sweet and pop corn (12, 13),
which are maize and would stand against it in "other". CropGlobe also drops classes and states whose accuracy
is below 80 or 85 %, which is a choice of area and table, not made here.
"""
