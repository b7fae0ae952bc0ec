"""Asks Earth Engine the questions of `image_experiments`, and compares its answers with the assumed ones.

The record of a selfcheck holds questions and answers as they went over the network; `replay` asks them
again of any server and compares with the recorded answers.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from random import Random
from typing import Any, Final

import ee
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from gee_pipeline.earthengine.client import client_state
from gee_pipeline.earthengine.client.faults import (
    FAILURES,
    Fault,
    FaultKind,
    access_error,
    fault_of,
    missing_asset,
    request_error,
)
from gee_pipeline.earthengine.client.retry import persistently
from gee_pipeline.earthengine.client.session import Session, connect
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.client.spending import eecu_seconds
from gee_pipeline.earthengine.selfcheck.experiment import Experiment
from gee_pipeline.earthengine.selfcheck.image_experiments import EXPERIMENTS
from gee_pipeline.grid import name_crs
from gee_pipeline.source import Spent

NUMPY_HEADER: Final = 10_000
"""Bytes of an NPY header above which numpy refuses a file unless that is switched off."""


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment."""

    id: str
    question: str
    read: str
    expression: dict[str, Any]
    """The question as it went over the network."""
    grid: dict[str, Any]
    """Pixels that were asked for: CRS, shape and affine transform."""
    expected: Any
    answer: Any
    """JSON values, or the server's own words where it refused."""

    @property
    def agrees(self) -> bool:
        """Whether the answer is the assumed one."""
        return same(self.answer, self.expected)


@dataclass(frozen=True)
class SelfcheckReport:
    """All questions and answers of one selfcheck."""

    made: str
    """When, ISO 8601 in UTC."""
    url: str
    """Endpoint that answered."""
    client: str
    """Version of the package earthengine-api."""
    outcomes: tuple[Outcome, ...]
    spent: Spent

    @property
    def agrees(self) -> bool:
        """Whether all answers are as assumed."""
        return all(outcome.agrees for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        outcomes = [asdict(outcome) | {"agrees": outcome.agrees} for outcome in self.outcomes]
        return asdict(self) | {"agrees": self.agrees, "outcomes": outcomes}


def same(one: Any, other: Any) -> bool:
    """Whether two answers are equal; numbers within a millionth."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if _is_number(one) and _is_number(other):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return type(one) is type(other) and one == other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def run_selfcheck(
    settings: EarthEngineSettings,
    experiments: Sequence[Experiment] = EXPERIMENTS,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> SelfcheckReport:
    """Ask every question once; one that is refused counts as a differing answer.

    Args:
        settings: Access and endpoint.
        experiments: The questions.
        on_outcome: Takes each outcome as it comes.

    Raises:
        AccessError: Earth Engine cannot be used.
        EarthEngineError: The service did not answer, also after retries.
    """
    session = connect(settings)
    before = session.meter.spent
    outcomes = []
    for experiment in experiments:
        outcomes.append(_outcome(session, experiment))
        if on_outcome:
            on_outcome(outcomes[-1])
    session.meter.settle(session)
    return SelfcheckReport(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        url=settings.url or ee.data.DEFAULT_CLOUD_API_BASE_URL,
        client=version("earthengine-api"),
        outcomes=tuple(outcomes),
        spent=session.meter.spent - before,
    )


def replay(record: Mapping[str, Any], session: Session) -> list[Outcome]:
    """Ask the questions of a record again; what the recorded server answered is now the expected answer.

    Args:
        record: What `SelfcheckReport.to_dict` gave, for example read from the file of `cropmap ee selfcheck
            --out`.
        session: Any server; the project's test double, to compare it with a record of Earth Engine.
    """
    return [
        Outcome(
            id=former["id"],
            question=former["question"],
            read=former["read"],
            expression=former["expression"],
            expected=former["answer"],
            grid=former["grid"],
            answer=_answer(
                session,
                former["read"],
                ee.deserializer.decodeCloudApi(former["expression"]),
                GeoBox(former["grid"]["shape"], Affine(*former["grid"]["transform"]), former["grid"]["crs"]),
            ),
        )
        for former in record["outcomes"]
    ]


def _outcome(session: Session, experiment: Experiment) -> Outcome:
    expression = experiment.build()
    return Outcome(
        id=experiment.id,
        question=experiment.question,
        read=experiment.read,
        expression=ee.serializer.encode(expression, for_cloud_api=True),
        grid=_grid(experiment.place),
        expected=experiment.expected,
        answer=_answer(session, experiment.read, expression, experiment.place),
    )


def _grid(geobox: GeoBox) -> dict[str, Any]:
    return {
        "crs": name_crs(geobox.crs),
        "shape": list(geobox.shape),
        "transform": list(geobox.transform)[:6],
    }


def _answer(session: Session, read: str, expression: Any, place: GeoBox) -> Any:
    """The answer, or the server's own words where it does not compute that."""
    try:
        return persistently(
            lambda: READERS[read](session, expression, place), sleep=time.sleep, random=Random()
        )
    except Fault as fault:
        if fault.kind is FaultKind.ACCESS:
            raise access_error(fault, session.project) from fault
        if fault.temporary:
            raise request_error(fault) from fault
        return {"refused": fault.message}


def _value(session: Session, expression: Any, place: GeoBox) -> Any:
    return session.value(expression)


def _pixels(session: Session, image: Any, place: GeoBox) -> dict[str, Any]:
    """Values by band, as rows."""
    table = _read_npy(session.pixels(image, place, file_format="NPY"))
    return {name: table[name].tolist() for name in table.dtype.names}


def _npy(session: Session, image: Any, place: GeoBox) -> dict[str, Any]:
    """The form of an answer with many bands."""
    answer = session.pixels(image, place, file_format="NPY")
    table = _read_npy(answer)
    names = table.dtype.names
    return {
        "bands": len(names),
        "first": names[0],
        "last": names[-1],
        "type": str(table.dtype[0]),
        "long": len(answer) - table.nbytes > NUMPY_HEADER,
    }


def _geotiff(session: Session, image: Any, place: GeoBox) -> dict[str, Any]:
    """The form of an answer as GeoTIFF, and the values of its first pixel."""
    with MemoryFile(session.pixels(image, place)) as memory, memory.open() as file:
        return {
            "bands": list(file.descriptions),
            "types": list(file.dtypes),
            **_grid(GeoBox(file.shape, file.transform, file.crs)),
            "values": file.read()[:, 0, 0].tolist(),
        }


def _refusal(session: Session, image: Any, place: GeoBox) -> str:
    """How cropmap understands the server's words."""
    try:
        answer = session.pixels(image, place)
    except Fault as fault:
        if fault.temporary or fault.kind is FaultKind.ACCESS:
            raise
        return fault.kind.value
    return f"{len(answer)} bytes"


def _missing(session: Session, image: Any, place: GeoBox) -> str:
    """Which asset cropmap understands to be missing, or the server's words."""
    try:
        answer = session.pixels(image, place)
    except Fault as fault:
        if fault.temporary or fault.kind is FaultKind.ACCESS:
            raise
        return missing_asset(fault.message) or fault.message
    return f"{len(answer)} bytes"


def _profile(session: Session, expression: Any, place: GeoBox) -> dict[str, Any]:
    """The form of the profile of an expression; its numbers differ from time to time."""
    profiles: list[str] = []
    try:
        # the session would keep the ids to itself
        with client_state.in_place(session.state), ee.data.profiling(profiles.append):
            ee.data.computeValue(expression)
    except FAILURES as error:
        raise fault_of(error) from error
    if not profiles:
        return {"columns": [], "readable": False}
    table = session.value(ee.ApiFunction.lookup("Profile.getProfiles").call(ids=profiles), profiled=False)
    return {
        "columns": str(table).strip("\n").split("\n")[0].split(),
        "readable": eecu_seconds(table) is not None,
    }


READERS: Final[Mapping[str, Callable[[Session, Any, GeoBox], Any]]] = {
    "value": _value,
    "pixels": _pixels,
    "npy": _npy,
    "geotiff": _geotiff,
    "refusal": _refusal,
    "missing": _missing,
    "profile": _profile,
}
"""How an expression is asked for and what of the answer counts."""


def _read_npy(answer: bytes) -> Any:
    """A structured array `(y, x)` with one field a band."""
    return np.load(io.BytesIO(answer), max_header_size=10**6)
