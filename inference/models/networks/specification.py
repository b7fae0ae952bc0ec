"""Every network by name: how it is made of a configuration, and the memory that a pixel takes in it.

Nothing heavy is imported before a network is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from inference.models.networks.cropnet import CropNetConfig
    from inference.models.networks.normalisation import Normalisation

Maker = Callable[["NetworkConfig", Recipe, "Normalisation"], "nn.Module"]
"""Builds a network of a configuration, untrained."""

FLOAT: Final = 4
"""Bytes of a number in a network."""

ALIVE: Final = 3
"""Times the input and output of a layer that are alive with it: what a shortcut keeps, and room to work."""


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that decides the shape of a network other than CropNet."""

    model: str
    """Its name in `NETWORKS`."""
    bands: int
    """Rows of the input matrix."""
    bins: int
    """Columns of the input matrix."""
    classes: int
    """Number of classes: the width of the last layer."""
    preset: str = "compact"
    """Preset of CropNet, for the one that is made of it."""

    def __post_init__(self) -> None:
        if self.model not in NETWORKS:
            raise InputError(
                f"Networks are cropnet, cropnet-1d, {', '.join(NETWORKS)}; got {self.model!r}. The file was "
                "written by a later version of cropmap, or changed by hand."
            )
        sizes = (self.bands, self.bins, self.classes)
        if not all(type(size) is int and size >= 1 for size in sizes):
            raise InputError(f"A network takes sizes of at least 1, got {sizes}.")
        if min(self.bands, self.bins) < (least := NETWORKS[self.model].smallest):
            raise InputError(
                f"{NETWORKS[self.model].title} takes at least {least} bands and {least} bins, of which its "
                f"halvings leave one; got {self.bands} and {self.bins}. Choose another --model."
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class NetworkSpec:
    """One kind of network."""

    title: str
    """What people call it."""
    maker: Maker
    """Builds it."""
    smallest: int = 1
    """Fewest rows and columns of its input."""


def build_network(
    config: CropNetConfig | NetworkConfig, recipe: Recipe, normalisation: Normalisation
) -> nn.Module:
    """A network of a configuration, untrained; it draws its first weights from torch's own random state.

    Args:
        config: Its shape.
        recipe: Bands and window of its input.
        normalisation: How its input is scaled.

    Raises:
        InputError: A package is missing, or the recipe lacks a band that the network needs.
    """
    if isinstance(config, NetworkConfig):
        return NETWORKS[config.model].maker(config, recipe, normalisation)
    from inference.models.networks.cropnet import CropNet

    return CropNet(config)


def config_of(
    model: str, preset: str, classes: int, recipe: Recipe, dimensions: int = 2
) -> CropNetConfig | NetworkConfig:
    """The configuration of a network by name.

    Args:
        model: `cropnet`, `cropnet-1d` or a name of `NETWORKS`.
        preset: Preset of CropNet, where it is one or made of one.
        classes: Number of classes.
        recipe: Bands and window of the input.
        dimensions: 1 makes the flat form of `cropnet`.

    Raises:
        InputError: The name or the preset is unknown.
    """
    if model in ("cropnet", "cropnet-1d"):
        from inference.models.networks.cropnet import Along, CropNetConfig

        flat = model == "cropnet-1d" or dimensions == 1
        spectra = all(group.sensor.spectrum for group in recipe.sensors)
        along: Along = "bands" if flat and spectra else "time"
        return CropNetConfig.of(preset, classes, len(recipe.bands), 1 if flat else 2, along)
    if dimensions == 1:
        raise InputError(f"--dimensions 1 is a form of cropnet, not of {model}. Leave it out.")
    return NetworkConfig(model, len(recipe.bands), len(recipe.window), classes, preset)


def title_of(config: CropNetConfig | NetworkConfig) -> str:
    """What people call a network of a configuration."""
    if isinstance(config, NetworkConfig):
        return NETWORKS[config.model].title
    return f"CropNet{'-1D' if config.dimensions == 1 else ''} {config.preset}"


def pixel_bytes(network: nn.Module, bands: int, bins: int) -> int:
    """Bytes that one pixel takes in a network: of its widest layer, input and output and what goes with them.

    Args:
        network: In eval mode, on the CPU.
        bands: Rows of the input matrix.
        bins: Columns of the input matrix.
    """
    import torch

    widest = 0

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal widest
        outputs = output if isinstance(output, tuple) else (output,)  # a recurrent layer gives its state too
        numbers = sum(t.numel() for t in (*inputs, *outputs) if isinstance(t, torch.Tensor))
        widest = max(widest, numbers)

    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    with torch.inference_mode():
        network(torch.zeros(1, 1, bands, bins))
    for hook in hooks:
        hook.remove()
    return FLOAT * ALIVE * widest


def _mlp(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.mlp import MLP

    return MLP(config.bands * config.bins, config.classes)


def _harmonic_cropnet(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.harmonic_cropnet import HarmonicCropNet

    return HarmonicCropNet(config.preset, config.classes, recipe, normalisation)


def _resnet50(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.image_networks import resnet50

    return resnet50(config.classes)


def _efficientnet_v2_s(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.image_networks import efficientnet_v2_s

    return efficientnet_v2_s(config.classes)


def _convnext_tiny(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.image_networks import convnext_tiny

    return convnext_tiny(config.classes)


def _dcm(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.recurrent import DCM

    return DCM(config.bands, config.classes)


def _transformer(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.attention import Transformer

    return Transformer(config.bands, config.bins, config.classes)


def _temporal_cnn(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.temporal_cnn import TemporalCNN

    return TemporalCNN(config.bands, config.classes)


def _pan(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.recurrent import PAN

    return PAN(config.bands, config.classes)


def _phenocropnet(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
    from inference.models.networks.recurrent import PhenoCropNet

    return PhenoCropNet(config.bands, config.classes)


def _monthly(design: str, *, frozen: bool = False) -> Maker:
    """Builds a network on an encoder of `monthly_encoders`, by the name of its design."""

    def make(config: NetworkConfig, recipe: Recipe, normalisation: Normalisation) -> nn.Module:
        from inference.models.networks import monthly_encoders

        known = {"presto": monthly_encoders.PRESTO, "galileo-nano": monthly_encoders.GALILEO_NANO}
        return monthly_encoders.MonthlyNetwork(
            known[design], config.classes, recipe, normalisation, frozen=frozen
        )

    return make


NETWORKS: Final[dict[str, NetworkSpec]] = {
    "cropnet-1d-harmonic": NetworkSpec("CropNet-1D on harmonic coefficients", _harmonic_cropnet),
    "resnet50": NetworkSpec("ResNet-50", _resnet50),
    "efficientnet-v2-s": NetworkSpec("EfficientNetV2-S", _efficientnet_v2_s),
    "convnext-tiny": NetworkSpec("ConvNeXt-Tiny", _convnext_tiny, smallest=8),
    "mlp": NetworkSpec("Multilayer perceptron", _mlp),
    "dcm": NetworkSpec("DeepCropMapping", _dcm),
    "transformer": NetworkSpec("Transformer", _transformer),
    "temporal-cnn": NetworkSpec("Temporal CNN", _temporal_cnn),
    "pan": NetworkSpec("Recurrent branch of PAN", _pan),
    "phenocropnet": NetworkSpec("PhenoCropNet", _phenocropnet),
    "presto": NetworkSpec("Presto", _monthly("presto")),
    "presto-frozen": NetworkSpec("Perceptron on Presto", _monthly("presto", frozen=True)),
    "galileo-nano": NetworkSpec("Galileo nano", _monthly("galileo-nano")),
    "galileo-nano-frozen": NetworkSpec("Perceptron on Galileo nano", _monthly("galileo-nano", frozen=True)),
}
"""The networks besides CropNet by the name that files and options call them."""

NAMES: Final = ("cropnet", "cropnet-1d", *NETWORKS)
"""Every network that can be trained and mapped."""
