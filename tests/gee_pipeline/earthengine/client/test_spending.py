"""What was spent: counts, and the computing time that Earth Engine's profiles tell."""

import threading
from typing import Any

import ee
import pytest

from gee_pipeline.earthengine.client import spending
from gee_pipeline.earthengine.client.faults import Fault, FaultKind
from gee_pipeline.earthengine.client.limiter import Limiter
from gee_pipeline.earthengine.client.spending import Meter, eecu_seconds
from gee_pipeline.source import Spent

pytestmark = pytest.mark.usefixtures("offline_client")

PUBLISHED = """\
 EECU·s PeakMem Count  Description
  0.280     59k     6  Algorithm Image.reduceRegions
  0.250    571k    86  Loading assets: projects/google/charts_feature_example
  0.200    385k   951  (plumbing)
  0.141    211k   252  Loading assets: OREGONSTATE/PRISM/Norm91m/(...)
  0.044    1.0M    86  no description available
  0.006     352    72  Reprojecting pixels from GEOGCS["GCS_North_American_1983",DATUM["NAD83"
"""
"""As the documentation of geetools prints it."""


def test_the_first_column_of_a_profile_is_added_up() -> None:
    assert eecu_seconds(PUBLISHED) == pytest.approx(0.280 + 0.250 + 0.200 + 0.141 + 0.044 + 0.006)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        ("1,234.500    59k     6  Algorithm A\n", 1234.5),
        ("      -    59k     6  Algorithm A\n  0.5  1k  2  B\n", 0.5),  # nothing worth telling
        ("    12    59k   1.2k  Algorithm A\n", 12.0),
        ("  0.5  1k  2  Reprojecting from GEOGCS[\n   AXIS, 3 more of 4\n  0.25 1k 1 B\n", 0.75),
    ],
)
def test_other_forms_of_a_row(rows, seconds) -> None:
    assert eecu_seconds(" EECU·s PeakMem Count  Description\n" + rows) == seconds


@pytest.mark.parametrize(
    "table",
    [
        None,
        42,
        "",
        "no profile",
        {"error": "x"},
        " EECU·s PeakMem Count  Description\n",
        PUBLISHED.replace("EECU·s", "CPU·s"),
    ],
)
def test_what_is_no_profile_is_not_read(table) -> None:
    assert eecu_seconds(table) is None


class Profiles:
    """A session that knows what each profile cost."""

    def __init__(self, costs: dict[str, float], *faults: Fault | None) -> None:
        self.costs = costs
        self.faults = list(faults)
        self.asked: list[list[str]] = []
        self.limiter = Limiter(8)
        self.under_way: list[int] = []

    def value(self, expression: Any, *, profiled: bool = True) -> str:
        assert not profiled, "reading profiles must not make more of them"
        self.under_way.append(self.limiter.under_way)
        graph = ee.serializer.encode(expression, for_cloud_api=True)
        call = graph["values"][graph["result"]]["functionInvocationValue"]
        assert call["functionName"] == "Profile.getProfiles"
        ids = call["arguments"]["ids"]["constantValue"]
        self.asked.append(ids)
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        if missing := [name for name in ids if name not in self.costs]:
            raise Fault(FaultKind.NEVER, f"Profile not found: {missing[0]}", 404)
        rows = "".join(f"  {self.costs[name]:.3f}     59k     6  Algorithm {name}\n" for name in ids)
        return " EECU·s PeakMem Count  Description\n" + rows


def counted(*ids: str) -> Meter:
    meter = Meter()
    for name in ids:
        meter.count(100, [name])
    return meter


def test_requests_are_counted_at_once_and_computing_time_when_settled() -> None:
    meter = counted("a", "b")
    meter.count(7, computed=False)  # refused before anything was computed
    meter.count(0)  # no profile came: what it cost is not known
    assert meter.spent == Spent(requests=4, bytes=207, unmeasured=1)
    meter.settle(Profiles({"a": 0.25, "b": 1.5}))
    assert meter.spent == Spent(requests=4, bytes=207, eecu_seconds=1.75, unmeasured=1)
    assert meter.pending == 0


def test_a_profile_is_read_once() -> None:
    meter, profiles = counted("a"), Profiles({"a": 0.25, "b": 1.0})
    meter.settle(profiles)
    meter.count(0, ["b"])
    meter.settle(profiles)
    meter.settle(profiles)
    assert profiles.asked == [["a"], ["b"]]
    assert meter.spent.eecu_seconds == 1.25


def test_many_profiles_are_read_in_batches() -> None:
    costs = {f"p{number}": 0.125 for number in range(250)}
    meter, profiles = counted(*costs), Profiles(costs)
    meter.settle(profiles)
    assert [len(ids) for ids in profiles.asked] == [100, 100, 50]
    assert meter.spent.eecu_seconds == 250 * 0.125


def test_a_profile_that_is_gone_does_not_cost_the_others() -> None:
    meter = counted("a", "gone", "b")
    meter.settle(Profiles({"a": 0.25, "b": 1.5}))
    assert meter.spent == Spent(requests=3, bytes=300, eecu_seconds=1.75, unmeasured=1)


@pytest.mark.parametrize("kind", [FaultKind.LATER, FaultKind.TOO_MANY])
def test_a_profile_that_cannot_be_read_now_is_read_later(kind) -> None:
    meter, profiles = counted("a"), Profiles({"a": 0.25}, Fault(kind, "later"), Fault(kind, "later"))
    for _ in range(3):
        meter.settle(profiles)
    assert meter.spent == Spent(requests=1, bytes=100, eecu_seconds=0.25)


def test_profiles_that_can_never_be_read_are_unmeasured_and_no_error() -> None:
    meter = counted("a", "b")
    profiles = Profiles({}, *[Fault(FaultKind.LATER, "later")] * 3)
    for _ in range(4):
        meter.settle(profiles)
    assert meter.spent == Spent(requests=2, bytes=200, unmeasured=2)
    assert len(profiles.asked) == 3, "and are not asked for again"


def test_profiles_are_asked_for_under_the_limit_of_the_job() -> None:
    profiles = Profiles({"a": 0.25}, Fault(FaultKind.TOO_MANY, "too many"))
    counted("a").settle(profiles)
    assert profiles.under_way == [1]
    assert profiles.limiter.limit == 4


def test_profiles_of_a_server_that_lets_nobody_in_are_not_asked_for_one_by_one() -> None:
    meter, profiles = counted("a", "b", "c"), Profiles({}, Fault(FaultKind.ACCESS, "no", 403))
    meter.settle(profiles)
    assert len(profiles.asked) == 1
    assert meter.spent == Spent(requests=3, bytes=300, unmeasured=3)


def test_an_answer_that_is_no_profile_is_unmeasured() -> None:
    class Odd(Profiles):
        def value(self, expression: Any, *, profiled: bool = True) -> str:
            return "EECU table in a form of tomorrow"

    meter = counted("a")
    meter.settle(Odd({}))
    assert meter.spent == Spent(requests=1, bytes=100, unmeasured=1)


def test_threads_count_and_settle_at_once() -> None:
    costs = {f"{thread}-{number}": 0.5 for thread in range(8) for number in range(50)}
    meter, profiles = Meter(), Profiles(costs)

    def work(thread: int) -> None:
        for number in range(50):
            meter.count(1, [f"{thread}-{number}"])
            if number % 10 == 0:
                meter.settle(profiles)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.settle(profiles)
    assert meter.spent == Spent(requests=400, bytes=400, eecu_seconds=200.0)
    assert sorted(name for ids in profiles.asked for name in ids) == sorted(costs)


def test_spending_is_the_one_of_the_sources() -> None:
    assert spending.Spent is Spent
