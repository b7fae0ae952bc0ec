"""Class legends: which labels of a file of samples become which class of a map, by what name and colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gee_pipeline.errors import CropmapError, InputError
from gee_pipeline.files import read_json, read_toml
from gee_pipeline.legends.crosswalk import ANY_ENDING, LISTS, codes_of
from gee_pipeline.legends.crosswalk import LEFT_OUT as NO_CROP
from inference.models.crop_class import CropClass
from training.samples.crops import CROPS
from training.samples.labels import Label, distinct_labels, plain_label

LEFT_OUT: Final = -1
"""Index of a label whose samples are left out."""
_UNKNOWN: Final = -2

LEAVE_OUT: Final = "leave out"
"""Value of `unlisted` that leaves out all labels without a class."""

_LEGEND_KEYS: Final = ("classes", "leave_out", "unlisted", "label_column", "source")
_CLASS_KEYS: Final = ("name", "color", "labels", "code")


@dataclass(frozen=True)
class LegendClass:
    """One class and the labels that become it."""

    name: str
    """What it is called in legends."""
    color: str
    """`#rrggbb`."""
    labels: tuple[Label, ...] = ()
    """Labels of the files that become it; its own name always does."""

    @property
    def all_labels(self) -> frozenset[Label]:
        """The labels and the name, as they are compared."""
        return frozenset(map(plain_label, (*self.labels, self.name)))


@dataclass(frozen=True)
class ClassLegend:
    """The classes in the order of their codes 1 to K, and what happens to labels that are in none."""

    classes: tuple[LegendClass, ...]
    """At least two; their places are the codes 1 to K."""
    leave_out: tuple[Label, ...] = ()
    """Labels whose samples are left out."""
    unlisted: str | None = None
    """Class that takes every label named nowhere, or `leave out`; None refuses such labels."""
    label_column: str | None = None
    """Key of an npz or column of a table with the labels; None is the usual `lbl` or `label`."""
    source: str = ""
    """One sentence on the labels, for the checkpoint."""
    built_in: bool = False
    """Whether a class may be without samples: a list of all crops, and not those of one place."""
    _index: Mapping[Label, int] = field(init=False, repr=False, compare=False)
    _beginnings: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _require_classes(self.classes)
        if self.unlisted not in (None, LEAVE_OUT, *self.names):
            raise InputError(
                f"The key unlisted names one of the classes {', '.join(self.names)}, or is {LEAVE_OUT!r}; "
                f"got {self.unlisted!r}."
            )
        index = _index_of(self.classes, self.leave_out)
        beginnings = {str(label)[:-1]: place for label, place in index.items() if _is_beginning(label)}
        object.__setattr__(self, "_index", index)
        object.__setattr__(
            self, "_beginnings", dict(sorted(beginnings.items(), key=lambda one: -len(one[0])))
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of the codes."""
        return tuple(entry.name for entry in self.classes)

    @property
    def colors(self) -> dict[str, str]:
        """Class name -> `#rrggbb`."""
        return {entry.name: entry.color for entry in self.classes}

    @cached_property
    def description(self) -> str:
        """The labels that the legend knows, in words, for messages."""
        parts = [_in_words(entry) for entry in self.classes]
        return ", ".join(parts) + (f"; left out: {_joined(self.leave_out)}" if self.leave_out else "")

    def index_of(self, labels: NDArray[Any], owner: str, *, first_row: int = 0) -> NDArray[np.int64]:
        """`(sample,)`: index into `names` of each label, or `LEFT_OUT`.

        Args:
            labels: Numbers or texts, also mixed; `3`, `3.0` and `"3"` are the same label.
            owner: File and key or column, for messages.
            first_row: How the first label is counted in messages.

        Raises:
            InputError: A label is in no class, not left out, and `unlisted` does not say what it becomes.
        """
        found, place = distinct_labels(labels)
        index = np.array([self._place_of(label) for label in found], np.int64)[place]
        unknown = np.flatnonzero(index == _UNKNOWN)
        if len(unknown):
            raise InputError(
                f"{owner} must be a label of {self.description}; row {unknown[0] + first_row} has "
                f"{labels[unknown[0]]!s} ({len(unknown)} of {len(labels)} rows are wrong). Say in a "
                "legend file (--legend) what it becomes: in labels of a class, in leave_out, or by unlisted."
            )
        return index

    def _place_of(self, label: Label | None) -> int:
        if label is None:  # an empty cell, a fraction
            return _UNKNOWN
        if label in self._index:
            return self._index[label]
        for beginning, place in self._beginnings.items():  # the longest first
            if str(label).startswith(beginning):
                return place
        if self.unlisted in (None, LEAVE_OUT):
            return LEFT_OUT if self.unlisted else _UNKNOWN
        return self.names.index(str(self.unlisted))


def read_legend(path: Path) -> ClassLegend:
    """The legend of a TOML or JSON file, or that of a standard list of codes by its name.

    ::

        source = "Land use survey 2021"      # optional, kept in the checkpoint
        label_column = "cdl"                 # optional: key or column of the labels
        leave_out = [0, "fallow"]            # optional: labels whose samples are left out
        unlisted = "other"                   # optional: a class for all other labels, or "leave out";
                                             # without it they are refused
        [[classes]]                          # the first class has code 1
        name = "rice"
        color = "#00a8e2"
        labels = [3]                         # numbers or names; the class's own name is one of them
        [[classes]]
        name = "orchard"
        color = "#00a884"
        labels = [69, 75, 76, "walnuts"]     # merged into one class; "3303*" is all that begin so
        [[classes]]
        name = "other"
        color = "#b8b8a0"

    A JSON file holds the same keys. A class may say its `code`; codes are 1 to K, each once.

    Raises:
        InputError: The file cannot be read, or a key or value is wrong, which is named.
    """
    if str(path) in LISTS:
        return standard_legend(str(path))
    if not path.exists():
        raise InputError(
            f"The legend {path} cannot be read: no such file. Name a TOML or JSON file by --legend, or one "
            f"of the lists {', '.join(LISTS)}."
        )
    try:
        values = read_json(path) if path.suffix.lower() == ".json" else read_toml(path)
        return _legend(values)
    except CropmapError as error:
        raise InputError(f"The legend {path}: {error}") from error


def _legend(values: Any) -> ClassLegend:
    if not isinstance(values, dict):
        raise InputError(f"A legend has the keys {', '.join(_LEGEND_KEYS)}, got {type(values).__name__}.")
    _require_known(values, _LEGEND_KEYS, "The legend")
    for key in ("unlisted", "label_column", "source"):
        if not isinstance(values.get(key, ""), str):
            raise InputError(f"The key {key} takes a text, got {values[key]!r}.")
    entries = values.get("classes")
    if not isinstance(entries, list) or not entries:
        raise InputError("The key classes takes a list of classes: write a block [[classes]] for each.")
    return ClassLegend(
        classes=_in_order([_class(i, entry) for i, entry in enumerate(entries, 1)], entries),
        leave_out=_labels("leave_out", values.get("leave_out", [])),
        unlisted=values.get("unlisted"),
        label_column=values.get("label_column"),
        source=values.get("source", ""),
    )


def _class(place: int, entry: Any) -> LegendClass:
    owner = f"Class {place} of classes"
    if not isinstance(entry, dict):
        raise InputError(f"{owner} takes the keys {', '.join(_CLASS_KEYS)}, got {entry!r}.")
    _require_known(entry, _CLASS_KEYS, owner)
    for key in ("name", "color"):
        if not isinstance(entry.get(key), str):
            raise InputError(f"{owner} needs the key {key}, a text; got {entry.get(key)!r}.")
    CropClass(1, entry["name"], entry["color"])  # one rule for names and colours, that of checkpoints
    labels = _labels(f"labels of {entry['name']}", entry.get("labels", []))
    return LegendClass(entry["name"].strip(), entry["color"].lower(), labels)


def _labels(key: str, given: Any) -> tuple[Label, ...]:
    labels = given if isinstance(given, list) else [given]
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
            raise InputError(f"The key {key} takes whole numbers and names, got {label!r}.")
    return tuple(labels)


def _in_order(classes: list[LegendClass], entries: list[dict[str, Any]]) -> tuple[LegendClass, ...]:
    """The classes by their codes, which are given for all or for none."""
    codes = [entry.get("code") for entry in entries]
    if not any(code is not None for code in codes):
        return tuple(classes)
    if any(type(code) is not int for code in codes) or {*codes} != {*range(1, len(codes) + 1)}:
        raise InputError(
            f"The key code numbers the classes 1 to {len(codes)}, each once, for all of them or for none; "
            f"got {', '.join(map(str, codes))}."
        )
    return tuple(classes[codes.index(code)] for code in range(1, len(codes) + 1))


def _require_known(values: dict[str, Any], known: tuple[str, ...], owner: str) -> None:
    if unknown := sorted(set(values) - set(known)):
        raise InputError(f"{owner} holds the unknown key {', '.join(unknown)}; it has {', '.join(known)}.")


def _require_classes(classes: Sequence[LegendClass]) -> None:
    if len(classes) < 2:
        raise InputError(f"A legend has two classes or more, got {len(classes)}.")
    for code, entry in enumerate(classes, 1):
        CropClass(code, entry.name, entry.color)
        if plain_label(entry.name) == LEAVE_OUT:
            raise InputError(f"The name {entry.name!r} is taken: it stands for leaving samples out.")
    names = Counter(plain_label(entry.name) for entry in classes)
    if repeated := [str(name) for name, count in names.items() if count > 1]:
        raise InputError(
            f"Each class has a name of its own, but {', '.join(repeated)} occurs more than once."
        )


def _index_of(classes: Sequence[LegendClass], leave_out: Sequence[Label]) -> dict[Label, int]:
    """Label -> index of its class; each label once."""
    index: dict[Label, int] = {}
    for place, entry in enumerate(classes):
        for label in sorted(entry.all_labels, key=str):
            if label in index:
                raise InputError(
                    f"A label means one class, but {label!r} is given for {classes[index[label]].name} and "
                    f"{entry.name}. Keep one of them."
                )
            index[label] = place
    for label in map(plain_label, leave_out):
        if index.get(label, LEFT_OUT) != LEFT_OUT:
            raise InputError(
                f"The label {label!r} is given in leave_out and for the class {classes[index[label]].name}. "
                "Keep one of them."
            )
        index[label] = LEFT_OUT
    return index


def _is_beginning(label: Label) -> bool:
    """Whether a label means all that begin so."""
    return isinstance(label, str) and label.endswith(ANY_ENDING) and label != ANY_ENDING


def _in_words(entry: LegendClass) -> str:
    return f"{_joined(entry.labels)} {entry.name}".strip() if entry.labels else entry.name


def _joined(labels: Sequence[Label]) -> str:
    few = [str(label) for label in labels[:8]]
    return "/".join(few) + ("/..." if len(labels) > 8 else "")


def standard_legend(name: str) -> ClassLegend:
    """CropGlobe's classes in the codes of a standard list; labels that are no crop of it are left out.

    Args:
        name: A name of `gee_pipeline.legends.crosswalk.LISTS`.
    """
    if name == "cropglobe":
        return CROPGLOBE
    codes, known = codes_of(name), LISTS[name]
    return ClassLegend(
        tuple(LegendClass(crop.name, crop.color, codes[crop.name]) for crop in CROPS if crop.name in codes),
        leave_out=codes.get(NO_CROP, ()),
        unlisted=LEAVE_OUT,
        source=f"Labels in codes of {known.title} ({known.source}).",
        built_in=True,
    )


CROPGLOBE: Final = ClassLegend(
    tuple(LegendClass(crop.name, crop.color, (i,)) for i, crop in enumerate(CROPS)), built_in=True
)
"""The built-in legend: labels 0 to 6, or the names, of `training.samples.crops.CROPS`."""
