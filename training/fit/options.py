"""The options of a training run; the defaults of the command are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from gee_pipeline.errors import InputError

PRESETS: Final = ("compact", "paper", "small-8", "small-16", "small-24", "small-32")
"""Presets of `inference.models.networks.cropnet`, named here because that module takes a second to load."""

Rule = Literal["blocks", "column", "random"]
RULES: Final[tuple[str, ...]] = get_args(Rule)

FOLD_BLOCK: Final = 0.25
"""Degrees: side of a block in folds, of which a few labels of some counties fill few larger ones."""


def rule_for(asked: Rule | None, *, places: bool) -> Rule:
    """How samples are held out where nothing is asked for: by blocks where they have places, else at random.

    Args:
        asked: What the user says.
        places: Whether the samples have places.
    """
    return asked or ("blocks" if places else "random")


Schedule = Literal["cosine", "constant"]
SCHEDULES: Final[tuple[str, ...]] = get_args(Schedule)

Precision = Literal["auto", "float32", "mixed"]
PRECISIONS: Final[tuple[str, ...]] = get_args(Precision)

AugmentationPreset = Literal["field", "paper", "code", "code-days", "none"]
AUGMENTATIONS: Final[tuple[str, ...]] = get_args(AugmentationPreset)

ClassWeights = Literal["balanced", "effective", "capped", "none"]
CLASS_WEIGHTS: Final[tuple[str, ...]] = get_args(ClassWeights)

Scaling = Literal["band", "one", "none"]
SCALINGS: Final[tuple[str, ...]] = get_args(Scaling)
"""How the input of a network is scaled: each band by its own mean and deviation, all bands of a sensor by
one, or not at all, so that values are seen as they are stored."""

DIMENSIONS: Final = (2, 1)
"""Over which CropNet can convolve."""

GLOBAL: Final[dict[str, Any]] = {
    "preset": "paper",
    "augmentation": "paper",
    "epochs": 50,
    "batch_size": 256,
    "learning_rate": 1e-4,
    "schedule": "constant",
    "class_weights": "balanced",
}
"""The options of the paper's own trainings (Tong et al. 2025, section 4.1, which mentions no schedule)."""


@dataclass(frozen=True)
class SplitRule:
    """How samples are held out."""

    rule: Rule = "blocks"
    """`blocks` holds out whole squares of land; `column` whole groups, such as farms or regions, that the
    samples name; `random` single samples, whose neighbours then train: its scores are optimistic."""
    block_size: float = 0.5
    """Side of a block in degrees: about 50 km, far beyond one field or farm. Samples of a few counties need
    smaller blocks, so that there are enough to hold out some of each class."""
    share: float = 0.2
    """Share of the samples to hold out, met as nearly as whole blocks allow."""
    seed: int = 1
    """Chooses the blocks or samples."""

    def __post_init__(self) -> None:
        if self.rule not in RULES or not 0 < self.share <= 0.5 or not 0 < self.block_size <= 90:
            raise InputError(
                f"A split is by {', '.join(RULES[:-1])} or {RULES[-1]}, holds out a share above 0 and "
                f"up to 0.5 and has blocks above 0 and up to 90 degrees; got {self.rule}, {self.share}, "
                f"{self.block_size}."
            )


@dataclass(frozen=True)
class TrainingOptions:
    """How weights are fitted.

    The paper trains with a constant learning rate of 1e-4, batches of 256 and 50 epochs (Tong et al. 2025).
    The defaults need half the epochs, which matters on a CPU: smaller batches, and a larger learning rate
    that falls to 0 along a cosine.
    """

    preset: str = "compact"
    """Preset of `inference.models.networks.cropnet`."""
    dimensions: int = 2
    """2 convolves over bands and time, 1 along the flat series."""
    epochs: int = 25
    """Most passes over the training samples."""
    batch_size: int = 64
    """Samples in one step."""
    learning_rate: float = 1e-3
    """Adam's learning rate, at the start."""
    schedule: Schedule = "cosine"
    """`cosine` lowers the learning rate to 0 over all epochs; `constant` keeps it."""
    patience: int | None = None
    """Stop after this many epochs without a better macro-F1; None trains all epochs."""
    seed: int = 1
    """Chooses the first weights, the order of the samples and what the transforms draw."""
    augmentation: AugmentationPreset = "field"
    """How samples change each time they are seen. `field` hides and moves observations, as the next four say;
    `paper` and `code` move, stretch and warp whole series, as Tong et al. (2025) write and as they programmed
    it, `code-days` by the ranges of their code but to the day; `none` leaves them."""
    drop_observations: float = 0.6
    """Up to this share of a sample's observed bins is hidden, a new draw each time it is seen: clouds."""
    time_jitter: int = 1
    """Bins by which an observation may stand early or late: other orbits, other sampling. 0 for none."""
    time_shift: int = 2
    """Bins by which a whole series may stand early or late, for half of the samples: the 10 days of the
    paper. 0 for none."""
    magnitude_warp: float = 0.2
    """Spread of the smooth factor that brightens and darkens half of the samples through the season; 0.2 is
    the paper's. 0 for none."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    precision: Precision = "auto"
    """`mixed` computes batches in 16 bits where it is safe, float16 on CUDA and bfloat16 on a CPU; `float32`
    does not; `auto` is mixed on CUDA only, since few CPUs have bfloat16 in hardware. Scores are always
    computed in full precision."""

    normalisation: Scaling = "band"
    """`band` scales each band by its mean and standard deviation; `one` all bands of a sensor by one; `none`
    shows values as they are stored, as the code of Tong et al. (2025) does."""
    class_weights: ClassWeights = "effective"
    """How much a class counts: `balanced` gives every class the same say, however rare, as the authors' code
    does; `effective` by effective numbers of samples (Cui et al. 2019); `capped` as balanced, within bounds;
    `none` gives every sample the same say."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or (self.patience is not None and self.patience < 1):
            raise InputError(
                f"Epochs, batch size and patience are at least 1, got {self.epochs}, {self.batch_size}, "
                f"{self.patience}."
            )
        if not 0 <= self.seed < 2**32:
            raise InputError(f"A seed is a number from 0 to {2**32 - 1}, got {self.seed}. Try --seed 1.")
        if not 0 < self.learning_rate <= 1 or self.schedule not in SCHEDULES:
            raise InputError(
                f"A learning rate is above 0 and up to 1 and its schedule one of {', '.join(SCHEDULES)}; "
                f"got {self.learning_rate:g}, {self.schedule}. Try --learning-rate 0.001."
            )
        sets = {
            "A precision": (self.precision, PRECISIONS),
            "An augmentation": (self.augmentation, AUGMENTATIONS),
            "The rule of class weights": (self.class_weights, CLASS_WEIGHTS),
            "A normalisation": (self.normalisation, SCALINGS),
        }
        for what, (chosen, known) in sets.items():
            if chosen not in known:
                raise InputError(f"{what} is one of {', '.join(known)}, got {chosen!r}.")
        if not 0 <= self.drop_observations < 1 or not 0 <= self.magnitude_warp < 1:
            raise InputError(
                "The share of dropped observations and the magnitude warp are at least 0 and below 1; "
                f"got {self.drop_observations:g} and {self.magnitude_warp:g}."
            )
        if not (0 <= self.time_jitter <= 10 and 0 <= self.time_shift <= 10):
            raise InputError(
                f"Time jitter and time shift are 0 to 10 bins; got {self.time_jitter} and {self.time_shift}."
            )
