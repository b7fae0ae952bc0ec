"""What a frozen encoder makes of patches, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from gee_pipeline.errors import CorruptFileError, DiskFullError, InputError
from gee_pipeline.files import size_text, write_bytes
from training.foundation.known_weights import KnownWeights
from training.foundation.patches import Patch
from training.foundation.views import changed

LABELS: Final = "labels"
"""Name of the labels in a file of the cache; the encoder's tensors are `0` to `4`."""

KEPT: Final = torch.float16
"""What tensors are kept in: half the room, and three digits."""


@dataclass(frozen=True)
class Seen:
    """What a decoder is given of a patch."""

    pyramid: tuple[Tensor, ...]
    """Five of `(channel, y, x)`, from the largest picture to the smallest."""
    labels: NDArray[np.uint8]
    """`(y, x)`, 0 to 5."""


@dataclass(frozen=True)
class FeatureCache:
    """Encoder outputs by patch and view, in one folder for each encoder.

    View 0 is the patch as it is. The others are crops and flips that are drawn once from the patch's digest
    and the view's number: crops and flips of an encoder's output would not be outputs of crops and flips.
    """

    folder: Path
    """Of all encoders."""
    encoder: nn.Module
    """Frozen, on the device."""
    known: KnownWeights
    """How images are scaled for it."""
    key: str
    """Digest of its weights."""
    device: torch.device
    """Where it runs."""

    def path(self, digest: str, view: int) -> Path:
        """File of a view of a patch.

        Args:
            digest: Of the patch.
            view: Number of the view.
        """
        scaling = f"{self.known.bands} {self.known.divisors} {self.known.clipped}"
        encoder = hashlib.sha256(f"{self.key} {scaling}".encode()).hexdigest()[:16]
        return self.folder / encoder / f"{digest}-{view}.safetensors"

    def get(self, digest: str, view: int) -> Seen:
        """A view that was kept.

        Raises:
            CorruptFileError: Its file is damaged.
        """
        path = self.path(digest, view)
        try:
            tensors = load(path.read_bytes())
            pyramid = tuple(tensors[str(at)].float() for at in range(len(tensors) - 1))
            return Seen(pyramid, tensors[LABELS].numpy())
        except (SafetensorError, KeyError) as error:
            raise CorruptFileError(f"{path} is damaged. Delete it, and it is computed again.") from error

    def keep(self, digest: str, view: int, patch: Patch) -> None:
        """Compute a view and write it, unless it is there.

        Raises:
            InputError: The encoder makes numbers that 16 bits do not hold.
            DiskFullError: The disk has no room.
        """
        path = self.path(digest, view)
        if path.is_file():
            return
        image, labels = self.known.scaled(patch.image), patch.labels
        if view:
            image, labels = changed(image, labels, np.random.default_rng([int(digest, 16), view]))
        with torch.inference_mode():
            pyramid = self.encoder(torch.from_numpy(image)[None].to(self.device))
        halves = [tensor[0].to(KEPT).cpu().contiguous() for tensor in pyramid]
        if not all(bool(torch.isfinite(half).all()) for half in halves):
            raise InputError(
                f"The encoder with the weights {self.known.name} makes numbers that 16 bits do not hold. "
                "Give --views 0, which keeps nothing."
            )
        tensors = {str(at): half for at, half in enumerate(halves)}
        write_bytes(path, save({**tensors, LABELS: torch.from_numpy(labels)}))

    def require_room(
        self, wanted: Iterable[tuple[str, int]], widths: Sequence[int], side: int, taken: int = 0
    ) -> int:
        """Bytes that views will take which are not kept yet.

        Args:
            wanted: Digest of a patch, and number of a view.
            widths: Channels of the encoder's outputs.
            side: Pixels along a side of a patch.
            taken: Bytes that others will take there.

        Raises:
            DiskFullError: The disk has less.
        """
        each = view_bytes(widths, side)
        needed = each * sum(not self.path(digest, view).is_file() for digest, view in wanted)
        self.folder.mkdir(parents=True, exist_ok=True)
        if needed and taken + needed > (free := shutil.disk_usage(self.folder).free):
            raise DiskFullError(
                f"What the frozen encoder makes of the patches takes {size_text(taken + needed)} in "
                f"{self.folder}, {size_text(each)} a view; the disk has {size_text(free)} free. Choose "
                "another --cache, fewer --views, or --views 0, which keeps nothing and runs the encoder in "
                "every epoch."
            )
        return needed


def view_bytes(widths: Sequence[int], side: int) -> int:
    """Bytes of a view on disk, but for its head of less than a kilobyte.

    Args:
        widths: Channels of the encoder's outputs, the first of half the side, each next of half that.
        side: Pixels along a side of a patch.
    """
    pixels = [(side // 2 ** (at + 1)) ** 2 for at in range(len(widths))]
    tensors = sum(width * count for width, count in zip(widths, pixels, strict=True))
    return tensors * KEPT.itemsize + side * side
