"""Files of CropGlobe: which kind they are, and the features that are no series."""

from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.recipe import Recipe
from training.fit.options import SplitRule
from training.fit.split import split_samples
from training.samples.feature_table import read_features
from training.samples.packaging import Kind, country_of, kind_of
from training.samples.samples import read_samples

LABELS = np.array([0, 2, 0, 2, 6, 6, 0, 2])


def write(folder, name, shape, seed=0, **arrays):
    rng = np.random.default_rng(seed)
    series = len(shape) == 2
    fea = rng.integers(200, 3000, (8, *shape)).astype(np.int16) if series else rng.normal(size=(8, *shape))
    np.savez(folder / name, **{"fea": fea, "lbl": LABELS} | arrays)
    return folder / name


@pytest.mark.parametrize(
    ("name", "shape", "kind", "country"),
    [
        ("median_S2_FRA_month1-12_day5.npz", (9, 10, 73), Kind.SEASON, "FRA"),
        ("median_S2_ARG_month5-11_day5.npz", (9, 10, 43), Kind.WINDOW, "ARG"),
        ("harmonic_CHN_month5-11.npz", (9, 35), Kind.HARMONIC, "CHN"),
        ("presto_embedding_S2_GBR.npz", (9, 128), Kind.PRESTO, "GBR"),
        ("alphaearth_embedding_USA.npz", (9, 64), Kind.ALPHAEARTH, "USA"),
        ("presto_embedding_S2_GBR.npz", (9, 64), Kind.PRESTO, "GBR"),  # the name decides
        ("mine.npz", (9, 10, 73), Kind.SEASON, None),
        ("mine.npz", (9, 10, 43), Kind.WINDOW, None),
        ("mine.npz", (9, 35), Kind.HARMONIC, None),
        ("mine.npz", (9, 64), Kind.ALPHAEARTH, None),
        ("mine.npz", (9, 128), Kind.PRESTO, None),
    ],
)
def test_kinds_are_recognised_by_name_and_shape(name, shape, kind, country):
    assert kind_of(Path(name), shape, Recipe()) is kind
    assert country_of(Path(name)) == country


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("median_S2_FRA_month1-12_day5.npz", (9, 10, 43), r"median month1-12.*got \(9, 10, 43\)"),
        ("harmonic_FRA_month5-11.npz", (9, 43), r"\(samples, 35\).*harmonic"),
        ("mine.npz", (9, 10, 36), r"\(samples, 10, 73\) or \(samples, 10, 43\)"),
        ("mine.npz", (9,), "must have the shape"),
    ],
)
def test_other_shapes_are_refused(name, shape, message):
    with pytest.raises(InputError, match=message):
        kind_of(Path(name), shape, Recipe())


def test_series_of_the_window_become_seasons_with_gaps_around(tmp_path):
    path = write(tmp_path, "median_S2_ARG_month5-11_day5.npz", (10, 43))
    samples = read_samples([path])
    with np.load(path) as raw:
        np.testing.assert_array_equal(samples.series[:, :, 24:67], raw["fea"])
    assert (samples.series[:, :, :24] == -9999).all()
    assert (samples.series[:, :, 67:] == -9999).all()
    assert samples.country.tolist() == ["ARG"] * 8


def test_both_kinds_of_series_are_joined(tmp_path):
    paths = [write(tmp_path, "median_S2_FRA_month1-12_day5.npz", (10, 73))]
    paths.append(write(tmp_path, "median_S2_BEL_month5-11_day5.npz", (10, 43), seed=1))
    samples = read_samples(paths)
    assert len(samples) == 16
    assert samples.country.tolist() == ["FRA"] * 8 + ["BEL"] * 8


def test_features_are_no_series_and_series_no_features(tmp_path):
    with pytest.raises(InputError, match="harmonic features, of which no series can be made"):
        read_samples([write(tmp_path, "harmonic_FRA_month5-11.npz", (35,))])
    with pytest.raises(InputError, match="holds series"):
        read_features([write(tmp_path, "median_S2_FRA_month1-12_day5.npz", (10, 73))])


def test_features_are_read_as_they_are(tmp_path):
    places = {"lon": np.arange(8.0), "lat": np.arange(8.0), "group": np.array(list("aabbccdd"))}
    path = write(tmp_path, "alphaearth_embedding_FRA.npz", (64,), **places)
    table = read_features([path], ["rice", "corn"])
    kept = LABELS != 6
    with np.load(path) as raw:
        np.testing.assert_array_equal(table.values, raw["fea"][kept].astype(np.float32))
    assert table.values.dtype == np.float32
    assert table.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert (table.class_names, table.kind) == (("rice", "corn"), Kind.ALPHAEARTH)
    assert table.lon.tolist() == [0, 1, 2, 3, 6, 7]
    assert table.groups.tolist() == list("aabbdd")
    assert table.country.tolist() == ["FRA"] * 6
    assert read_features([path]).class_names == ("corn", "rice", "other")


def test_files_of_features_are_joined_without_duplicates(tmp_path):
    paths = [write(tmp_path, f"harmonic_{c}_month5-11.npz", (35,), s) for c, s in (("FRA", 1), ("BEL", 1))]
    table = read_features(paths)
    assert (len(table), table.duplicates_dropped) == (8, 8)
    assert table.country.tolist() == ["FRA"] * 8
    assert table.lon is None


def test_features_are_split_like_series(tmp_path):
    path = write(tmp_path, "harmonic_FRA_month5-11.npz", (35,), group=np.arange(8))
    table = read_features([path], ["corn", "rice"])
    split = split_samples(table, SplitRule(rule="column", share=0.4))
    assert sorted([*split.training, *split.validation]) == list(range(6))


def test_faults_of_feature_files_are_named(tmp_path):
    fea = np.zeros((8, 35))
    fea[5, 2] = np.nan
    with pytest.raises(InputError, match=r"a\.npz: key fea must hold finite.*row 5"):
        read_features([write(tmp_path, "a.npz", (35,), fea=fea)])
    with pytest.raises(InputError, match=r"b\.npz: key lbl .*row 0 has 9"):
        read_features([write(tmp_path, "b.npz", (35,), lbl=np.full(8, 9))])
    with pytest.raises(MismatchError, match=r"c\.npz holds 35 harmonic.*d\.npz 64 alphaearth"):
        read_features([write(tmp_path, "c.npz", (35,)), write(tmp_path, "d.npz", (64,))])
    path = write(tmp_path, "e.npz", (35,))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CorruptFileError, match=r"e\.npz is not a whole npz"):
        read_features([path])
    with pytest.raises(InputError, match="at least one file"):
        read_features([])
