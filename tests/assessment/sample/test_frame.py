import numpy as np
import pytest

from assessment.sample.districts import NO_DISTRICTS, read_districts
from assessment.sample.drawing import draw
from assessment.sample.frame import Frame, count_codes, count_confidence, count_frame
from assessment.sample.map_file import AssessedMap, open_map
from assessment.sample.strata import Partition, parts_of
from gee_pipeline.errors import InputError
from tests.support.assessed_map import SHAPE, AssessedPlace

pytestmark = pytest.mark.usefixtures("small_windows")
CODES = (1, 2, 3, 254, 255)


@pytest.fixture
def assessed(place: AssessedPlace) -> AssessedMap:
    return open_map(place.folder)


def by_class(assessed: AssessedMap) -> Frame:
    return count_frame(assessed, Partition(parts_of(CODES), 1, "class"), NO_DISTRICTS)


def test_every_pixel_of_the_area_is_counted_mapped_or_not(
    place: AssessedPlace, assessed: AssessedMap
) -> None:
    frame = by_class(assessed)
    assert frame.pixels[:, 0].tolist() == [(place.codes == code).sum() for code in CODES]
    assert frame.pixels.sum() == (place.codes != 0).sum()
    assert frame.hectares.sum() == pytest.approx(0.01 * frame.pixels.sum(), rel=1e-3)
    assert count_codes(assessed)[list(CODES)].tolist() == frame.pixels[:, 0].tolist()
    assert count_codes(assessed)[0] == 0


def test_the_map_is_read_window_by_window(assessed: AssessedMap) -> None:
    windows = list(assessed.windows())
    assert len(windows) == 12
    assert max(window.width * window.height for window in windows) == 32 * 32
    covered = np.zeros(SHAPE, int)
    for window in windows:
        covered[window.toslices()] += 1
    assert (covered == 1).all()


def test_confidence_is_counted_by_class(place: AssessedPlace, assessed: AssessedMap) -> None:
    counts = count_confidence(assessed)
    wheat = place.confidence[place.codes == 1]
    assert counts[1].tolist() == np.bincount(wheat, minlength=256).tolist()
    assert counts[0].sum() == 0


def test_districts_are_counted_by_pixel_centre(place: AssessedPlace, assessed: AssessedMap, tmp_path) -> None:
    districts = read_districts(place.write_districts(tmp_path / "d.gpkg"), "name", assessed.crs)
    frame = count_frame(assessed, Partition(parts_of(CODES), 3, "class+district"), districts)
    district = np.zeros(SHAPE, int)
    district[:40, :100], district[40:, :100] = 1, 2
    expected = [[((place.codes == c) & (district == d)).sum() for d in range(3)] for c in CODES]
    assert districts.names == ("outside the districts", "North", "South")
    assert frame.pixels.tolist() == expected


@pytest.mark.parametrize("by", ["class", "confidence", "none"])
def test_units_lie_in_their_strata_and_no_pixel_is_drawn_twice(
    place: AssessedPlace, assessed: AssessedMap, by: str
) -> None:
    cuts = {code: [50, 70] for code in (1, 2, 3)} if by == "confidence" else {}
    partition = Partition(parts_of(CODES, cuts), 1, by)
    frame = count_frame(assessed, partition, NO_DISTRICTS)
    sizes = frame.by_stratum(frame.pixels)
    wanted = np.minimum(17, sizes).astype(int)
    units = draw(assessed, frame, NO_DISTRICTS, wanted, seed=1)
    assert np.bincount(units.stratum, minlength=len(sizes)).tolist() == wanted.tolist()
    assert len(set(zip(units.row, units.col, strict=True))) == wanted.sum()
    codes, sure = place.codes[units.row, units.col], place.confidence[units.row, units.col]
    for part, code, confidence in zip(units.part, codes, sure, strict=True):
        one = partition.parts[part]
        assert one.code == code
        assert one.low <= confidence <= one.high
    again = draw(assessed, frame, NO_DISTRICTS, wanted, seed=1)
    other = draw(assessed, frame, NO_DISTRICTS, wanted, seed=2)
    assert again.row.tolist() == units.row.tolist()
    assert other.row.tolist() != units.row.tolist()
    assert units.part.tolist() != sorted(units.part.tolist())  # the order says nothing


def test_every_pixel_has_the_probability_of_its_stratum(place: AssessedPlace, assessed: AssessedMap) -> None:
    frame = by_class(assessed)
    wanted = np.array([0, 0, 0, 0, 100])
    hits = np.zeros(SHAPE, int)
    for seed in range(25):
        units = draw(assessed, frame, NO_DISTRICTS, wanted, seed)
        hits[units.row, units.col] += 1
    there = place.codes == 255
    p = 100 / there.sum()
    assert hits[~there].sum() == 0
    # Each pixel is drawn 25 p times on average, with the spread of a binomial.
    assert hits[there].mean() == pytest.approx(25 * p)
    assert hits[there].var() == pytest.approx(25 * p * (1 - p), rel=0.25)


def test_only_windows_with_a_unit_are_read_again(
    assessed: AssessedMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = by_class(assessed)
    read = []
    labels = "assessment.sample.frame.Labeller.labels"
    from assessment.sample.frame import Labeller

    plain = Labeller.labels
    monkeypatch.setattr(labels, lambda self, window: read.append(window) or plain(self, window))
    draw(assessed, frame, NO_DISTRICTS, np.array([1, 0, 1, 0, 0]), seed=4)
    assert 1 <= len(read) <= 2


def test_strata_by_confidence_need_confidence(place: AssessedPlace) -> None:
    (place.folder / "map" / "confidence.tif").unlink()
    with pytest.raises(InputError, match=r"need confidence.tif beside"):
        count_confidence(open_map(place.folder))
