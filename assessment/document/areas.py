"""Hectares of each class, of a whole map and by district: counted, and estimated where it was assessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from assessment.document.facts import Document
from assessment.sample.districts import Districts
from assessment.sample.frame import Progress, count_frame
from assessment.sample.map_file import AssessedMap
from assessment.sample.strata import Partition, parts_of

COLUMNS: Final = (
    "map", "year", "district", "class", "pixels", "mapped_ha", "mapped_share",
    "estimated_ha", "se", "low", "high", "flags",
)  # fmt: skip


@dataclass(frozen=True)
class ClassArea:
    """How much of a class there is in a map, or in one district of it."""

    district: str
    """The district; empty for the whole map."""
    name: str
    """The class, or why the map shows none."""
    pixels: int | None = None
    """Pixels of the map; None where they were not counted."""
    hectares: float | None = None
    """Their ground area."""
    share: float | None = None
    """Their share of the area."""
    estimate: Mapping[str, Any] | None = None
    """The estimated hectares: `value`, `se`, `low`, `high` and `flags`; None where there are none."""


def class_areas(
    document: Document,
    districts: Districts | None,
    report: Progress = lambda *_: None,
) -> list[ClassArea]:
    """The areas of a map: of the whole first, then by district.

    Args:
        document: What the files of the run say.
        districts: Where pixels are counted by district; None counts none.
        report: Receives the windows read and all windows.
    """
    areas = list(_of_map(document))
    known = (
        {name: list(rows) for name, rows in _counted(document.map, districts, report)} if districts else {}
    )
    estimated = (document.assessment or {}).get("districts", {})
    for name in dict.fromkeys([*known, *estimated]):
        areas += _joined(known.get(name, []), name, estimated.get(name))
    return areas


def area_rows(identifier: str, year: int, areas: Sequence[ClassArea]) -> Iterator[dict[str, Any]]:
    """The areas as rows of a table with the columns `COLUMNS`."""
    for one in areas:
        row: dict[str, Any] = {"map": identifier, "year": year, "district": one.district, "class": one.name}
        row |= {"pixels": one.pixels, "mapped_ha": to_pixel(one.hectares)}
        row["mapped_share"] = None if one.share is None else round(one.share, 6)
        if one.estimate:
            keys = {"value": "estimated_ha", "se": "se", "low": "low", "high": "high"}
            row |= {column: to_pixel(one.estimate[key]) for key, column in keys.items()}
            row["flags"] = " ".join(flag.replace(" ", "-") for flag in one.estimate["flags"])
        yield row


def to_pixel(hectares: float | None) -> float | None:
    """An area as it is written: to 0.01 ha, a pixel."""
    return None if hectares is None else round(hectares, 2)


def _of_map(document: Document) -> Iterator[ClassArea]:
    counted = [
        ClassArea("", one["name"], one["pixels"], one["hectares"], one["share"])
        for one in document.report["classes"]
        if one["pixels"]
    ]
    yield from _joined(counted, "", document.accuracy)


def _joined(
    counted: Sequence[ClassArea], district: str, accuracy: Mapping[str, Any] | None
) -> Iterator[ClassArea]:
    """What was counted with what was estimated; classes that the map does not show come last."""
    estimates = {one["name"]: one["area"] for one in accuracy["classes"]} if accuracy else {}
    for one in counted:
        yield replace(one, estimate=estimates.pop(one.name, None))
    for name, estimate in estimates.items():
        yield ClassArea(district, name, estimate=estimate)


def _counted(
    assessed: AssessedMap, districts: Districts, report: Progress
) -> Iterator[tuple[str, Iterator[ClassArea]]]:
    """Each district with pixels, and the areas in it."""
    codes = sorted(assessed.names)
    partition = Partition(parts_of(codes), len(districts.names), "class")
    frame = count_frame(assessed, partition, districts, report)

    def rows(index: int, name: str) -> Iterator[ClassArea]:
        whole = frame.hectares[:, index].sum()
        for code, pixels, hectares in zip(
            codes, frame.pixels[:, index].tolist(), frame.hectares[:, index].tolist(), strict=True
        ):
            if pixels:
                yield ClassArea(name, assessed.name(code), pixels, hectares, hectares / whole)

    for index in [*range(1, len(districts.names)), 0]:
        if frame.pixels[:, index].any():
            yield districts.names[index], rows(index, districts.names[index])
