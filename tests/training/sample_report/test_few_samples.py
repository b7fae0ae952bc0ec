from dataclasses import replace

import numpy as np
import pytest

from training.sample_report.few_samples import FEW, warn_of_few, warn_of_left_out


def of(samples, **counts):
    """So many samples of the classes by their place."""
    chosen = [np.flatnonzero(samples.labels == label)[:count] for label, count in enumerate(counts.values())]
    return samples.take(np.concatenate(chosen))


def test_classes_of_few_samples_are_named_with_their_number(made_samples):
    names = made_samples(300).class_names
    warning = warn_of_few(of(made_samples(300), first=FEW, second=FEW - 1, third=5))
    assert f"{names[1]} ({FEW - 1}), {names[2]} (5)." in warning
    assert names[0] not in warning


@pytest.mark.parametrize("count", [FEW, FEW + 1])
def test_enough_samples_are_not_worth_a_word(made_samples, count):
    assert warn_of_few(of(made_samples(300), first=count, second=count, third=count)) is None


def test_samples_that_are_not_used_are_counted_by_reason(made_samples):
    samples = made_samples(30)
    assert warn_of_left_out(samples) is None
    assert warn_of_left_out(replace(samples, sparse_dropped=2, duplicates_dropped=1_000)) == (
        "Samples of the files that are not used: 2 with fewer than 8 observed bins in the model window, "
        "1,000 that repeat the series of another."
    )
    assert "observed" not in warn_of_left_out(replace(samples, duplicates_dropped=1))
