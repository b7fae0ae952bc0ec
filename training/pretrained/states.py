"""The encoders of published files under the names that cropmap's own have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from inference.models.networks.monthly_encoders import GALILEO_NANO, GROUPS, PRESTO

State = Mapping[str, Tensor]

_PRESTO_GROUPS: Final = [1, 2, 3, 4, 5, 8]
"""Rows of `GROUPS` among Presto's: radar is before, weather and terrain are before the index."""

_GALILEO_GROUPS: Final = [1, 2, 3, 4, 5, 6]
"""Rows of `GROUPS` among Galileo's: radar is before."""

_BOTH: Final = ("norm1", "norm2")


def presto_state(file: State) -> dict[str, Tensor]:
    """The encoder of a file of Presto.

    Args:
        file: Weights by the names of nasaharvest/presto.

    Raises:
        KeyError: It lacks one.
    """
    found = {"groups": file["encoder.channel_embed.weight"][_PRESTO_GROUPS]}
    for part in ("weight", "bias"):
        found[f"norm.{part}"] = file[f"encoder.norm.{part}"]
        for name in GROUPS:
            found[f"embeds.{name}.{part}"] = file[f"encoder.eo_patch_embed.{name}.{part}"]
        for block in range(PRESTO.blocks):
            of = f"encoder.blocks.{block}."
            found[f"blocks.{block}.attention.asked.{part}"] = file[f"{of}attn.qkv.{part}"]
            found |= _rest_of_block(file, of, block, part)
    return found


def galileo_state(file: State) -> dict[str, Tensor]:
    """The encoder of a file of Galileo nano, for patches of one pixel.

    Args:
        file: Weights by the names of nasaharvest/galileo.

    Raises:
        KeyError: It lacks one.
    """
    found = {"groups": file["s_t_channel_embed"][_GALILEO_GROUPS]}
    for name in GROUPS:
        found[f"embeds.{name}.weight"] = of_one_pixel(file[f"space_time_embed.{name}.proj.weight"])
        found[f"embeds.{name}.bias"] = file[f"space_time_embed.{name}.proj.bias"]
    for part in ("weight", "bias"):
        found[f"norm.{part}"] = file[f"norm.{part}"]
        for block in range(GALILEO_NANO.blocks):
            of = f"blocks.{block}."
            asked = [file[f"{of}attn.{one}.{part}"] for one in "qkv"]
            found[f"blocks.{block}.attention.asked.{part}"] = torch.cat(asked)
            found |= _rest_of_block(file, of, block, part)
    return found


def of_one_pixel(kernel: Tensor) -> Tensor:
    """`(feature, band)` of a kernel `(feature, band, 8, 8)`: what FlexiViT makes of it for a single pixel.

    It is the kernel by the pseudo-inverse of the interpolation of a patch to one pixel (Beyer et al. 2023,
    equation 3), which is linear in the patch.
    """
    patches = torch.eye(kernel[0, 0].numel()).reshape(-1, 1, *kernel.shape[2:])
    resized = functional.interpolate(patches, (1, 1), mode="bicubic", antialias=True).flatten(1)
    return (kernel.flatten(2) @ torch.linalg.pinv(resized).T).squeeze(2)


def _rest_of_block(file: State, of: str, block: int, part: str) -> dict[str, Tensor]:
    """What stands in the blocks of both alike."""
    names = {
        **{norm: norm for norm in _BOTH},
        "attn.proj": "attention.joined",
        "mlp.fc1": "alone.0",
        "mlp.fc2": "alone.2",
    }
    return {f"blocks.{block}.{ours}.{part}": file[f"{of}{theirs}.{part}"] for theirs, ours in names.items()}


STATES: Final[dict[str, Callable[[State], dict[str, Tensor]]]] = {
    "presto": presto_state,
    "galileo-nano": galileo_state,
}
"""Name of an encoder -> what reads its published files."""
