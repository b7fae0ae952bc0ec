"""What the values of a reference map mean in CropGlobe's legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from gee_pipeline.errors import CropmapError, InputError
from gee_pipeline.files import read_toml
from training.samples.crops import NAMES, OTHER

Cropland = Literal["worldcover"]
CROPLAND_MAPS: Final[tuple[str, ...]] = get_args(Cropland)
"""Maps of cropland that can show which land outside a reference's classes is "other"."""

LARGEST_VALUE: Final = 2**31 - 2
"""Values of a reference map fit a signed 32-bit integer; the last one marks pixels without a value."""

_TABLE_KEYS: Final = ("classes", "source", "cropland_outside")


@dataclass(frozen=True)
class ClassTable:
    """Which values of a reference map mean which crop; values of no crop are left out."""

    classes: Mapping[str, tuple[int, ...]]
    """Name of CropGlobe's legend -> values of the map."""
    source: str = ""
    """One sentence on the map and the choice of values."""
    cropland_outside: Cropland | None = None
    """Map of cropland whose pixels outside the table's values are "other": how CropGlobe completes maps that
    know one or two crops only (Tong et al. 2025, section 2.3)."""

    def __post_init__(self) -> None:
        _require_classes(self.classes)
        _require_values(self.classes)
        _require_once(self.classes)
        if self.cropland_outside not in (None, *CROPLAND_MAPS):
            raise InputError(
                f"The class table's cropland_outside is one of {', '.join(CROPLAND_MAPS)}, got "
                f"{self.cropland_outside!r}."
            )

    @property
    def labels(self) -> dict[int, int]:
        """Value of the map -> label of CropGlobe, 0 to 6."""
        return {value: NAMES.index(name) for name, values in self.classes.items() for value in values}

    @property
    def names(self) -> tuple[str, ...]:
        """Classes that samples can have, in the order of their labels."""
        possible = {*self.classes, OTHER} if self.cropland_outside else set(self.classes)
        return tuple(name for name in NAMES if name in possible)

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON values."""
        values = {name: sorted(self.classes[name]) for name in NAMES if name in self.classes}
        return {"classes": values, "source": self.source, "cropland_outside": self.cropland_outside}


def read_class_table(path: Path) -> ClassTable:
    """The class table of a TOML file.

    ::

        source = "Registre Parcellaire Graphique 2021"     # optional
        cropland_outside = "worldcover"                    # optional
        [classes]
        corn = [1, 4]
        other = [7]

    Raises:
        InputError: The file is missing or no TOML; or a key or value is wrong, which is named.
    """
    try:
        return _table(read_toml(path))
    except CropmapError as error:
        raise InputError(f"The class table {path}: {error}") from error


def _table(values: dict[str, Any]) -> ClassTable:
    if unknown := sorted(set(values) - set(_TABLE_KEYS)):
        raise InputError(
            f"The class table holds the unknown key {', '.join(unknown)}; it has {', '.join(_TABLE_KEYS)}. "
            "Put the crops below a line [classes]."
        )
    classes, source = values.get("classes", {}), values.get("source", "")
    if not isinstance(classes, dict) or not isinstance(source, str):
        raise InputError(
            "The class table has a table [classes] and a text source, got "
            f"classes = {classes!r} and source = {source!r}."
        )
    lists = {name: tuple(given) if isinstance(given, list) else (given,) for name, given in classes.items()}
    return ClassTable(lists, source, values.get("cropland_outside"))


def _require_classes(classes: Mapping[str, tuple[int, ...]]) -> None:
    if unknown := [name for name in classes if name not in NAMES]:
        raise InputError(
            f"The key {unknown[0]} in [classes] is not a class of CropGlobe's legend; it has "
            f"{', '.join(NAMES)}."
        )
    if not classes:
        raise InputError("The class table names no class. Write lines such as corn = [1, 4] below [classes].")


def _require_values(classes: Mapping[str, tuple[int, ...]]) -> None:
    for name, values in classes.items():
        if not values:
            raise InputError(f"The key {name} in [classes] has no value. Give some, or leave the class out.")
        for value in values:
            if type(value) is not int or abs(value) > LARGEST_VALUE:
                raise InputError(
                    f"The key {name} in [classes] takes whole numbers of up to {LARGEST_VALUE:,}, got "
                    f"{value!r}."
                )


def _require_once(classes: Mapping[str, tuple[int, ...]]) -> None:
    owner: dict[int, str] = {}
    for name, values in classes.items():
        for value in values:
            if value in owner:
                raise InputError(
                    f"A value means one class, but {value} is given for the keys {owner[value]} and {name} "
                    "in [classes]. Keep one of them."
                )
            owner[value] = name
