"""Weights that the paper compares: where they are, under which licence, and how their input is scaled.

Addresses and the first digits of digests are those of torchgeo's `ResNet50_Weights` (torchgeo/torchgeo at
6100eb4b) and of torchvision's; the files themselves were not at hand. Nothing here downloads anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.foundation.patches import BANDS, UNIT

RANDOM: Final = "random"
"""An encoder without any training, drawn by the seed."""


@dataclass(frozen=True)
class KnownWeights:
    """A way to begin the encoder with."""

    name: str
    """As `--weights` calls it."""
    title: str
    """What it is, for tables."""
    bands: tuple[str, ...]
    """Bands that it sees, in its order, of `patches.BANDS`."""
    divisors: tuple[float, ...]
    """What each band's reflectance times 10,000 is divided by."""
    clipped: bool = False
    """Whether what comes out is cut to 0 to 1."""
    channels: int | None = None
    """Channels of the file's first layer where they are not the bands, over which they are then spread."""
    address: str = ""
    """Where the file is published; empty where there is none."""
    digest: str = ""
    """First hex digits of its SHA-256, as its name has them; empty where unknown."""
    licence: str = ""
    """Of the file, and where that was read."""
    note: str = ""
    """What differs from its use by the paper's authors, one sentence."""

    @property
    def file_channels(self) -> int:
        """Channels of the first layer in the file."""
        return self.channels or len(self.bands)

    def scaled(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The input of the encoder.

        Args:
            image: `(band, y, x)` in the order of `patches.BANDS`, reflectance times 10,000.

        Returns:
            `(channel, y, x)` in the order of `bands`.
        """
        chosen = image[[BANDS.index(band) for band in self.bands]]
        divided = chosen / np.array(self.divisors, np.float32)[:, None, None]
        return np.clip(divided, 0, 1) if self.clipped else divided


_TENTHOUSAND: Final = (UNIT,) * len(BANDS)
_VISIBLE_255: Final = 3558.0
"""What the 255 of a true-colour image of Sentinel-2 stands for, as the paper's authors scale level 1C."""

KNOWN: Final = {
    one.name: one
    for one in (
        KnownWeights(RANDOM, "no pretraining", BANDS, _TENTHOUSAND),
        KnownWeights(
            "imagenet",
            "ImageNet, supervised",
            BANDS,
            _TENTHOUSAND,
            channels=3,
            address="https://download.pytorch.org/models/resnet50-19c8e357.pth",
            digest="19c8e357",
            licence="BSD-3-Clause of torchvision; ImageNet's own terms are for research",
            note="The three channels of the first layer are repeated over the thirteen bands and made "
            "smaller in proportion. Which of torchvision's files the authors' library took is not known.",
        ),
        KnownWeights(
            "ssl4eo",
            "SSL4EO-S12, MoCo",
            BANDS,
            _TENTHOUSAND,
            address="https://hf.co/torchgeo/resnet50_sentinel2_all_moco/resolve/"
            "da4f3c9dbe09272eb902f3b37f46635fa4726879/resnet50_sentinel2_all_moco-df8b932e.pth",
            digest="df8b932e",
            licence="CC-BY-4.0",
        ),
        KnownWeights(
            "satlas",
            "SatlasPretrain, single image, nine bands",
            ("B04", "B03", "B02", "B05", "B06", "B07", "B08", "B11", "B12"),
            (*(_VISIBLE_255,) * 3, *(8160.0,) * 6),
            clipped=True,
            address="https://hf.co/torchgeo/satlas/resolve/081d6607431bf36bdb59c223777cbb267131b8f2/"
            "sentinel2_resnet50_si_ms-1f454cc6.pth",
            digest="1f454cc6",
            licence="ODC-BY as torchgeo says, Apache-2.0 as the page of its authors says",
            note="The file has the encoder alone: the decoder begins at random, where the authors also took "
            "the pretrained feature pyramid.",
        ),
    )
}
"""By name."""
