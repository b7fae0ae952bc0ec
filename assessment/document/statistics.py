"""Published hectares, as of an agency's own survey, beside those that a map shows and that were estimated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from assessment.document.areas import ClassArea, to_pixel
from assessment.sample.tables import Faults, Row, read_table

COLUMNS: Final = (
    "map", "year", "district", "class", "published_ha", "source", "mapped_ha", "mapped_difference",
    "estimated_ha", "low", "high", "estimated_difference", "published_in_interval",
)  # fmt: skip

_REQUIRED: Final = ("class", "hectares")

_NUMBER: Final = re.compile(r"\d+(\.\d+|,(?!\d{3}$)\d+)?")

_THREE_AFTER_POINT: Final = re.compile(r"\d{1,3}\.\d{3}")

_WAY_OUT: Final = (
    "The table has the columns class and hectares, and where they are needed district, year, map and source."
)


@dataclass(frozen=True)
class PublishedMap:
    """A map whose areas statistics are put beside."""

    identifier: str
    """What it is called in the publication."""
    year: int
    """The mapped year."""
    areas: Sequence[ClassArea]
    """Its areas."""


@dataclass(frozen=True)
class Comparison:
    """One published figure beside those of a map."""

    area: ClassArea
    """What was mapped and estimated."""
    hectares: float
    """What was published."""
    source: str
    """Where; empty where the table does not say."""

    @property
    def mapped_difference(self) -> float | None:
        """How much more the map shows, as a share of what was published."""
        return self._difference(self.area.hectares)

    @property
    def estimated_difference(self) -> float | None:
        """How much more was estimated, as a share of what was published."""
        return self._difference(self.area.estimate["value"] if self.area.estimate else None)

    @property
    def in_interval(self) -> bool | None:
        """Whether the published figure lies in the 95 % interval; None where there is none."""
        estimate = self.area.estimate
        return None if estimate is None else bool(estimate["low"] <= self.hectares <= estimate["high"])

    def _difference(self, value: float | None) -> float | None:
        return None if value is None or not self.hectares else value / self.hectares - 1


def compare(path: Path, maps: Sequence[PublishedMap]) -> dict[str, list[Comparison]]:
    """The figures of a table beside those of the maps they belong to, by map.

    A row without a year belongs to the map of whatever year, one without a district to a whole map.

    Args:
        path: CSV with the columns `class` and `hectares`, and at will `district`, `year`, `map`, `source`.
        maps: The maps.

    Raises:
        InputError: Rows name what no map has, belong to several maps, or are no area; all of them are named.
    """
    faults = Faults()
    found: dict[str, list[Comparison]] = {one.identifier: [] for one in maps}
    rows = read_table(path)
    lacking = [name for name in _REQUIRED if name not in rows[0]]
    faults.add(lacking, f"{path} lacks the columns {{ids}}")
    numbers = [] if lacking else [row["hectares"] for row in rows]
    doubtful = [text for text in numbers if _THREE_AFTER_POINT.fullmatch(text)]
    if any("," in text for text in numbers):
        faults.add(doubtful, f"{path} has decimal commas, so {{ids}} may mean thousands")
    for number, row in enumerate(() if lacking else rows, start=2):
        problem = _take(row, maps, found)
        if problem:
            faults.add([f"row {number}"], f"{{ids}} of {path}: {problem}")
    faults.refuse(_WAY_OUT)
    return found


def comparison_rows(one: PublishedMap, comparisons: Sequence[Comparison]) -> Iterator[dict[str, Any]]:
    """The comparisons as rows of a table with the columns `COLUMNS`."""
    for each in comparisons:
        area, estimate = each.area, each.area.estimate or {}
        inside = {True: "yes", False: "no", None: ""}[each.in_interval]
        yield {
            "map": one.identifier,
            "year": one.year,
            "district": area.district,
            "class": area.name,
            "published_ha": each.hectares,
            "source": each.source,
            "mapped_ha": to_pixel(area.hectares),
            "mapped_difference": _rounded(each.mapped_difference),
            "estimated_ha": to_pixel(estimate.get("value")),
            "low": to_pixel(estimate.get("low")),
            "high": to_pixel(estimate.get("high")),
            "estimated_difference": _rounded(each.estimated_difference),
            "published_in_interval": inside,
        }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _take(row: Row, maps: Sequence[PublishedMap], found: Mapping[str, list[Comparison]]) -> str | None:
    """Put a row to its map; or what is wrong with it."""
    hectares = _hectares(row["hectares"])
    if hectares is None:
        return f"{row['hectares']!r} is no number of hectares without marks between thousands"
    fitting = [one for one in maps if _fits(row, one)]
    if not fitting:
        known = ", ".join(f"{one.identifier} ({one.year})" for one in maps)
        asked = " ".join(filter(None, (row.get("map"), row.get("year"))))
        return f"there is no map {asked}; there are {known}"
    areas = [(one, area) for one in fitting for area in one.areas if _is_of(row, area)]
    if not areas:
        return _unknown(row, fitting)
    if len(areas) > 1:
        return f"it belongs to {', '.join(one.identifier for one, _ in areas)}; name one in a column map"
    (one, area), source = areas[0], row.get("source", "")
    if any(each.area is area and each.source == source for each in found[one.identifier]):
        return "another row says the hectares of the same class and district"
    found[one.identifier].append(Comparison(area, hectares, source))
    return None


def _hectares(text: str) -> float | None:
    """An area, also with a decimal comma; None where it is none, or where a comma may part thousands."""
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _fits(row: Row, one: PublishedMap) -> bool:
    return row.get("map", "") in ("", one.identifier) and row.get("year", "") in ("", str(one.year))


def _is_of(row: Row, area: ClassArea) -> bool:
    same_class = area.name.casefold() == row["class"].casefold()
    return same_class and area.district.casefold() == row.get("district", "").casefold()


def _unknown(row: Row, maps: Sequence[PublishedMap]) -> str:
    areas = [area for one in maps for area in one.areas]
    district = row.get("district", "")
    districts = sorted({area.district for area in areas if area.district})
    if district and district.casefold() not in {name.casefold() for name in districts}:
        return (
            f"there is no district {district!r}; there are {', '.join(districts) or 'none: give --districts'}"
        )
    names = sorted({area.name for area in areas if area.district.casefold() == district.casefold()})
    return f"there is no class {row['class']!r}; there are {', '.join(names)}"
