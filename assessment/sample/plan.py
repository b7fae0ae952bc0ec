"""The frame of a sample with what is assumed of it, and the sample as it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from assessment.estimation.designs import listed
from assessment.planning.expected import Assumed
from assessment.sample.blocks import BlockFrame
from assessment.sample.districts import NO_DISTRICTS, Districts, read_districts
from assessment.sample.drawing import Units
from assessment.sample.frame import Frame, Progress, count_frame
from assessment.sample.map_file import AssessedMap
from assessment.sample.parts import find_parts
from assessment.sample.record import DrawnStratum, MappedArea, SampleDesign, Unit, with_classes
from assessment.sample.request import DesignRequest
from assessment.sample.sharing import Shared, share_out
from assessment.sample.strata import Part, Partition
from gee_pipeline.errors import InputError

WHOLE: Final = 0.99
"""Share of a district's area from which on it counts as whole: pixels follow its border by their centres."""


@dataclass(frozen=True)
class SamplePlan:
    """A frame with what is assumed of it."""

    request: DesignRequest
    """What is wanted."""
    map: AssessedMap
    """The map."""
    districts: Districts
    """Its districts."""
    frame: Frame
    """Its pixels, counted."""
    accuracy: Mapping[Part, float]
    """Expected user's accuracy of each part."""

    @classmethod
    def of(cls, request: DesignRequest, assessed: AssessedMap, report: Progress) -> SamplePlan:
        """The frame of a map, read in windows.

        Args:
            request: What is wanted.
            assessed: The map.
            report: Receives the windows read and all windows.

        Raises:
            InputError: The map, the districts or a name cannot be used.
        """
        districts = NO_DISTRICTS
        if request.districts is not None and request.district_column is not None:
            districts = read_districts(request.districts, request.district_column, assessed.crs)
        parts, accuracy = find_parts(request, assessed, report)
        partition = Partition(parts, len(districts.names), request.strata)
        frame = count_frame(assessed, partition, districts, report)
        if districts is not NO_DISTRICTS and not frame.pixels[:, 1:].any():
            raise InputError(
                f"No district of {request.districts} has a pixel of {assessed.path}. Check their CRS and "
                "their place."
            )
        return cls(request, assessed, districts, frame, accuracy)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the mapped classes, in the order of their codes."""
        codes = dict.fromkeys(part.code for part in self.frame.partition.parts)
        return tuple(self.map.name(code) for code in codes if code not in self.map.unmapped)

    def shared(self) -> Shared:
        """The points of the strata with pixels, and what to expect of them."""
        sizes = self.frame.by_stratum(self.frame.pixels)
        assumed = self._assumed_of_parts() if self.request.strata == "none" else self._assumed(sizes)
        of = self._part_sizes() if self.request.strata == "none" else sizes[sizes > 0]
        found = share_out(self.request, assumed, of)
        out = np.zeros(len(sizes), np.intp)
        out[np.flatnonzero(sizes)] = found.units
        return replace(found, units=out)

    def _assumed(self, sizes: NDArray[np.float64]) -> Assumed:
        """What is assumed of the strata with pixels; each is of one part."""
        strata = self.frame.partition.strata()
        part_of = {int(h): int(part) for (part, _), h in np.ndenumerate(strata)}
        there = np.flatnonzero(sizes)
        return self._assume([part_of[h] for h in there.tolist()], sizes[there])

    def _assumed_of_parts(self) -> Assumed:
        return self._assume(list(range(len(self.frame.partition.parts))), self._part_sizes())

    def _part_sizes(self) -> NDArray[np.float64]:
        return self.frame.pixels.sum(1).astype(np.float64)

    def _assume(self, of: list[int], sizes: NDArray[np.float64]) -> Assumed:
        parts, labels = [self.frame.partition.parts[index] for index in of], list(self.labels)
        label = [-1 if p.code in self.map.unmapped else labels.index(self.map.name(p.code)) for p in parts]
        users = np.array([self.accuracy[part] for part in parts])
        return Assumed(np.array(label), users, sizes / sizes.sum(), labels)

    def _only_part(self, stratum: int) -> Part | None:
        """The part that a stratum is made of; None where it has several."""
        found = np.unique(np.argwhere(self.frame.partition.strata() == stratum)[:, 0])
        return self.frame.partition.parts[found[0]] if len(found) == 1 else None

    def record(self, units: NDArray[np.intp], drawn: Units, blocks: BlockFrame | None = None) -> SampleDesign:
        """The sample as it is kept.

        Args:
            units: `(stratum,)`: points of each stratum.
            drawn: The points.
            blocks: The blocks in which they were drawn.
        """
        names = self._stratum_names()
        pixels, hectares = (self.frame.by_stratum(v) for v in (self.frame.pixels, self.frame.hectares))
        return SampleDesign(
            method="blocks" if blocks else "simple" if self.request.strata == "none" else "stratified",
            strata_by=self.request.strata,
            seed=self.request.seed,
            map_path=_as_seen_from(self.request.folder, self.map.path),
            map_digest=self.map.digest(),
            classes=self._classes(),
            unmapped=tuple(self.map.name(code) for code in sorted(self.map.unmapped)),
            strata=tuple(
                DrawnStratum(names[h], self._label(h), int(pixels[h]), float(hectares[h]), int(units[h]))
                for h in np.flatnonzero(pixels).tolist()
            ),
            mapped=tuple(self._mapped()),
            units=self._units(drawn, names, blocks),
            blocks=blocks.count if blocks else 0,
        )

    def _label(self, stratum: int) -> str:
        part = self._only_part(stratum)
        return "" if part is None else self.map.name(part.code)

    def _stratum_names(self) -> list[str]:
        strata = self.frame.partition.strata()
        if self.request.strata == "none":
            return ["all"]
        out = [""] * (int(strata.max()) + 1)
        for (index, district), stratum in np.ndenumerate(strata):
            part = self.frame.partition.parts[index]
            where = f", {self.districts.names[district]}" if self.request.strata == "class+district" else ""
            out[stratum] = f"{part.name(self.map.name(part.code), self.request.strata)}{where}"
        return out

    def _classes(self) -> tuple[str, ...]:
        """What an answer may name: every class of the legend, also one without a pixel, and those added."""
        inside = {part.code for part in self.frame.partition.parts}
        special = [code for code in self.map.names if code >= 254 and code not in inside]
        known = sorted({*self.map.names, *inside} - self.map.unmapped - set(special))
        return with_classes([*map(self.map.name, known)], self.request.classes)

    def _mapped(self) -> list[MappedArea]:
        sums: dict[tuple[str, str], list[float]] = {}
        for (index, district), pixels in np.ndenumerate(self.frame.pixels):
            name = self.districts.names[district] if len(self.districts.names) > 1 else ""
            one = sums.setdefault((self.map.name(self.frame.partition.parts[index].code), name), [0, 0.0])
            one[0] += int(pixels)
            one[1] += float(self.frame.hectares[index, district])
        return [MappedArea(*key, int(n), area) for key, (n, area) in sums.items() if n]

    def _units(self, drawn: Units, names: list[str], blocks: BlockFrame | None) -> tuple[Unit, ...]:
        lon, lat = self.map.places(drawn.row, drawn.col)
        parts, several = self.frame.partition.parts, len(self.districts.names) > 1
        of = None if blocks is None or drawn.block is None else (blocks, drawn.block)
        return tuple(
            Unit(
                id=str(i + 1),
                lon=float(lon[i]),
                lat=float(lat[i]),
                row=int(drawn.row[i]),
                col=int(drawn.col[i]),
                stratum=names[drawn.stratum[i]],
                map=self.map.name(parts[drawn.part[i]].code),
                district=self.districts.names[drawn.district[i]] if several else "",
                hectares=float(drawn.hectares[i]),
                probability=float(drawn.probability[i]),
                block="" if of is None else of[0].name(int(of[1][i])),
                block_pixels=0 if of is None else int(of[0].pixels[of[1][i]]),
            )
            for i in range(len(drawn.row))
        )

    def notices(self) -> tuple[str, ...]:
        """What to know of the sample."""
        out = []
        if self.request.blocks is not None:
            out.append(
                "What to expect is that of points drawn anywhere: points in one block say less, by how much "
                "is known with the answers."
            )
        if self.request.strata != "none" and not self.request.expect:
            out.append(
                "What to expect rests on the map's own confidence, or 80 % right where it has none; "
                "give --expect class=0.9 where you know better."
            )
        return (*out, *self._of_districts())

    def _of_districts(self) -> Iterator[str]:
        """Districts of which the frame has nothing, or not the whole."""
        pixel = abs(self.map.transform.a * self.map.transform.e)
        inside = self.frame.pixels.sum(axis=0)[1:] * pixel
        areas = np.array([area.area for area in self.districts.areas])
        names = np.array(self.districts.names[1:])
        if len(none := names[inside == 0]):
            yield f"No pixel of the map lies in the districts {listed(none.tolist())}: they are not reported."
        if len(cut := names[(inside > 0) & (inside < WHOLE * areas)]):
            yield (
                f"The districts {listed(cut.tolist())} reach beyond the area of the map: their figures are "
                "of the part inside."
            )


def _as_seen_from(folder: Path, path: Path) -> str:
    """The path of a file as seen from a folder; as it is where they are on different drives."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()
