import warnings
from pathlib import Path

import numpy as np
import pytest

from gee_pipeline.errors import CorruptFileError, InputError
from tests.support.transfer_place import (
    CORN,
    COTTON,
    OTHER,
    RICE,
    SOYBEANS,
    WHEAT,
    write_region,
    write_regions,
)
from training.samples.samples import Samples
from training.transfer.material import coarser, load, parts_of
from training.transfer.protocol import FILE, MoveRanges, Protocol


def protocol(folder, **given):
    return Protocol(data=folder, **{"source": "USA", "targets": ("FRA",), "seeds": 1, **given})


def test_files_may_lie_in_the_folder_of_the_published_dataset(tmp_path):
    write_regions(tmp_path / "for_CropNet")
    material = load(protocol(tmp_path, targets=("FRA", "CHN")))
    assert material.source.class_names == ("corn", "soybeans", "rice", "cotton", "other")
    assert material.targets["CHN"].counts == {"rice": 14, "other": 18}
    assert material.alignments["FRA"].left_out == ("wheat",)


def test_a_missing_region_is_named_with_its_file_and_those_there(tmp_path):
    write_regions(tmp_path)
    with pytest.raises(InputError, match=r"median_S2_NLD_month1-12_day5\.npz") as error:
        load(protocol(tmp_path, targets=("NLD",)))
    assert "CHN, FRA, USA" in str(error.value)


def test_a_class_with_one_sample_in_the_source_is_named(tmp_path):
    write_regions(tmp_path)
    write_region(tmp_path, "USA", {CORN: 30, RICE: 30, COTTON: 1})
    with pytest.raises(InputError, match="cotton has one"):
        load(protocol(tmp_path))


def test_a_class_with_one_sample_in_a_target_is_named(tmp_path):
    write_regions(tmp_path)
    write_region(tmp_path, "FRA", {CORN: 5, RICE: 1, OTHER: 5}, seed=4)
    with pytest.raises(InputError, match=r"rice has one in FRA.*--target-classes FRA=corn,other"):
        load(protocol(tmp_path))


def test_a_truncated_file_is_named(tmp_path):
    write_regions(tmp_path)
    path = tmp_path / "median_S2_FRA_month1-12_day5.npz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CorruptFileError, match="FRA"):
        load(protocol(tmp_path))


def test_no_common_classes_are_refused(tmp_path):
    write_region(tmp_path, "USA", {CORN: 30, RICE: 30})
    write_region(tmp_path, "FRA", {SOYBEANS: 5, WHEAT: 5}, seed=1)
    with pytest.raises(InputError, match="share"):
        load(protocol(tmp_path))


def test_the_parts_of_the_source_share_no_block(tmp_path):
    material = load(protocol(write_regions(tmp_path), in_region=True))
    parts = parts_of(material.source, protocol(tmp_path), 1, in_region=True)
    blocks = [
        {*zip(np.floor(s.lon * 2).tolist(), np.floor(s.lat * 2).tolist(), strict=True)}
        for s in (parts.training, parts.validation, parts.test)
    ]
    assert len(parts.training) + len(parts.validation) + len(parts.test) == 120
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == 16


def test_a_source_without_places_is_split_at_random_and_called_optimistic(tmp_path):
    write_regions(tmp_path)
    write_region(tmp_path, "USA", {CORN: 30, RICE: 30, OTHER: 30}, places=False)
    material = load(protocol(tmp_path))
    parts = parts_of(material.source, protocol(tmp_path), 1, in_region=False)
    assert "optimistic" in parts.split


def test_seeds_hold_out_other_places(tmp_path):
    material = load(protocol(write_regions(tmp_path)))
    first, second = (
        parts_of(material.source, protocol(tmp_path), s, in_region=False).validation for s in (1, 2)
    )
    assert {*first.lon.tolist()} != {*second.lon.tolist()}


@pytest.mark.parametrize("days", [10, 15, 30])
def test_longer_bins_hold_the_median_of_the_observed_ones(tmp_path, days):
    samples = load(protocol(write_regions(tmp_path))).source
    found = coarser(samples, protocol(tmp_path, bin_days=days).recipe)
    factor, bins = days // 5, 365 // days
    assert found.series.shape == (120, 10, bins)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns of bins without any observation
        for start in range(bins):
            part = samples.series[:, :, start * factor : (start + 1) * factor].astype(float)
            expected = np.floor(np.nanmedian(np.where(part == -9999, np.nan, part), axis=2) + 0.5)
            np.testing.assert_array_equal(found.series[:, :, start], np.nan_to_num(expected, nan=-9999))


def test_a_longer_bin_without_observations_is_a_gap():
    series = np.full((1, 10, 73), 500, np.int16)
    series[:, :, 24:26] = -9999
    samples = Samples(series, np.array([0]), ("corn", "rice"))
    found = coarser(samples, Protocol(data=None, source="A", targets=("B",), bin_days=10).recipe)
    assert (found.series[0, :, 12] == -9999).all()
    assert (np.delete(found.series, 12, axis=2) == 500).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": ("cropnet", "svm")}, "one of cropnet, .*got cropnet, svm"),
        ({"models": ("rf", "rf")}, "each once"),
        ({"augmentations": ("mixup",)}, "augmentation is one of"),
        ({"targets": ()}, "--in-region"),
        ({"targets": ("USA",)}, "source and target"),
        ({"targets": ("FRA", "FRA")}, "each once"),
        ({"source": "../USA"}, "letters and digits"),
        ({"seeds": 0}, "--seeds"),
        ({"target_classes": {"CHN": ("rice", "other")}}, "--target-classes"),
        ({"target_classes": {"FRA": ("rice", "corn")}}, "other and one or more"),
        ({"preset": "huge"}, "compact, paper"),
        ({"epochs": 0}, "at least 1"),
        ({"bin_days": 7}, "multiple of 5"),
        ({"bin_days": "month", "min_clear_bins": 8}, "7 bins never has 8"),
        ({"share": 0.9}, "up to 0.5"),
        ({"moves": MoveRanges(warp_knots=7)}, "--augmentation paper"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_file_is_read(tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        protocol(tmp_path / "absent", **given)


USA = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "usa-2021"


def test_rice_of_california_is_tested_by_a_model_of_arkansas():
    if not (USA / FILE.format("CAL")).is_file():
        pytest.skip("The real samples are not next to this checkout (../shared/data/usa-2021).")
    asked = Protocol(
        data=USA,
        source="ARK",
        targets=("CAL",),
        classes=("corn", "soybeans", "rice", "cotton", "other"),
        target_classes={"CAL": ("rice", "other")},
        seeds=1,
    )
    material = load(asked)
    with np.load(USA / FILE.format("CAL")) as raw:
        labels = raw["lbl"]
    rice = np.array(material.targets["CAL"].class_names)[material.targets["CAL"].labels] == "rice"
    assert (rice.sum(), len(rice)) == ((labels == RICE).sum(), len(labels))
    assert material.source.class_names == asked.classes
    assert material.alignments["CAL"].names == ("rice", "other")
    assert material.alignments["CAL"].left_out == ()


def test_files_of_other_folders_of_the_dataset_are_found(tmp_path):
    write_regions(tmp_path / "Median")
    assert load(protocol(tmp_path, targets=("CHN",))).targets["CHN"].counts == {"rice": 14, "other": 18}


def test_a_file_that_lies_in_two_folders_is_named(tmp_path):
    write_regions(tmp_path / "for_CropNet")
    write_regions(tmp_path / "copy")
    with pytest.raises(InputError, match=r"lies in .*copy and .*for_CropNet"):
        load(protocol(tmp_path))


def test_labels_decide_what_is_told_apart_unless_a_rule_is_named(tmp_path):
    write_regions(tmp_path)
    write_region(tmp_path, "CHN", {CORN: 9, RICE: 14, OTHER: 18}, seed=5)
    by_labels = load(protocol(tmp_path, targets=("CHN",))).alignments["CHN"]
    assert (set(by_labels.names), by_labels.as_published) == ({"corn", "rice", "other"}, False)
    as_paper = load(protocol(tmp_path, targets=("CHN",), class_rules="paper")).alignments["CHN"]
    assert (set(as_paper.names), as_paper.as_published) == ({"rice", "other"}, True)


def test_files_of_reflectance_as_it_is_are_scaled(tmp_path):
    write_regions(tmp_path)
    plain = load(protocol(tmp_path)).source
    for path in tmp_path.glob("*.npz"):
        with np.load(path) as file:
            values = {name: file[name] for name in file}
        gaps = values["fea"] == -9999
        values["fea"] = np.where(gaps, -9999, values["fea"] / 10_000).astype(np.float32)
        np.savez(path, **values)
    scaled = load(protocol(tmp_path, scale=1.0)).source
    np.testing.assert_array_equal(scaled.series, plain.series)
