"""CropNet: a small convolutional network on the series of one pixel (Tong et al. 2025, section 3.3)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, get_args

from torch import Tensor, nn

from gee_pipeline.bands import BANDS
from gee_pipeline.errors import InputError

Along = Literal["time", "bands"]
"""What neighbours are in a flat series: the next bin, or the next band."""

DROPOUT: Final = (0.2, 0.3, 0.3, 0.4)
"""Share of feature maps dropped after each block: the authors' code; the paper does not state it."""

MOST_BLOCKS: Final = 64
"""Most blocks; the presets have four."""

LARGEST: Final = 2**16
"""Most feature maps of a block: with more, torch cannot count the bytes of a layer."""


@dataclass(frozen=True)
class CropNetConfig:
    """Everything that decides the shape of a CropNet."""

    preset: str
    """Name of the architecture, a key of `PRESETS`."""
    channels: tuple[int, ...]
    """Feature maps of each block."""
    strides: tuple[int, ...]
    """Stride, along bands and along time, of the first convolution of each block."""
    dropout: tuple[float, ...]
    """Share of feature maps dropped after each block, in training only."""
    bands: int
    """Rows of the input matrix."""
    classes: int
    """Number of classes: the width of the last layer."""
    dimensions: int = 2
    """2 convolves over bands and time; 1 along the flat series, as one signal."""
    along: Along = field(default="time", repr=False)  # unfinished trainings are continued by the repr
    """How one dimension runs: `time`, the bins of one band after those of the other; `bands`, the spectrum of
    one bin after that of the other."""

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.strides) == len(self.dropout) > 0:
            raise InputError(
                "CropNet takes one number of channels, stride and dropout a block, got "
                f"{len(self.channels)}, {len(self.strides)} and {len(self.dropout)}."
            )
        if len(self.channels) > MOST_BLOCKS:
            raise InputError(f"CropNet has at most {MOST_BLOCKS} blocks, got {len(self.channels)}.")
        sizes = (*self.channels, *self.strides, self.bands, self.classes)
        if not all(type(size) is int and 1 <= size <= LARGEST for size in sizes):
            raise InputError(
                f"CropNet takes sizes and strides of at least 1 and at most {LARGEST:,}, got {self}."
            )
        if not all(0 <= share < 1 for share in self.dropout):
            raise InputError(f"A dropout lies between 0 and 1, got {self.dropout}.")
        if self.dimensions not in _LAYERS:
            raise InputError(f"CropNet convolves over 1 or 2 dimensions, got {self.dimensions}.")
        if self.along not in get_args(Along) or (self.along != "time" and self.dimensions != 1):
            raise InputError(
                f"CropNet-1D runs along time or bands, CropNet over both; got {self.along!r} with "
                f"{self.dimensions} dimension(s)."
            )

    @classmethod
    def of(
        cls, preset: str, classes: int, bands: int = len(BANDS), dimensions: int = 2, along: Along = "time"
    ) -> CropNetConfig:
        """The configuration of a preset.

        Args:
            preset: A key of `PRESETS`.
            classes: Number of classes.
            bands: Rows of the input matrix.
            dimensions: 2 for the matrix, 1 for the flat series.
            along: How the flat series runs.

        Raises:
            InputError: The preset is unknown.
        """
        if preset not in PRESETS:
            raise InputError(f"CropNet has the presets {', '.join(PRESETS)}, got {preset!r}.")
        channels, strides = PRESETS[preset]
        dropout = DROPOUT if preset not in SMALL else (0.0,) * len(channels)
        return cls(preset, channels, strides, dropout, bands, classes, dimensions, along)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values; without those that were not there before there was a choice."""
        values, usual = asdict(self), {f.name: f.default for f in fields(self)}
        for name in ("dimensions", "along"):
            if getattr(self, name) == usual[name]:
                del values[name]
        return values


SMALL: Final[dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    f"small-{channels}": ((channels,) * 4, (2, 1, 1, 1)) for channels in (8, 16, 24, 32)
}
"""`compact` with fewer channels, which have nothing to spare for a dropout: students of larger networks."""

PRESETS: Final[dict[str, tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "compact": ((128, 128, 128, 128), (2, 1, 1, 1)),
    "paper": ((64, 128, 256, 512), (2, 1, 2, 1)),
    **SMALL,
}
"""Channels and strides by block: `compact` as in the authors' code, `paper` as in their text."""


_LAYERS: Final[dict[int, tuple[type[nn.Module], type[nn.Module], type[nn.Module]]]] = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.Dropout1d),
    2: (nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d),
}
"""Convolution, normalisation and dropout of whole feature maps by dimensions."""


class CropNet(nn.Module):
    """Blocks of two convolutions of width 3, the average over all positions, one linear layer."""

    def __init__(self, config: CropNetConfig) -> None:
        super().__init__()
        self.config = config
        inputs = (1, *config.channels[:-1])
        self.blocks = nn.Sequential(
            *(
                _block(config.dimensions, *sizes)
                for sizes in zip(inputs, config.channels, config.strides, config.dropout, strict=True)
            ),
        )
        self.head = nn.Linear(config.channels[-1], config.classes)
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(pixel, class)` of normalised series.

        Args:
            x: Float32 `(pixel, 1, band, bin)` from `inference.models.series.model_input`.
        """
        if self.config.dimensions == 1:
            return self.head(self.blocks(self._flat(x)).mean(dim=2))  # (pixel, channel, position')
        features = self.blocks(x)  # (pixel, channel, band', bin')
        return self.head(features.mean(dim=(2, 3)))

    def levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """The average over all positions after each block, `(pixel, channel)`; the head reads the last.

        Args:
            x: As for `forward`.
        """
        found = []
        flat = self.config.dimensions == 1
        x = self._flat(x) if flat else x
        for block in self.blocks:
            x = block(x)
            found.append(x.mean(dim=2 if flat else (2, 3)))
        return tuple(found)

    def _flat(self, x: Tensor) -> Tensor:
        """`(pixel, 1, position)` of `(pixel, 1, band, bin)`."""
        return (x.transpose(2, 3) if self.config.along == "bands" else x).flatten(2)


def _block(dimensions: int, inputs: int, outputs: int, stride: int, dropout: float) -> nn.Sequential:
    convolution, norm, drop = _LAYERS[dimensions]
    return nn.Sequential(
        convolution(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        norm(outputs),
        nn.ReLU(),
        convolution(outputs, outputs, 3, padding=1, bias=False),
        norm(outputs),
        nn.ReLU(),
        drop(dropout),
    )


def initialise(module: nn.Module) -> None:
    """Kaiming-normal: fan-out keeps the gradient's variance through the convolutions (He et al. 2015)."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(module.bias)
