import pytest

from gee_pipeline.errors import InputError
from inference.models.networks.cropnet import PRESETS
from training.fit import options
from training.fit.options import TrainingOptions


def test_the_presets_are_those_of_the_network():
    assert set(options.PRESETS) == set(PRESETS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"schedule": "steps"},
        {"precision": "half"},
        {"augmentation": "strong"},
        {"drop_observations": 1.0},
        {"drop_observations": -0.1},
        {"time_jitter": -1},
        {"time_shift": 11},
        {"magnitude_warp": 1.0},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=r"got"):
        TrainingOptions(**wrong)
