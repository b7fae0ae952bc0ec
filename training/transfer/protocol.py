"""The options of a benchmark; the defaults of the command are here. Nothing heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import SUMMER, BinLength, SeasonRule, in_order, mean_days
from gee_pipeline.sensors import SENTINEL_2, sensor_of
from training.adaptation.options import METHODS
from training.fit.options import AUGMENTATIONS as TRAINED_WITH
from training.fit.options import (
    GLOBAL,
    PRESETS,
    Precision,
    Rule,
    Scaling,
    Schedule,
    SplitRule,
    TrainingOptions,
    rule_for,
)
from training.models.registry import MODELS
from training.samples.crops import OTHER

AUGMENTATIONS: Final = (*TRAINED_WITH, "paper-shift", "paper-shift-scale")
"""Those of a training, and the steps of the ablation: time shift alone, and time shift with time scale (Tong
et al. 2025, table 7)."""

ADAPTATIONS: Final = ("none", *METHODS)
"""How a network is adapted to a target without its labels."""

ClassRules = Literal["labels", "paper", "code"]
CLASS_RULES: Final[tuple[str, ...]] = get_args(ClassRules)
"""What is told apart in a region: what is labelled there, or what the paper, or its authors' code, says."""

FINEST_BIN: Final = 5
"""Days of a bin in the files of a benchmark."""

FILE: Final = "median_S2_{}_month1-12_day5.npz"
"""Name of the file of a region, as in CropGlobe."""

SENTINEL_2_ALONE: Final = (SENTINEL_2.name,)
"""The sensor of CropGlobe's files."""


@dataclass(frozen=True)
class MoveRanges:
    """Other values than those of an augmentation that moves series; None keeps its own."""

    shift_days: tuple[int, int] | None = None
    """Least and greatest days by which a series is moved."""
    scale_days: tuple[int, int] | None = None
    """Least and greatest days by which start and end are moved, each on its own."""
    warp_sigma: float | None = None
    """Spread of the curve that multiplies the bands."""
    warp_knots: int | None = None
    """Knots of that curve."""


@dataclass(frozen=True)
class Protocol:
    """Everything that decides the numbers of a benchmark; by default as in Tong et al. 2025, section 4.1."""

    data: Path
    """Folder with a file for each region, or the folder above `for_CropNet`."""
    source: str
    """Code of the region that trains, as in the name of its file."""
    targets: tuple[str, ...]
    """Codes of the test regions, none of them the source."""
    models: tuple[str, ...] = ("cropnet", "cropnet-1d", "rf", "rf-harmonic")
    """Names of `training.models.registry.MODELS`."""
    augmentations: tuple[str, ...] = ("none",)
    """How the samples of networks are changed, one after the other; forests see them as they are."""
    adaptations: tuple[str, ...] = ("none",)
    """How networks are adapted to each target, one after the other; `none` trains once for all of them."""
    pretrained: tuple[Path, ...] = ()
    """Files of published weights, one for an encoder at most; models on others draw their first weights."""
    seeds: int = 10
    """Trainings of each model, augmentation and adaptation, with the seeds 1, 2, ..."""
    in_region: bool = False
    """Whether the models are tested within the source as well, on a part that nothing was trained on."""
    classes: tuple[str, ...] | None = None
    """Classes to distinguish; what is not named becomes "other" where that is named. None takes all classes
    of the source."""
    legend: Path | None = None
    """What the labels of the files mean; None is CropGlobe's."""
    target_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Code of a target -> the classes that its map distinguishes, "other" among them."""
    class_rules: ClassRules = "labels"
    """What is told apart in regions whose published maps distinguish two or three classes."""
    yields: Path | None = None
    """Table of yields by region and class, to put beside what was found; None reports none."""
    scale: float | None = None
    """What the files store for reflectance 1; None is 10,000, and is checked."""
    preset: str = GLOBAL["preset"]
    """Preset of `inference.models.networks.cropnet`."""
    epochs: int = GLOBAL["epochs"]
    """Passes over the training samples."""
    batch_size: int = GLOBAL["batch_size"]
    """Samples in one step."""
    learning_rate: float = GLOBAL["learning_rate"]
    """Adam's learning rate."""
    schedule: Schedule = GLOBAL["schedule"]
    """Whether the learning rate falls."""
    normalisation: Scaling = TrainingOptions.normalisation
    """How the input of networks is scaled."""
    sensors: tuple[str, ...] = SENTINEL_2_ALONE
    """Sensors whose bands the files hold; of others than Sentinel-2 in files named after them."""
    season: SeasonRule = SUMMER
    """The days of the files, and which of them the models see."""
    bin_days: BinLength = FINEST_BIN
    """Length of a bin in days: 5, or a multiple, for which the medians of 5 days are joined; or months, of
    which the files must be."""
    min_clear_bins: int | None = None
    """Fewest observed bins of a series; None is the recipe's, in as many days."""
    moves: MoveRanges = field(default_factory=MoveRanges)
    """Ranges of the augmentations that move series."""
    split: Rule | None = None
    """How a part of the source is held out; None is by place where the samples have places, else at
    random."""
    block_size: float = SplitRule.block_size
    """Side of the blocks of a split by place, in degrees."""
    share: float = SplitRule.share
    """Share of the source that is held out."""
    device: str = TrainingOptions.device
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Precision = TrainingOptions.precision
    """Whether batches are computed in 16 bits where it is safe."""

    def __post_init__(self) -> None:
        _require_known("model", self.models, tuple(MODELS), "--models")
        if self.class_rules not in CLASS_RULES:
            raise InputError(f"The rules of classes are {', '.join(CLASS_RULES)}, got {self.class_rules!r}.")
        _require_known("augmentation", self.augmentations, AUGMENTATIONS, "--augmentation")
        _require_known("adaptation", self.adaptations, ADAPTATIONS, "--adaptation")
        if self.preset not in PRESETS:
            raise InputError(f"A preset is one of {', '.join(PRESETS)}, got {self.preset}.")
        if not 1 <= self.seeds <= 1000:
            raise InputError(f"A benchmark takes 1 to 1000 seeds, got {self.seeds}. Try --seeds 10.")
        self._require_regions()
        self._require_target_classes()
        if self.moves != MoveRanges() and not {*self.augmentations} - {"none", "field"}:
            raise InputError(
                "Other ranges of an augmentation need one that moves series: --augmentation paper or "
                f"code; got {', '.join(self.augmentations)}."
            )
        self.training_options(1)  # the same checks as for any training, before any file is read
        self.split_rule(1, has_places=True)
        self.recipe.require_enough_bins()
        if self.cropglobe and isinstance(self.bin_days, int) and self.bin_days % FINEST_BIN:
            raise InputError(
                f"A bin of a benchmark is a multiple of {FINEST_BIN} days long, or a month where the files "
                f"are of months; got {self.bin_days}."
            )

    @property
    def regions(self) -> tuple[str, ...]:
        """Codes of the test regions: the source first if it is one."""
        return (self.source, *self.targets) if self.in_region else self.targets

    @property
    def cropglobe(self) -> bool:
        """Whether the files are of Sentinel-2 alone, as CropGlobe's series are."""
        return self.sensors == SENTINEL_2_ALONE

    @property
    def file(self) -> str:
        """Name of the file of a region, `{}` for its code: CropGlobe's, or `emit_{}.npz`."""
        return FILE if self.cropglobe else f"{'_'.join(self.sensors)}_{{}}.npz"

    @property
    def inputs(self) -> str:
        """What the models see, where it is not the series of Sentinel-2: `emit month:6,8`."""
        return "" if self.cropglobe else f"{' '.join(self.sensors)} {self.bin_days}"

    @property
    def recipe(self) -> Recipe:
        """Sensors, window and bins of the models."""
        usual = max(1, int(Recipe.min_clear_bins * FINEST_BIN // mean_days(self.bin_days)))
        if not in_order(self.bin_days):
            usual = len(self.season.window(self.bin_days))
        return Recipe.of(
            bands=[band for name in self.sensors for band in sensor_of(name).band_names],
            season=self.season,
            bin_days=self.bin_days,
            min_clear_bins=usual if self.min_clear_bins is None else self.min_clear_bins,
        )

    @property
    def window_first_day(self) -> int:
        """First day of the season that the models see, counted from 1."""
        return self.season.first_day

    @property
    def window_last_day(self) -> int:
        """Last day that they see."""
        return self.season.last_day

    def training_options(self, seed: int) -> TrainingOptions:
        """How a network of one seed is trained."""
        return TrainingOptions(
            preset=self.preset,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            normalisation=self.normalisation,
            seed=seed,
            class_weights=GLOBAL["class_weights"],
            augmentation="none",  # the loop is given the augmentation itself
            device=self.device,
            precision=self.precision,
        )

    def split_rule(self, seed: int, *, has_places: bool) -> SplitRule:
        """How the source is split for one seed."""
        rule = rule_for(self.split, places=has_places)
        return SplitRule(rule=rule, block_size=self.block_size, share=self.share, seed=seed)

    def _require_regions(self) -> None:
        for code in (self.source, *self.targets):
            if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", code):
                raise InputError(
                    f"The code of a region has letters and digits, as in {FILE.format('FRA')}; got {code!r}."
                )
        if self.source in self.targets:
            raise InputError(
                f"A model is not tested on what it was trained on, but {self.source} is source and target. "
                "Leave it out of --targets; --in-region tests it on a part of the source that is held out."
            )
        if not self.regions or len(set(self.targets)) != len(self.targets):
            raise InputError(
                "A benchmark needs test regions, each once; got "
                f"{', '.join(self.targets) or 'none'}. Name them with --targets, or give --in-region."
            )

    def _require_target_classes(self) -> None:
        for code, names in self.target_classes.items():
            if (
                code not in self.targets
                or OTHER not in names
                or len({*names}) != len(names)
                or len(names) < 2
            ):
                raise InputError(
                    f"The classes of a target are {OTHER} and one or more others, of one of the targets "
                    f"{', '.join(self.targets)}; got {code}={','.join(names)}. Write them as "
                    f"--target-classes {(*self.targets, 'CHN')[0]}=rice,{OTHER}."
                )


def _require_known(what: str, given: tuple[str, ...], known: tuple[str, ...], option: str) -> None:
    if not given or not set(given) <= set(known) or len(set(given)) != len(given):
        raise InputError(
            f"A {what} is one of {', '.join(known)}, each once; got {', '.join(given) or 'none'}. Separate "
            f"several by commas: {option} {','.join(known[:2])}."
        )
