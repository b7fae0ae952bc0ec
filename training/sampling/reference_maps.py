"""Reference crop maps on Earth Engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gee_pipeline.earthengine.composites import graph
from gee_pipeline.errors import InputError
from training.samples.sample_origin import UNLABELLED
from training.sampling.class_table import ClassTable, read_class_table
from training.sampling.cropland_data_layer import CDL


@dataclass(frozen=True)
class ReferenceMap:
    """An image asset of Earth Engine whose pixels are crops."""

    asset: str
    """Id of an image."""
    band: str | None
    """Band to read; None is the first."""
    table: ClassTable
    """What its values mean."""
    unlabelled: bool = False
    """Whether it says where cropland is and not what grows there."""

    def to_dict(self) -> dict[str, Any]:
        """What identifies the map, as JSON values."""
        kind = {"kind": UNLABELLED} if self.unlabelled else {}
        return {"asset": self.asset, "band": self.band, "table": self.table.to_dict(), **kind}


_CROPLAND: Final = ReferenceMap(
    f"{graph.WORLDCOVER}/2021",
    "Map",
    ClassTable(
        {"other": (graph.CROPLAND_CLASS,)}, "Cropland of ESA WorldCover 2021; what grows there is not known."
    ),
    unlabelled=True,
)


def reference_map(text: str, year: int, table: Path | None = None) -> ReferenceMap:
    """The reference map that `--reference` names.

    Args:
        text: `cdl`, `unlabelled`, or `asset:ID` or `asset:ID:BAND`.
        year: Mapped year, which chooses the image of the Cropland Data Layer.
        table: TOML file of classes; an asset needs one, and for `cdl` it replaces the built-in table.

    Raises:
        InputError: The text names no map, or the table is missing or wrong.
    """
    if text == UNLABELLED:
        if table is not None:
            raise InputError("Series without labels have no classes: omit --classes-table or --unlabelled.")
        return _CROPLAND
    if text == "cdl":
        chosen = read_class_table(table) if table else CDL
        return ReferenceMap(f"USDA/NASS/CDL/{year}", "cropland", chosen)
    kind, _, rest = text.partition(":")
    asset, _, band = rest.rpartition(":") if "/" not in rest.rpartition(":")[2] else (rest, "", "")
    if kind != "asset" or not asset.strip():
        raise InputError(
            f"A reference is cdl, asset:ID or asset:ID:BAND, got {text!r}. Write for example --reference "
            "asset:projects/my-project/assets/rpg_2021."
        )
    if table is None:
        raise InputError(
            f"The values of {asset} mean nothing yet: an asset needs a table of classes. Write a TOML file "
            "with the table [classes] and lines such as corn = [1, 4], and name it with --classes-table."
        )
    return ReferenceMap(asset, band or None, read_class_table(table))
