import numpy as np
import pytest

from gee_pipeline.errors import CorruptFileError, InputError
from gee_pipeline.recipe import Recipe
from training.samples.class_legend import ClassLegend, LegendClass
from training.samples.samples import Samples, read_samples

LABELS = np.array([0, 1, 2, 3, 4, 5, 6, 0, 1, 6])


def arrays(**changes):
    """Ten rows, one or two of each label; every second bin observed."""
    rng = np.random.default_rng(1)
    values = {
        "fea": rng.integers(200, 6000, (10, 10, 73)).astype(np.int16),
        "lbl": LABELS.copy(),
        "observed": np.tile(np.arange(73) % 2 == 0, (10, 1)),
        "lon": np.linspace(-91, -90, 10),
        "lat": np.linspace(35, 36, 10),
    } | changes
    return {key: value for key, value in values.items() if value is not None}


@pytest.fixture
def write(tmp_path):
    def _write(name="samples.npz", **changes):
        np.savez(tmp_path / name, **arrays(**changes))
        return tmp_path / name

    return _write


def test_bins_that_were_interpolated_become_gaps_again(write):
    samples = read_samples([write()])
    given = arrays()["fea"]
    assert samples.series.dtype == np.int16
    np.testing.assert_array_equal(samples.series[:, :, 1::2], -9999)
    np.testing.assert_array_equal(samples.series[:, :, ::2], given[:, :, ::2])


def test_without_observed_every_value_counts(write):
    samples = read_samples([write(observed=None)])
    np.testing.assert_array_equal(samples.series, arrays()["fea"])


def test_an_observation_that_lacks_one_band_is_absent(write):
    fea = arrays()["fea"]
    fea[4, 6, 30] = -9999
    samples = read_samples([write(fea=fea, observed=None)])
    assert (samples.series[4, :, 30] == -9999).all()
    assert (samples.series[4, :, 31] != -9999).all()


def test_fractions_are_rounded_with_halves_up(write):
    fea = arrays()["fea"].astype(np.float64)
    fea[0, 0, :3] = [100.5, 101.5, 102.4]
    samples = read_samples([write(fea=fea, observed=None)])
    assert samples.series[0, 0, :3].tolist() == [101, 102, 102]


def test_unsigned_numbers_take_gaps_too(write):
    samples = read_samples([write(fea=arrays()["fea"].astype(np.uint16))])
    np.testing.assert_array_equal(samples.series[:, :, 1::2], -9999)
    np.testing.assert_array_equal(samples.series[:, :, ::2], arrays()["fea"][:, :, ::2])


def test_files_without_a_usable_sample_are_refused(write):
    with pytest.raises(InputError, match="None of the 10 samples has 8 or more observed bins"):
        read_samples([write(observed=np.zeros((10, 73), bool))])


def test_classes_keep_the_order_asked_for_and_the_rest_becomes_other(write):
    samples = read_samples([write()], ["rice", "corn", "other"])
    assert samples.class_names == ("rice", "corn", "other")
    assert samples.labels.tolist() == [1, 2, 0, 2, 2, 2, 2, 1, 2, 2]
    assert samples.counts == {"rice": 1, "corn": 2, "other": 7}


def test_without_other_the_rest_is_left_out(write):
    samples = read_samples([write()], ["soybeans", "corn"])
    assert samples.labels.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(samples.lon, np.linspace(-91, -90, 10)[[0, 1, 7, 8]])


def test_without_choice_all_classes_that_occur_are_taken(write):
    samples = read_samples([write(lbl=np.array([5, 5, 0, 0, 6, 6, 5, 0, 6, 5]))])
    assert samples.class_names == ("corn", "cotton", "other")
    assert samples.labels.tolist() == [1, 1, 0, 0, 2, 2, 1, 0, 2, 1]


def test_duplicate_series_are_dropped_and_counted(write):
    fea = arrays()["fea"]
    fea[7] = fea[0]
    fea[9] = fea[0]
    samples = read_samples([write(fea=fea)])
    assert samples.duplicates_dropped == 2
    assert samples.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 1]


def test_duplicates_across_files_are_dropped(write):
    samples = read_samples([write("a.npz"), write("b.npz")])
    assert (len(samples), samples.duplicates_dropped) == (10, 10)
    assert samples.source == "Samples of a.npz, b.npz."


def test_series_with_too_few_observations_in_the_window_are_dropped(write):
    observed = arrays()["observed"]
    observed[0] = False
    observed[0, :24] = observed[0, 67:] = True  # 30 observations, none in the window
    observed[1] = False
    observed[1, 24:32] = True  # as many as the recipe asks for
    samples = read_samples([write(observed=observed)])
    assert samples.sparse_dropped == 1
    assert samples.labels.tolist() == [1, 2, 3, 4, 5, 6, 0, 1, 6]


def test_places_are_known_only_where_all_files_have_them(write):
    shifted = arrays()["fea"] + 1
    samples = read_samples([write("a.npz"), write("b.npz", fea=shifted, lon=None, lat=None)])
    assert len(samples) == 20
    assert samples.lon is None
    assert samples.lat is None


def with_value(key, index, value, dtype=None):
    changed = arrays()[key].astype(dtype or arrays()[key].dtype)
    changed[index] = value
    return {key: changed}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fea": None}, "lacks the key fea"),
        ({"lbl": None}, "lacks the key lbl; it has fea, lat, lon, observed"),
        ({"lat": None}, "lacks the key lat"),
        ({"fea": np.ones((10, 9, 73), np.int16)}, r"key fea must have the shape \(samples, 10, 73\)"),
        ({"fea": np.ones((10, 10, 42), np.int16)}, r"\(samples, 10, 73\) or \(samples, 10, 43\)"),
        ({"fea": np.full((10, 10, 73), "x")}, "key fea must hold numbers"),
        ({"lbl": LABELS[:9]}, "key lbl must have one value for each of the 10 rows"),
        (with_value("fea", (3, 2, 1), np.nan, np.float32), r"key fea .*row 3 has nan \(1 of 10 rows"),
        (with_value("fea", (5, 2, 1), np.inf, np.float32), "key fea .*row 5 has inf"),
        (with_value("fea", (6, 0, 0), 40_000, np.int32), "key fea .*row 6 has 40000"),
        (with_value("fea", (2, 0, 0), -12_000), "key fea .*row 2 has -12000"),
        ({"fea": np.random.default_rng(0).random((10, 10, 73))}, "x 10,000.*reflectance 0 to 1"),
        (with_value("lbl", 4, 7), "key lbl .*0 corn.*row 4 has 7"),
        (with_value("lbl", 8, -1), "key lbl .*row 8 has -1"),
        (with_value("lbl", 1, 0.5, np.float64), "key lbl .*row 1 has 0.5"),
        ({"observed": np.ones((10, 43), bool)}, "key observed"),
        (with_value("lon", 2, 200.0), "key lon .*row 2 has 200"),
        (with_value("lat", 9, np.nan), "key lat .*row 9 has nan"),
    ],
)
def test_a_fault_is_named_with_its_key_and_row(write, changes, message):
    with pytest.raises(InputError, match=rf"samples\.npz.*{message}"):
        read_samples([write(**changes)])


@pytest.mark.parametrize("classes", [["corn"], ["corn", "corn"], ["corn", "potatoes"]])
def test_classes_outside_the_legend_are_refused(write, classes):
    with pytest.raises(InputError, match=r"two or more different names out of corn, soybeans"):
        read_samples([write()], classes)


def test_a_class_without_samples_is_refused(write):
    lbl = np.where(LABELS == 2, 0, LABELS)
    with pytest.raises(InputError, match=r"there are none of rice; the files hold 3 corn.*--classes"):
        read_samples([write(lbl=lbl)], ["rice", "corn"])


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_truncated_file_is_corrupt(write, share):
    path = write()
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CorruptFileError, match="not a whole npz"):
        read_samples([path])


def test_a_damaged_array_is_corrupt(tmp_path):
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="not a whole npz"):
        read_samples([path])


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, **arrays(lbl=np.array([{}] * 10, dtype=object)))
    with pytest.raises(CorruptFileError, match="not a whole npz file of number arrays"):
        read_samples([path])


def test_other_kinds_of_file_are_corrupt(tmp_path):
    (tmp_path / "text.npz").write_text("lon,lat\n1,2\n")
    np.save(tmp_path / "single.npy", LABELS)
    for name in ("text.npz", "single.npy"):
        with pytest.raises(CorruptFileError, match=name):
            read_samples([tmp_path / name])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.npz do not exist"):
        read_samples([tmp_path / "nowhere.npz"])


def test_samples_must_fit_together(made_samples):
    good = made_samples()
    with pytest.raises(InputError, match=r"one label"):
        Samples(good.series, good.labels[:5], good.class_names)
    with pytest.raises(InputError, match=r"indices into the 2 class names"):
        Samples(good.series, good.labels, ("corn", "rice"))


def test_the_real_pixels_are_read_as_their_source_describes_them(arkansas):
    samples = read_samples([arkansas], ["corn", "soybeans", "rice", "cotton", "other"])
    assert samples.counts == {"corn": 760, "soybeans": 2340, "rice": 1210, "cotton": 380, "other": 310}
    with np.load(arkansas) as raw:
        np.testing.assert_array_equal(samples.observed, raw["observed"])
        seen = np.broadcast_to(raw["observed"][:, None, :], raw["fea"].shape)
        np.testing.assert_array_equal(samples.series[seen], raw["fea"][seen])
    assert samples.observed[:, Recipe().window].sum(axis=1).min() >= 8


def test_groups_and_countries_are_read_where_all_files_have_them(write):
    groups = np.array([f"farm {i // 2}" for i in range(10)])
    named = write("a.npz", group=groups, country=np.array(["FR"] * 10), farm=np.arange(10) * 1.0)
    samples = read_samples([named])
    assert samples.groups.tolist() == groups.tolist()
    assert samples.country.tolist() == ["FR"] * 10
    assert read_samples([named], group_column="farm").groups.tolist() == [str(i) for i in range(10)]
    joined = read_samples([named, write("b.npz", fea=arrays()["fea"] + 1)])
    assert (joined.groups, joined.country) == (None, None)
    assert samples.take(np.array([3, 0])).groups.tolist() == ["farm 1", "farm 0"]


def test_a_group_that_is_asked_for_must_be_there(write):
    with pytest.raises(InputError, match="lacks the key farm"):
        read_samples([write()], group_column="farm")
    with pytest.raises(InputError, match=r"key group must name a group for each sample; row 4"):
        read_samples([write(group=np.array(["a"] * 4 + [""] + ["b"] * 5))])


FRUIT = ClassLegend(
    (
        LegendClass("Orchard", "#00a884", (69, 75)),
        LegendClass("Rice", "#00a8e2", (3,)),
        LegendClass("Melon", "#ff8888", (50,)),
    ),
    leave_out=(0,),
    unlisted="leave out",
    label_column="cdl",
    source="A survey.",
)


def test_labels_of_another_key_are_read_by_a_legend(write):
    cdl = np.array([75, 3, 50, 69, 36, 0, 3, 75, 50, 1], np.uint8)
    samples = read_samples([write(cdl=cdl)], legend=FRUIT)
    assert samples.class_names == ("Orchard", "Rice", "Melon")
    assert samples.colors == ("#00a884", "#00a8e2", "#ff8888")
    assert samples.labels.tolist() == [0, 1, 2, 0, 1, 0, 2]
    assert samples.left_out == 3
    assert samples.source == "A survey. Samples of samples.npz."
    chosen = read_samples([write(cdl=cdl)], ["rice", "orchard"], legend=FRUIT)
    assert (chosen.class_names, chosen.colors) == (("Rice", "Orchard"), ("#00a8e2", "#00a884"))
    assert (len(chosen), chosen.left_out) == (5, 5)


def test_each_class_of_a_legend_needs_samples_so_that_codes_stay(write):
    cdl = np.array([75, 3, 69, 69, 36, 0, 3, 75, 3, 1], np.uint8)
    with pytest.raises(InputError, match=r"none of Melon; the files hold 4 Orchard, 3 Rice.*--classes"):
        read_samples([write(cdl=cdl)], legend=FRUIT)


def test_names_may_stand_for_labels(write):
    lbl = np.array(["corn", "Rice"] * 5)
    assert read_samples([write(lbl=lbl)]).class_names == ("corn", "rice")
    with pytest.raises(InputError, match=r"key lbl .*row 3 has hops"):
        read_samples([write(lbl=np.where(np.arange(10) == 3, "hops", lbl))])


def test_real_fields_are_read_by_a_legend_of_their_own(california):
    legend = ClassLegend(
        (
            LegendClass("rice", "#00a8e2", (3,)),
            LegendClass("alfalfa", "#ffa5e2", (36,)),
            LegendClass("trees and vines", "#00a884", (69, 75, 77, 204)),
        ),
        unlisted="leave out",
        label_column="cdl",
    )
    samples = read_samples([california], legend=legend)
    with np.load(california) as raw:
        known = raw["cdl"][np.isin(raw["cdl"], (3, 36, 69, 75, 77, 204))]
        expected = [int((known == 3).sum()), int((known == 36).sum()), int((known > 36).sum())]
    assert samples.sparse_dropped == samples.duplicates_dropped == 0
    assert list(samples.counts.values()) == expected
    assert samples.left_out == 5_720 - len(known)
