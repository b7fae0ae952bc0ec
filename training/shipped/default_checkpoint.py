"""Makes the checkpoint that ships with the package, from 5,000 real pixels in Arkansas.

    python -m training.shipped.default_checkpoint ../shared/data/usa-2021/median_S2_ARK_month1-12_day5.npz

The pixels are not part of the repository; the weights and their figures are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from inference.models import checkpoints
from inference.models.checkpoint import Checkpoint, save_checkpoint
from training.fit.loop import FitProgress
from training.fit.options import SplitRule, TrainingOptions
from training.fit.robustness import robustness
from training.fit.split import in_blocks
from training.fit.train import train_checkpoint
from training.samples.samples import Samples, read_samples

CLASSES: Final = ("corn", "soybeans", "rice", "cotton", "other")
YEAR: Final = 2021
SPLIT: Final = SplitRule(block_size=0.25)
"""Arkansas has 30 such blocks, but 9 of the default size: too few to hold out an even share of each class."""
OPTIONS: Final = TrainingOptions(class_weights="capped")
"""The weights of these classes lie below the cap: each has the same say, as with `balanced`."""
SOURCE: Final = (
    "5,000 pixels in eastern Arkansas, 2021: labels of the USDA NASS Cropland Data Layer (public domain), "
    "series of Sentinel-2 surface reflectance (contains modified Copernicus Sentinel data 2021)."
)

_log = logging.getLogger(__name__)


def make_default(samples: Samples, options: TrainingOptions, split_rule: SplitRule) -> Checkpoint:
    """A checkpoint with its robustness on the held-out blocks among its metrics."""
    checkpoint = train_checkpoint(
        samples, options, split_rule, year=YEAR, progress=_log_epochs(options.epochs)
    )
    held_out = samples.take(in_blocks(samples, checkpoint.provenance["split"]))
    return replace(checkpoint, metrics={**checkpoint.metrics, "robustness": robustness(checkpoint, held_out)})


def main(path: Path) -> None:
    """Train on the samples of a file and write the checkpoint into the package."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    samples = read_samples([path], CLASSES, source=SOURCE)
    checkpoint = make_default(samples, OPTIONS, SPLIT)
    for name, figures in checkpoint.metrics["robustness"].items():
        _log.info("%s: accuracy %.3f, macro-F1 %.3f", name, figures["accuracy"], figures["macro_f1"])
    save_checkpoint(Path(*checkpoints.__path__) / "compact.safetensors", checkpoint)


def _log_epochs(epochs: int) -> Callable[[FitProgress], None]:
    def report(step: FitProgress) -> None:
        if step.last and step.done * epochs == step.last.number * step.total:  # an epoch is over
            _log.info("%s", step.last)

    return report


if __name__ == "__main__":
    main(Path(sys.argv[1]))
