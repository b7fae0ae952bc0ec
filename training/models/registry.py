"""Every model by name, behind one interface; nothing heavy is imported before a model is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gee_pipeline.errors import InputError
from gee_pipeline.recipe import Recipe
from training.pretrained.known import encoder_of

if TYPE_CHECKING:
    from torch import nn

    from inference.models.networks.normalisation import Normalisation
    from training.models.forest import Forest

Kind = Literal["network", "forest"]
Features = Literal["median-2d", "median-1d", "harmonic", "months", "packaged"]


@dataclass(frozen=True)
class Blueprint:
    """What a model is built from."""

    classes: int
    """Number of classes: logits of a network, columns of a forest's probabilities."""
    recipe: Recipe
    """Bands and window of the series."""
    preset: str
    """Preset of `inference.models.networks.cropnet`, for the CropNets."""
    seed: int
    """Random state of a forest; a network draws its first weights from torch's own."""
    normalisation: Normalisation | None
    """How the input of a network was scaled."""


@dataclass(frozen=True)
class ModelSpec:
    """A model that can be trained: a network, or a forest on features.

    A network takes what `inference.models.series.model_input` gives, float32 `(sample, 1, band, bin)`,
    whatever its features are, and gives logits `(sample, class)`. A forest takes float32 `(sample, feature)`
    from `training.models.features.features_of`.
    """

    name: str
    """What it is called on the command line and in tables."""
    kind: Kind
    """`network`: a torch module. `forest`: a `training.models.forest.Forest`."""
    features: Features
    """What it looks at: the matrix, the flat series, 35 coefficients of its waves, what a published encoder
    makes of its months, or features of a file."""
    parameters: int | None
    """Trainable weights for 10 bands, 43 bins and 7 classes, with the paper's preset where there is one; None
    for a forest. Those of an encoder that is kept are not trained."""
    source: str
    """Where it comes from, and the published number of weights."""
    maker: Callable[[Blueprint], nn.Module | Forest]
    """Builds it."""
    adaptable: bool = False
    """Whether it shows its features at several depths, so that it can be adapted to another place."""
    file: str | None = None
    """Name of the file with the features of a region, `{}` for its code; None makes them of series."""

    @property
    def encoder(self) -> str | None:
        """The published encoder that it is made of: which weights of `training.pretrained.known` fit it."""
        return encoder_of(self.name)

    @property
    def has_presets(self) -> bool:
        """Whether it is a CropNet, of which there are sizes."""
        return self.name.startswith("cropnet")

    def build(
        self,
        classes: int,
        bands: int,
        bins: int,
        *,
        preset: str = "compact",
        recipe: Recipe | None = None,
        normalisation: Normalisation | None = None,
        seed: int = 1,
    ) -> nn.Module | Forest:
        """A new model, untrained.

        Args:
            classes: Number of classes.
            bands: Rows of the input matrix.
            bins: Columns of the input matrix.
            preset: Preset of `inference.models.networks.cropnet`; only the CropNets have one.
            recipe: Names the bands and the days of the bins; None is the default recipe.
            normalisation: How the input is scaled; a network on harmonic features needs it, because an index
                is a ratio of reflectances.
            seed: Random state of a forest. A network starts from torch's own: call `torch.manual_seed`.

        Raises:
            InputError: The recipe has other bands or bins, or something that the model needs is missing.
        """
        recipe = recipe or Recipe()
        if (len(recipe.bands), len(recipe.window)) != (bands, bins):
            raise InputError(
                f"A model is built for the bands and bins of its recipe, {len(recipe.bands)} and "
                f"{len(recipe.window)}; got {bands} and {bins}. Give the recipe of the samples."
            )
        return self.maker(Blueprint(classes, recipe, preset, seed, normalisation))


def _network(name: str) -> Callable[[Blueprint], nn.Module]:
    """Builds the network of a name."""

    def make(plan: Blueprint) -> nn.Module:
        from inference.models.networks.specification import build_network, config_of

        if plan.normalisation is None and name == "cropnet-1d-harmonic":
            raise InputError(
                "A network on harmonic features computes them from reflectance, so it must know how its "
                "input was scaled. Give the normalisation of the training samples."
            )
        config = config_of(name, plan.preset, plan.classes, plan.recipe)
        return build_network(config, plan.recipe, plan.normalisation or _unscaled(plan.recipe))

    return make


def _unscaled(recipe: Recipe) -> Normalisation:
    """Of networks that do not look at it."""
    from inference.models.networks.normalisation import Normalisation

    bands = len(recipe.bands)
    return Normalisation((0.0,) * bands, (1.0,) * bands)


def _forest(plan: Blueprint) -> Forest:
    from training.models.forest import Forest

    return Forest(plan.classes, seed=plan.seed)


def instead_of_training(name: str) -> str:
    """What to do in place of training a model of this name as a network; empty for a network."""
    spec = MODELS[name]
    if spec.kind == "network":
        return ""
    if spec.features == "packaged":
        return (
            f"{name} is a forest on features that CropGlobe holds for its own samples; cropmap cannot make "
            "them for a map, so it is neither saved nor mapped. It takes part in 'cropmap benchmark'."
        )
    if spec.features == "months":
        return (
            f"{name} is a forest on embeddings, which is neither saved nor mapped. It takes part in 'cropmap "
            f"benchmark'; a network on the same embeddings is mapped: --model {spec.encoder}-frozen."
        )
    features = "median" if spec.features == "median-1d" else spec.features
    return f"{name} is a forest. Grow it with 'cropmap forest train --features {features}'."


_PAPER: Final = "Tong et al. 2025"
_PRESTO: Final = "Tseng et al. 2023"
_GALILEO: Final = "Tseng et al. 2025"

MODELS: Final[dict[str, ModelSpec]] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "cropnet",
            "network",
            "median-2d",
            4_689_735,
            f"{_PAPER}, section 3.3: 4.69 M, on the matrix; their code is the preset compact",
            _network("cropnet"),
            adaptable=True,
        ),
        ModelSpec(
            "cropnet-1d",
            "network",
            "median-1d",
            1_568_199,
            f"{_PAPER}, section 3.3, last paragraph: CropNet along the flat series",
            _network("cropnet-1d"),
            adaptable=True,
        ),
        ModelSpec(
            "cropnet-1d-harmonic",
            "network",
            "harmonic",
            1_568_199,
            f"{_PAPER}, table 3 (CropNet_Harmonic): CropNet along 35 harmonic coefficients",
            _network("cropnet-1d-harmonic"),
        ),
        ModelSpec(
            "resnet50",
            "network",
            "median-2d",
            23_516_103,
            f"He et al. 2016, by timm; {_PAPER}, table 6: 23.57 M",
            _network("resnet50"),
        ),
        ModelSpec(
            "efficientnet-v2-s",
            "network",
            "median-2d",
            20_186_023,
            f"Tan & Le 2021, by timm; {_PAPER}, table 6: 20.24 M",
            _network("efficientnet-v2-s"),
        ),
        ModelSpec(
            "convnext-tiny",
            "network",
            "median-2d",
            27_820_999,
            f"Liu et al. 2022, by timm; {_PAPER}, table 6: 27.85 M",
            _network("convnext-tiny"),
        ),
        ModelSpec(
            "mlp",
            "network",
            "median-1d",
            173_703,
            "Later version of Tong et al.: eight hidden layers of 128, GELU, dropout 0.3",
            _network("mlp"),
        ),
        ModelSpec(
            "dcm",
            "network",
            "median-2d",
            2_129_928,
            "Xu et al. 2020 (DeepCropMapping): two bidirectional LSTM layers of 256, attention over dates",
            _network("dcm"),
            adaptable=True,
        ),
        ModelSpec(
            "transformer",
            "network",
            "median-2d",
            101_575,
            "Rußwurm & Körner 2020: an encoder on the dates; sizes ours",
            _network("transformer"),
            adaptable=True,
        ),
        ModelSpec(
            "temporal-cnn",
            "network",
            "median-2d",
            210_695,
            "Wang et al. 2023: the extractor of DACCN, which it is with mmd; sizes ours",
            _network("temporal-cnn"),
            adaptable=True,
        ),
        ModelSpec(
            "pan",
            "network",
            "median-2d",
            153_735,
            "Wang et al. 2022: the branch of PAN, which it is with mmd; sizes ours",
            _network("pan"),
            adaptable=True,
        ),
        ModelSpec(
            "phenocropnet",
            "network",
            "median-2d",
            236_679,
            "Lei et al. 2024: dates within periods, periods within the season; sizes and periods ours",
            _network("phenocropnet"),
            adaptable=True,
        ),
        ModelSpec(
            "presto",
            "network",
            "months",
            400_071,
            f"{_PRESTO}: its encoder on months of Sentinel-2, tuned with one linear layer; published 404,160",
            _network("presto"),
        ),
        ModelSpec(
            "presto-frozen",
            "network",
            "months",
            135_047,
            f"Later version of Tong et al.: eight layers of 128 on embeddings by Presto, {_PRESTO}",
            _network("presto-frozen"),
        ),
        ModelSpec(
            "galileo-nano",
            "network",
            "months",
            796_615,
            f"{_GALILEO}: its nano encoder on months of Sentinel-2, tuned with one linear layer; published "
            "1,037,856, most of the rest for other inputs",
            _network("galileo-nano"),
        ),
        ModelSpec(
            "galileo-nano-frozen",
            "network",
            "months",
            135_047,
            f"Eight layers of 128 on embeddings by Galileo nano, {_GALILEO}",
            _network("galileo-nano-frozen"),
        ),
        ModelSpec("rf", "forest", "median-1d", None, f"{_PAPER}, section 4.1: 500 trees", _forest),
        ModelSpec("rf-harmonic", "forest", "harmonic", None, f"{_PAPER}, section 4.1: 500 trees", _forest),
        ModelSpec(
            "rf-on-presto",
            "forest",
            "months",
            None,
            f"500 trees on embeddings by Presto, {_PRESTO}, made here of the series' months",
            _forest,
        ),
        ModelSpec(
            "rf-on-galileo-nano",
            "forest",
            "months",
            None,
            f"500 trees on embeddings by Galileo nano, {_GALILEO}, made here of the series' months",
            _forest,
        ),
        ModelSpec(
            "rf-cropglobe-harmonic",
            "forest",
            "packaged",
            None,
            f"{_PAPER}, section 4.1: 500 trees, on the coefficients that CropGlobe holds",
            _forest,
            file="harmonic_{}_month5-11.npz",
        ),
        ModelSpec(
            "rf-presto",
            "forest",
            "packaged",
            None,
            "Later version of Tong et al.: 500 trees on embeddings by Presto (Tseng et al. 2023)",
            _forest,
            file="presto_embedding_S2_{}.npz",
        ),
        ModelSpec(
            "rf-presto-maynov",
            "forest",
            "packaged",
            None,
            "Later version of Tong et al.: the same on the months of the model's window, May to November",
            _forest,
            file="presto_embedding_S2_{}_MayNov.npz",
        ),
        ModelSpec(
            "rf-alphaearth",
            "forest",
            "packaged",
            None,
            "Later version of Tong et al.: 500 trees on embeddings by AlphaEarth (Brown et al. 2025)",
            _forest,
            file="alphaearth_embedding_{}.npz",
        ),
    )
}
"""The models by name."""
