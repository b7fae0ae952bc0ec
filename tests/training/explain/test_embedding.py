import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from gee_pipeline.errors import InputError
from training.explain.embedding import Group, embed, within_class_spread

pytestmark = pytest.mark.slow


def group(name="source", *, apart=6.0, count=30, seed=0, classes=2):
    """Clouds of a standard deviation of 1 in 40 dimensions, whose means lie `apart` in each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    inputs = rng.normal(0, 1, (count, 40)) + apart * labels[:, None]
    return Group(name, inputs.astype(np.float32), labels)


def test_two_clusters_stay_two_clusters():
    (plane,) = embed([group()], perplexity=8)
    assert plane.points.shape == (30, 2)
    assert silhouette_score(plane.points, plane.labels) > 0.7


def test_what_is_one_cloud_is_not_torn_into_classes():
    (plane,) = embed([group(apart=0.0)], perplexity=8)
    assert silhouette_score(plane.points, plane.labels) < 0.15


def test_silhouettes_are_those_of_scikit_learn():
    made = group(apart=1.0)
    (plane,) = embed([made], perplexity=8)
    assert plane.silhouette == pytest.approx(silhouette_score(made.inputs, made.labels), abs=1e-5)
    assert plane.silhouette_plane == pytest.approx(silhouette_score(plane.points, plane.labels), abs=1e-5)


def test_all_groups_lie_in_one_plane_in_their_order():
    source, target = group(), group("target", apart=-6.0, seed=1, count=20)
    planes = embed([source, target], perplexity=8)
    assert [(plane.name, len(plane.points)) for plane in planes] == [("source", 30), ("target", 20)]
    # Class 0 is one cloud in both groups, class 1 is not.
    near = [plane.points[plane.labels == 0].mean(axis=0) for plane in planes]
    far = [plane.points[plane.labels == 1].mean(axis=0) for plane in planes]
    assert np.linalg.norm(near[0] - near[1]) < 0.3 * np.linalg.norm(far[0] - far[1])


def test_the_same_series_give_the_same_plane():
    first, again = (embed([group()], perplexity=8, seed=3)[0].points for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_more_samples_than_the_perplexity_are_needed():
    with pytest.raises(InputError, match=r"30 samples and perplexity 30.*--perplexity"):
        embed([group()], perplexity=30)


def test_a_single_class_has_no_silhouette():
    (plane,) = embed([group(classes=1)], perplexity=8)
    assert plane.silhouette is None


def test_spread_is_the_standard_deviation_within_classes():
    inputs = np.array([[0, 0], [2, 0], [10, 5], [10, 9]], np.float32)
    # Variances by class and feature: 1 and 0, 0 and 4; their mean is 1.25.
    assert within_class_spread(inputs, np.array([0, 0, 1, 1])) == pytest.approx(np.sqrt(1.25))
