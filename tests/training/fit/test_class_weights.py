import numpy as np
import pytest

from training.fit.class_weights import CAP, class_weights
from training.fit.options import CLASS_WEIGHTS


@pytest.fixture
def uneven(made_samples):
    """20, 20 and 5 samples of three classes."""
    samples = made_samples(60)
    rare = np.flatnonzero(samples.labels == 2)[:5]
    return samples.take(np.r_[np.flatnonzero(samples.labels != 2), rare])


@pytest.mark.parametrize("rule", CLASS_WEIGHTS)
def test_a_sample_weighs_one_on_average(uneven, rule):
    weights = class_weights(uneven, rule).numpy()
    np.testing.assert_allclose(weights @ [20, 20, 5], 45, rtol=1e-6)


def test_balanced_gives_every_class_the_same_say(uneven):
    np.testing.assert_allclose(class_weights(uneven, "balanced").numpy() * [20, 20, 5], 15, rtol=1e-6)


def test_none_gives_every_sample_the_same_say(uneven):
    np.testing.assert_array_equal(class_weights(uneven, "none").numpy(), 1)


def test_effective_is_the_rule_of_cui_et_al(uneven):
    weights = class_weights(uneven, "effective").numpy()
    wanted = [(1 - 0.999) / (1 - 0.999**n) for n in (20, 20, 5)]
    np.testing.assert_allclose(weights / weights[0], np.array(wanted) / wanted[0], rtol=1e-6)


def test_a_class_with_20_of_5700_samples_is_bounded(made_samples):
    """Inverse frequency lets it weigh 48 times; more than the bound draws others to itself."""
    samples = made_samples(5_700)
    rare = np.flatnonzero(samples.labels == 2)[:20]
    few = samples.take(np.r_[np.flatnonzero(samples.labels != 2), rare])
    balanced, capped = (class_weights(few, rule).numpy() for rule in ("balanced", "capped"))
    assert balanced[2] / balanced[0] > 90
    assert capped[2] / capped[0] == pytest.approx(CAP / (3820 / (3 * 1900)), rel=1e-3)
