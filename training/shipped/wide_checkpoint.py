"""Makes the model `wide` that ships with the package, from real pixels of three regions.

    python -m training.shipped.wide_checkpoint ../shared/data

The pixels are not part of the repository; the weights and their figures are. Those of Canada are monthly,
with six or seven observed bins in the window: they train, and the model asks of a map for as many bins as
others do.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from gee_pipeline.recipe import Recipe, RecipeOptions
from inference.models import checkpoints
from inference.models.checkpoint import Checkpoint, save_checkpoint
from inference.models.predictor import Predictor
from training.fit.options import SplitRule, TrainingOptions
from training.fit.split import in_blocks
from training.fit.train import train_checkpoint
from training.fit.training_data import footprint, footprints_together, in_classes_of
from training.samples.samples import Samples, read_samples
from training.scores.metrics import score
from training.shipped.default_checkpoint import CLASSES

FILES: Final = {
    "Arkansas 2021": "usa-2021/median_S2_ARK_month1-12_day5.npz",
    "California 2021": "usa-2021/median_S2_CAL_month1-12_day5.npz",
    "Canada 2017": "worldcereal/canada_cropglobe_like.npz",
}
SPLIT: Final = SplitRule(block_size=0.25)
OPTIONS: Final = TrainingOptions(preset="small-32", class_weights="capped")
LEAST_BINS: Final = 6
"""Observed bins of a training sample: the Canadian ones have seven months."""
SOURCE: Final = (
    "5,000 pixels in Arkansas and 5,720 in California, 2021, labels of the USDA NASS Cropland Data Layer "
    "(public domain), and some 3,350 in Canada, 2017, monthly, labels of the ground truth of Agriculture and "
    "Agri-Food Canada (Open Government Licence - Canada). Contains modified Copernicus Sentinel data."
)


def make_wide(samples: Samples, places: dict[str, Samples], options: TrainingOptions) -> Checkpoint:
    """A checkpoint with its figures on the held-out blocks of each region among its metrics.

    Args:
        samples: Of all regions.
        places: The same by region.
        options: How to train.
    """
    checkpoint = train_checkpoint(samples, options, SPLIT)
    figures = {name: _figures(checkpoint, some) for name, some in places.items()}
    where = footprints_together(*(footprint(some) for some in places.values()))
    return replace(
        for_maps(checkpoint),
        provenance={**checkpoint.provenance, "footprint": where},
        metrics={**checkpoint.metrics, "places": figures},
    )


def for_maps(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint, which asks of a map for as many observed bins as others do."""
    recipe = replace(checkpoint.recipe, min_clear_bins=Recipe().min_clear_bins, clock="solar")
    return replace(checkpoint, recipe=recipe)


def read_regions(paths: list[Path]) -> Samples:
    """The samples of files in the classes of the model, with `LEAST_BINS` observed bins or more."""
    asked = RecipeOptions(min_clear_bins=LEAST_BINS)
    samples = read_samples(paths, any_classes=True, source=SOURCE, asked=asked)
    return in_classes_of(CLASSES, samples.recipe, samples, "The model", "The samples")


def _figures(checkpoint: Checkpoint, samples: Samples) -> dict[str, float]:
    held_out = samples.take(in_blocks(samples, checkpoint.provenance["split"]))
    window = checkpoint.recipe.window
    said = Predictor(checkpoint, "cpu").logits(held_out.series[:, :, window.start : window.stop])
    found = score(held_out.labels, said.argmax(axis=1), held_out.class_names)
    return {"samples": len(held_out), "accuracy": found.accuracy, "macro_f1": found.macro_f1}


def main(data: Path) -> None:
    """Train on the samples of a folder and write the checkpoint into the package."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    places = {name: read_regions([data / path]) for name, path in FILES.items()}
    checkpoint = make_wide(read_regions([data / path for path in FILES.values()]), places, OPTIONS)
    for name, figures in checkpoint.metrics["places"].items():
        logging.getLogger(__name__).info("%s: %s", name, figures)
    save_checkpoint(Path(*checkpoints.__path__) / "wide.safetensors", checkpoint)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
