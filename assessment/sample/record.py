"""A drawn sample as files: `design.json` for the design, `key.csv` for the units with what the map shows."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from assessment.sample.strata import StrataBy
from assessment.sample.text_table import plain
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, in_words, read_limited, read_sealed, write_bytes, write_sealed

FORMAT: Final = 1
"""Version of design.json; a file of another version is refused."""

DESIGN_FILE: Final = "design.json"
KEY_FILE: Final = "key.csv"
_WAY_OUT: Final = "Restore the folder from a copy, or draw the sample again with the same --seed."

Method = Literal["stratified", "simple", "blocks"]
"""Pixels of each stratum, of the whole frame, or of blocks that were drawn first."""


@dataclass(frozen=True)
class DrawnStratum:
    """One stratum of a sample."""

    name: str
    """What it is called."""
    label: str
    """What the map shows in it; empty where it shows several things."""
    pixels: int
    """Pixels of the frame in it."""
    hectares: float
    """Their ground area."""
    units: int
    """Pixels of the sample."""

    @property
    def probability(self) -> float:
        """Probability of each of its pixels to be in the sample."""
        return self.units / self.pixels


@dataclass(frozen=True)
class MappedArea:
    """What the map shows in one district, or in what lies in none."""

    label: str
    """What it shows: a class, or why there is none."""
    district: str
    """Name of the district; empty where there are no districts."""
    pixels: int
    """Pixels of the frame."""
    hectares: float
    """Their ground area: mapped, not estimated."""


@dataclass(frozen=True)
class Unit:
    """A pixel of the sample."""

    id: str
    """Its number on the answer sheets."""
    lon: float
    """Longitude of its centre, degrees."""
    lat: float
    """Latitude, degrees."""
    row: int
    """Row in the map."""
    col: int
    """Column in the map."""
    stratum: str
    """Name of its stratum."""
    map: str
    """What the map shows."""
    district: str
    """Name of its district; empty where there are none."""
    hectares: float
    """Its ground area."""
    probability: float
    """Its probability to be in the sample."""
    block: str = ""
    """Name of its block; empty where pixels were not drawn in blocks."""
    block_pixels: int = 0
    """Pixels of the frame in its block."""


@dataclass(frozen=True)
class SampleDesign:
    """A sample and how it was drawn: everything that an estimate needs besides the answers."""

    method: Method
    """How pixels were drawn."""
    strata_by: StrataBy
    """What the strata are."""
    seed: int
    """Seed of the draw."""
    map_path: str
    """Path of the map as seen from the folder."""
    map_digest: str
    """SHA-256 of the pixels of the map, see `AssessedMap.digest`."""
    classes: tuple[str, ...]
    """Classes that an answer may name."""
    unmapped: tuple[str, ...]
    """What the map shows where it has no class."""
    strata: tuple[DrawnStratum, ...]
    """All strata with pixels."""
    mapped: tuple[MappedArea, ...]
    """Everything the map shows, by district."""
    units: tuple[Unit, ...]
    """The sample, in the order of the answer sheets."""
    blocks: int = 0
    """Blocks of the frame of which some were drawn; 0 where pixels were not drawn in blocks."""

    @property
    def hectares(self) -> float:
        """Ground area of the frame."""
        return sum(stratum.hectares for stratum in self.strata)

    @property
    def pixels(self) -> int:
        """Pixels of the frame."""
        return sum(stratum.pixels for stratum in self.strata)

    @property
    def districts(self) -> tuple[str, ...]:
        """Names of the districts; empty where there are none."""
        return tuple(dict.fromkeys(one.district for one in self.mapped if one.district))

    def mapped_pixels(self) -> dict[str, int]:
        """Pixels of the frame by what the map shows."""
        return _sums((one.label, one.pixels) for one in self.mapped)

    def mapped_hectares(self, district: str | None = None) -> dict[str, float]:
        """Hectares of the frame, or of a district, by what the map shows."""
        of = [one for one in self.mapped if district in (None, one.district)]
        return _sums((one.label, one.hectares) for one in of)

    def to_dict(self) -> dict[str, Any]:
        """The design as JSON values; the units are in the key."""
        values = asdict(self)
        units = values.pop("units")
        strata = [
            {**one, "probability": stratum.probability}
            for one, stratum in zip(values.pop("strata"), self.strata, strict=True)
        ]
        frame = {"pixels": self.pixels, "hectares": self.hectares, "units": len(units)}
        return {"format": FORMAT, **values, "frame": frame, "strata": strata, "key": _sha(self.key())}

    def key(self) -> bytes:
        """The units as CSV, with what interpreters shall not see."""
        rows = [asdict(unit) for unit in self.units]
        return to_csv(tuple(rows[0]), rows)

    def save(self, folder: Path) -> None:
        """Write key and design; design.json comes last and makes it a sample.

        Raises:
            DiskFullError: The disk has no room.
        """
        write_bytes(folder / KEY_FILE, self.key())
        write_sealed(folder / DESIGN_FILE, self.to_dict())


def to_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A table as UTF-8, numbers with all their digits."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def with_classes(classes: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """The classes that an answer may name: those of a map, and more.

    Args:
        classes: Of the map.
        more: Added by the user; those that are there already change nothing.

    Raises:
        InputError: One differs from a class that is there by case or blanks alone: it would be two classes.
    """
    out = dict[str, str]()
    for name in (*classes, *more):
        if (known := out.setdefault(plain(name), name)) != name:
            raise InputError(
                f"Each class has one name; --classes has {name!r}, which is {known!r} already. Leave it out."
            )
    return tuple(out.values())


def load_design(folder: Path) -> SampleDesign:
    """The sample in a folder, verified.

    Raises:
        InputError: The folder holds none.
        CorruptFileError: A file is damaged.
        MismatchError: Another version of cropmap wrote it.
    """
    path = folder / DESIGN_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} holds no sample: there is no {DESIGN_FILE}. Draw one with 'cropmap assess design'. "
            "Points that were not drawn at random are compared with 'cropmap assess agreement'."
        )
    values = read_sealed(path, _WAY_OUT)
    if values.get("format") != FORMAT:
        raise MismatchError(
            f"This cropmap reads samples of format {FORMAT}, {path} has format {values.get('format')!r}. Use "
            "the version of cropmap that drew it."
        )
    key = read_limited(folder / KEY_FILE)
    if _sha(key) != values.get("key"):
        raise CorruptFileError(f"{folder / KEY_FILE} is not the key that {DESIGN_FILE} names. {_WAY_OUT}")
    try:
        return _from_dict(values, key)
    except ODD_VALUES as error:
        raise CorruptFileError(f"{path} is damaged: {in_words(error)}. {_WAY_OUT}") from error


def _from_dict(values: Mapping[str, Any], key: bytes) -> SampleDesign:
    rows = csv.DictReader(io.StringIO(key.decode(), newline=""))
    same = ("method", "strata_by", "seed", "map_path", "map_digest")
    strata = [{k: v for k, v in one.items() if k != "probability"} for one in values["strata"]]
    return SampleDesign(
        **{name: values[name] for name in same},
        classes=tuple(values["classes"]),
        unmapped=tuple(values["unmapped"]),
        strata=tuple(DrawnStratum(**one) for one in strata),
        mapped=tuple(MappedArea(**one) for one in values["mapped"]),
        units=tuple(_unit(row) for row in rows),
        blocks=values["blocks"],
    )


def _unit(row: Mapping[str, str]) -> Unit:
    return Unit(
        id=row["id"],
        lon=float(row["lon"]),
        lat=float(row["lat"]),
        row=int(row["row"]),
        col=int(row["col"]),
        stratum=row["stratum"],
        map=row["map"],
        district=row["district"],
        hectares=float(row["hectares"]),
        probability=float(row["probability"]),
        block=row["block"],
        block_pixels=int(row["block_pixels"]),
    )


def _sums(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs:
        out[name] = out.get(name, 0) + value
    return out


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
