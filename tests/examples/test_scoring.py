"""Scores agree with scikit-learn."""

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from examples.scoring import class_names, score
from gee_pipeline.errors import InputError

NAMES = ("corn", "soybeans", "rice")


def write(path, values, left=0.0, top=0.0):
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8", "nodata": 0}
    place = {"crs": "EPSG:32615", "transform": Affine(10, 0, 700_000 + left, 0, -10, 3_900_000 + top)}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as file:
        file.write(values, 1)
    return path


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (40, 50), dtype=np.uint8)
    mapped = np.where(rng.random(truth.shape) < 0.7, np.maximum(truth, 1), rng.integers(1, 4, truth.shape))
    return truth, mapped.astype(np.uint8)


def test_accuracy_and_f1_are_those_of_scikit_learn(tmp_path, codes):
    truth, mapped = codes
    result = score(write(tmp_path / "m.tif", mapped), write(tmp_path / "f.tif", truth), NAMES)
    t, m = truth[truth > 0], mapped[truth > 0]
    np.testing.assert_array_equal(result.confusion, confusion_matrix(t, m))
    precision, recall, f1, _ = precision_recall_fscore_support(t, m)
    np.testing.assert_allclose(list(result.precision.values()), precision)
    np.testing.assert_allclose(list(result.recall.values()), recall)
    np.testing.assert_allclose(list(result.f1.values()), f1)
    assert result.macro_f1 == pytest.approx(f1.mean())
    assert result.overall_accuracy == pytest.approx((t == m).mean())
    assert result.pixels == t.size


def test_pixels_outside_the_area_do_not_count_and_pixels_without_class_are_wrong(tmp_path):
    truth = np.array([[1, 1, 1, 1], [2, 2, 2, 0]], np.uint8)
    mapped = np.array([[1, 0, 255, 254], [2, 2, 1, 1]], np.uint8)
    result = score(write(tmp_path / "m.tif", mapped), write(tmp_path / "f.tif", truth), NAMES)
    assert result.pixels == 6
    assert result.unmapped.tolist() == [2, 0, 0]
    assert result.overall_accuracy == pytest.approx(3 / 6)
    assert result.recall["corn"] == pytest.approx(1 / 3)
    assert result.precision["corn"] == pytest.approx(1 / 2)
    assert result.macro_f1 == pytest.approx((2 / 5 + 4 / 5) / 2)  # rice has no field and does not count


def test_a_map_on_a_larger_grid_is_compared_place_by_place(tmp_path, codes):
    truth, mapped = codes
    wide = np.zeros((60, 80), np.uint8)
    wide[7:47, 11:61] = mapped
    result = score(
        write(tmp_path / "m.tif", wide, left=-110, top=70), write(tmp_path / "f.tif", truth), NAMES
    )
    np.testing.assert_array_equal(result.confusion, confusion_matrix(truth[truth > 0], mapped[truth > 0]))


def test_fields_elsewhere_are_refused(tmp_path, codes):
    truth, mapped = codes
    with pytest.raises(InputError, match="No field of"):
        score(write(tmp_path / "m.tif", mapped), write(tmp_path / "f.tif", truth, left=50_000), NAMES)


def test_names_come_from_the_legend_without_the_special_codes(tmp_path):
    rows = [(255, "none"), (2, "soybeans"), (0, "outside"), (1, "corn"), (254, "not cropland")]
    legend = {"classes": [{"code": code, "name": name, "color": None} for code, name in rows]}
    (tmp_path / "legend.json").write_text(json.dumps(legend), encoding="utf-8")
    assert class_names(tmp_path / "legend.json") == ("corn", "soybeans")
