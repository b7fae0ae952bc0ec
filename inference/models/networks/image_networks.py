"""Networks for photographs, on the matrix of 10 bands by 43 bins.

All three shrink a photograph by 32, which leaves nothing of ten rows. The paper lessens that "to preserve
sufficient resolution", keeps the rest and does not say how (Tong et al. 2025, section 4.1). Here each keeps
its last three halvings: the stem does not shrink, and 10 x 43 becomes about 2 x 6. Weights start at random.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import torch
from torch import nn

from gee_pipeline.errors import InputError


def resnet50(classes: int) -> nn.Module:
    """ResNet-50 (He et al. 2016) whose stem neither strides nor pools.

    Raises:
        InputError: timm is not installed.
    """
    network = timm_library().create_model("resnet50", in_chans=1, num_classes=classes)
    _without_stride(network.conv1)
    network.maxpool = nn.Identity()
    return network


def efficientnet_v2_s(classes: int) -> nn.Module:
    """EfficientNetV2-S (Tan & Le 2021) whose stem and second stage do not stride.

    Raises:
        InputError: timm is not installed.
    """
    network = timm_library().create_model("efficientnetv2_s", in_chans=1, num_classes=classes)
    _without_stride(network.conv_stem)
    _without_stride(network.blocks[1][0].conv_exp)
    return network


def convnext_tiny(classes: int) -> nn.Module:
    """ConvNeXt-Tiny (Liu et al. 2022) with patches of one value instead of 4 x 4.

    Raises:
        InputError: timm is not installed.
    """
    return timm_library().create_model("convnext_tiny", in_chans=1, num_classes=classes, patch_size=1)


def _without_stride(convolution: nn.Conv2d) -> None:
    assert convolution.stride == (2, 2), "timm changed this network: this convolution did not halve."
    convolution.stride = (1, 1)


def timm_library() -> ModuleType:
    """timm, also where the torchvision that it imports was compiled for another build of torch.

    pip takes the torchvision for CUDA together with a torch for the CPU. Its compiled operators do not load
    there, and then its import stops at the first one it misses. The models here use none of them, so each
    that is missed is declared, without an implementation.
    """
    declared = set[str]()
    while True:
        try:
            return importlib.import_module("timm")
        except ImportError as error:
            raise InputError(
                f"This model comes from timm, which cannot be imported ({error}). "
                "Install it: pip install 'cropmap[training]'."
            ) from error
        except RuntimeError as error:
            missing = re.fullmatch(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None or missing[1] in declared:
                raise
            declared.add(missing[1])
            torch.library.define(f"torchvision::{missing[1]}", "(Tensor x) -> Tensor")
