"""What the values of a reference map mean in CropGlobe's legend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from gee_pipeline.errors import CropmapError, InputError
from gee_pipeline.files import read_toml
from gee_pipeline.legends.crosswalk import ANY_ENDING, LEFT_OUT, LISTS, codes_of
from training.samples.crops import NAMES, OTHER
from training.samples.labels import Label, plain_label

Cropland = Literal["worldcover"]
CROPLAND_MAPS: Final[tuple[str, ...]] = get_args(Cropland)
"""Maps of cropland that can show which land outside a reference's classes is "other"."""

LARGEST_VALUE: Final = 2**31 - 2
"""Values of a raster fit a signed 32-bit integer; the last one marks pixels without a value."""

THE_REST: Final = "*"
"""In a class of a table: every value that is named nowhere else."""

NO_CLASS: Final = 0
"""Code of a value without a class; that of a class is its label + 1."""

OTHER_CODE: Final = NAMES.index(OTHER) + 1
"""Code of "other", which cropland outside a map's classes has."""

TABLE_KEYS: Final = ("classes", "left_out", "source", "cropland_outside")
"""Keys of a table in a file."""


@dataclass(frozen=True)
class ClassTable:
    """Which values of a reference map mean which crop; values of no crop are left out.

    A text that ends with `*` means all that begin so; of two that fit a value, the longer counts.
    """

    classes: Mapping[str, tuple[Label, ...]]
    """Name of CropGlobe's legend -> values of the map, whole numbers or texts."""
    source: str = ""
    """One sentence on the map and the choice of values."""
    cropland_outside: Cropland | None = None
    """Map of cropland whose pixels outside the table's values are "other": how CropGlobe completes maps that
    know one or two crops only (Tong et al. 2025, section 2.3)."""
    left_out: tuple[Label, ...] = ()
    """Values without a class that `*` would take in."""
    _codes: Mapping[Label, int] = field(init=False, repr=False, compare=False)
    _beginnings: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_classes(self.classes)
        for name, values in (*self.classes.items(), ("left_out", self.left_out)):
            _require_values(name, values)
        if self.cropland_outside not in (None, *CROPLAND_MAPS):
            raise InputError(
                f"The class table's cropland_outside is one of {', '.join(CROPLAND_MAPS)}, got "
                f"{self.cropland_outside!r}."
            )
        codes = _codes_of_values(self.classes, self.left_out)
        longest_first = sorted((v for v in codes if _is_beginning(v)), key=lambda v: -len(str(v)))
        object.__setattr__(self, "_codes", {v: code for v, code in codes.items() if not _is_beginning(v)})
        object.__setattr__(self, "_beginnings", {str(v)[:-1]: codes[v] for v in longest_first})

    @property
    def labels(self) -> dict[int, int]:
        """Whole number of the map -> label of CropGlobe, 0 to 6."""
        return {v: code - 1 for v, code in self._codes.items() if isinstance(v, int) and code != NO_CLASS}

    @property
    def rest(self) -> int:
        """Code of the values that the table does not name."""
        return self._beginnings.get("", NO_CLASS)

    @property
    def texts(self) -> tuple[str, ...]:
        """The values that are no whole numbers, without `*`: only texts can be of these."""
        named = (value for value in self._codes if isinstance(value, str))
        return (*named, *(f"{beginning}{ANY_ENDING}" for beginning in self._beginnings if beginning))

    @property
    def names(self) -> tuple[str, ...]:
        """Classes that samples can have, in the order of their labels."""
        possible = {*self.classes, OTHER} if self.cropland_outside else set(self.classes)
        return tuple(name for name in NAMES if name in possible)

    def code_of(self, value: Label) -> int:
        """Code of the class of a value: its label + 1, or 0 for none.

        Args:
            value: A value of the map; texts are compared trimmed and without case.
        """
        plain = plain_label(value)
        if plain in self._codes:
            return self._codes[plain]
        text = _as_written(value)
        return next((code for start, code in self._beginnings.items() if text.startswith(start)), NO_CLASS)

    def names_it(self, value: Label) -> bool:
        """Whether the table says of a value what it is, if only that it has no class; `*` says nothing."""
        plain = plain_label(value)
        text = _as_written(value)
        return plain in self._codes or any(b and text.startswith(b) for b in self._beginnings)

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON values."""
        values = {name: _sorted(self.classes[name]) for name in NAMES if name in self.classes}
        found = {"classes": values, "source": self.source, "cropland_outside": self.cropland_outside}
        return {**found, "left_out": _sorted(self.left_out)} if self.left_out else found


def read_class_table(path: Path) -> ClassTable:
    """The class table of a TOML file.

    ::

        source = "Registre Parcellaire Graphique 2021"     # optional
        cropland_outside = "worldcover"                    # optional
        left_out = ["SNE", "J6*"]                          # optional
        [classes]
        corn = ["MIS", "MIE"]
        wheat = ["BT*"]                                    # all that begin so
        other = "*"                                        # all the rest

    Raises:
        InputError: The file is missing or no TOML; or a key or value is wrong, which is named.
    """
    try:
        return table_of(read_toml(path))
    except CropmapError as error:
        raise InputError(f"The class table {path}: {error}") from error


def standard_table(name: str) -> ClassTable:
    """The class table of a map whose values are the codes of a standard list.

    Args:
        name: A name of `gee_pipeline.legends.crosswalk.LISTS`.
    """
    codes = {crop: tuple(map(plain_label, listed)) for crop, listed in codes_of(name).items()}
    left_out, known = codes.pop(LEFT_OUT, ()), LISTS[name]
    return ClassTable(codes, f"Codes of {known.title} ({known.source}).", left_out=left_out)


def table_of(values: Mapping[str, Any]) -> ClassTable:
    """The class table of the values of a TOML file.

    Raises:
        InputError: A key or value is wrong.
    """
    if unknown := sorted(set(values) - set(TABLE_KEYS)):
        raise InputError(
            f"The class table holds the unknown key {', '.join(unknown)}; it has {', '.join(TABLE_KEYS)}. "
            "Put the crops below a line [classes]."
        )
    classes, source = values.get("classes", {}), values.get("source", "")
    if not isinstance(classes, dict) or not isinstance(source, str):
        raise InputError(
            "The class table has a table [classes] and a text source, got "
            f"classes = {classes!r} and source = {source!r}."
        )
    lists = {name: _listed(given) for name, given in classes.items()}
    return ClassTable(lists, source, values.get("cropland_outside"), _listed(values.get("left_out", [])))


def _listed(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, list) else (given,)


def _as_written(value: Label) -> str:
    """What beginnings are compared with: a text keeps the zeros that it begins with."""
    return value.strip().casefold() if isinstance(value, str) else str(value)


def _is_beginning(value: Label) -> bool:
    return isinstance(value, str) and value.endswith(ANY_ENDING)


def _sorted(values: Iterable[Label]) -> list[Label]:
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _require_classes(classes: Mapping[str, tuple[Label, ...]]) -> None:
    if unknown := [name for name in classes if name not in NAMES]:
        raise InputError(
            f"The key {unknown[0]} in [classes] is not a class of CropGlobe's legend; it has "
            f"{', '.join(NAMES)}."
        )
    if not classes:
        raise InputError("The class table names no class. Write lines such as corn = [1, 4] below [classes].")
    if empty := [name for name, values in classes.items() if not values]:
        raise InputError(f"The key {empty[0]} in [classes] has no value. Give some, or leave the class out.")


def _require_values(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        if type(value) not in (int, str) or value == "":
            raise InputError(f"The key {name} takes whole numbers and texts, got {value!r}.")


def _codes_of_values(
    classes: Mapping[str, tuple[Label, ...]], left_out: tuple[Label, ...]
) -> dict[Label, int]:
    """Value as it is compared -> code; each once."""
    owner: dict[Label, str] = {}
    for name, value in _pairs(classes, left_out):
        if value in owner:
            raise InputError(
                f"A value means one class, but {value} is given for the keys {owner[value]} and {name}. Keep "
                "one of them."
            )
        owner[value] = name
    return {value: NAMES.index(name) + 1 if name in classes else NO_CLASS for value, name in owner.items()}


def _pairs(
    classes: Mapping[str, tuple[Label, ...]], left_out: tuple[Label, ...]
) -> Iterator[tuple[str, Label]]:
    for name, values in (*classes.items(), ("left_out", left_out)):
        yield from ((name, plain_label(value)) for value in values)
