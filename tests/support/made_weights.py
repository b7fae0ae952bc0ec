"""Files of weights as Presto and Galileo nano publish theirs, with numbers drawn at random."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.pretrained import start
from training.pretrained.known import KNOWN

WIDTHS = {"S2_RGB": 3, "S2_Red_Edge": 3, "S2_NIR_10m": 1, "S2_NIR_20m": 1, "S2_SWIR": 2, "NDVI": 1}


def _block(prefix: str, *, together: bool) -> dict[str, tuple[int, ...]]:
    asked = {"attn.qkv": (384, 128)} if together else {f"attn.{one}": (128, 128) for one in "qkv"}
    matrices = {**asked, "attn.proj": (128, 128), "mlp.fc1": (512, 128), "mlp.fc2": (128, 512)}
    vectors = {name: shape[:1] for name, shape in matrices.items()} | {"norm1": (128,), "norm2": (128,)}
    weights = {f"{prefix}{name}.weight": shape for name, shape in (vectors | matrices).items()}
    return weights | {f"{prefix}{name}.bias": shape for name, shape in vectors.items()}


def presto_shapes() -> dict[str, tuple[int, ...]]:
    """Names of the file of Presto -> shapes; of what is left out, a part."""
    shapes: dict[str, tuple[int, ...]] = {"encoder.channel_embed.weight": (10, 32)}
    for name, width in (WIDTHS | {"S1": 2, "ERA5": 2}).items():
        shapes[f"encoder.eo_patch_embed.{name}.weight"] = (128, width)
        shapes[f"encoder.eo_patch_embed.{name}.bias"] = (128,)
    for block in range(2):
        shapes |= _block(f"encoder.blocks.{block}.", together=True)
    rest = {"encoder.latlon_embed.weight": (128, 3), "decoder.mask_token": (128,)}
    return shapes | {"encoder.norm.weight": (128,), "encoder.norm.bias": (128,)} | rest


def galileo_shapes() -> dict[str, tuple[int, ...]]:
    """Names of the file of Galileo nano -> shapes; of what is left out, a part."""
    shapes: dict[str, tuple[int, ...]] = {"s_t_channel_embed": (7, 32), "t_channel_embed": (3, 32)}
    for name, width in WIDTHS.items():
        shapes[f"space_time_embed.{name}.proj.weight"] = (128, width, 8, 8)
        shapes[f"space_time_embed.{name}.proj.bias"] = (128,)
    for block in range(4):
        shapes |= _block(f"blocks.{block}.", together=False)
    return shapes | {"norm.weight": (128,), "norm.bias": (128,)}


SHAPES = {"presto": presto_shapes(), "galileo-nano": galileo_shapes()}


def drawn(encoder: str, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of a file."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.1)
        for name, shape in SHAPES[encoder].items()
    }


def write_weights(path: Path, encoder: str, monkeypatch: Any, **changed: Tensor | None) -> Path:
    """A file that is known by its digest as long as a test runs.

    Args:
        path: Where.
        encoder: Of which encoder.
        monkeypatch: Forgets it again.
        changed: Other tensors by name, with `__` for a dot; None leaves one out.
    """
    tensors = drawn(encoder)
    for name, tensor in changed.items():
        key = name.replace("__", ".")
        if tensor is None:
            del tensors[key]
        else:
            tensors[key] = tensor
    path.parent.mkdir(exist_ok=True)
    torch.save(tensors, path)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    known = replace(KNOWN[encoder], sha256=digest, size=len(content), title="Made weights")
    monkeypatch.setitem(start.BY_DIGEST, digest, known)
    return path
