"""A deployed forest as scripts take it: its features, and its trees within the script or in assets."""

from __future__ import annotations

from collections.abc import Iterator

from gee_pipeline.bands import REFLECTANCE_SCALE
from gee_pipeline.earthengine.forest.classifier_assets import LINE_END, MODES
from gee_pipeline.earthengine.forest.tree_text import SHARE_UNIT
from gee_pipeline.features.harmonic import (
    COEFFICIENTS,
    DARKEST_GREEN,
    HALF_UP,
    VARIABLES,
    bin_days,
    fit_matrix,
)
from inference.deployment.deployment import Deployment, ensemble_count, ensembles
from inference.deployment.forest_on_servers import ForestOnServers
from inference.models.forest_model import ForestModel
from inference.scripts.model_part import ModelPart
from inference.scripts.script_text import Settings, about


def forest_part(forest: ForestOnServers) -> ModelPart:
    """What a script needs of a forest."""
    deployment = forest.deployed
    return ModelPart(
        name="forest",
        title="a Random Forest",
        code_command="cropmap forest code",
        map_command="cropmap forest predict",
        smaller="Deploy the forest as an asset with 'cropmap forest deploy --way classifier'.",
        view="",
        scored=deployment.confidence != "none",
        parts=frozenset({f"trees-{deployment.way}", deployment.confidence, forest.model.features}),
        settings=(*_harmonic(forest.model), *_trees(forest.model, deployment)),
    )


def _harmonic(model: ForestModel) -> Iterator[Settings]:
    if model.features != "harmonic":
        return
    yield about(
        "Reflectance 1, the darkest green that counts, and what makes coefficients whole numbers.",
        REFLECTANCE_SCALE=REFLECTANCE_SCALE,
        DARKEST_GREEN=DARKEST_GREEN,
        HALF_UP=HALF_UP,
    )
    yield about(
        "What the waves are fitted to, their coefficients, and the weights of the bins in each.",
        VARIABLES=list(VARIABLES),
        COEFFICIENTS=list(COEFFICIENTS),
        WEIGHTS=fit_matrix(bin_days(model.recipe)).tolist(),
    )


def _trees(model: ForestModel, deployment: Deployment) -> Iterator[Settings]:
    shares = deployment.confidence == "probability"
    yield about("Trees of the forest.", TREES_OF_FOREST=deployment.trees)
    yield about(
        "The strength of a class that all trees vote for.",
        WHOLE=deployment.trees * (SHARE_UNIT if shares else 1),
    )
    yield about(
        "Assets of the trees; where they are tables, the classifiers they make and what ends a line in them.",
        ASSETS=list(deployment.assets),
        ENSEMBLES=ensemble_count(deployment),
        LINE_END=LINE_END,
    )
    if deployment.way == "inline":
        trees = [list(one) for one in ensembles(model, deployment.confidence)]
        yield about("The trees of each classifier, in the print format of R's rpart.", TREES=trees)
    yield about("What the classifiers answer.", OUTPUT_MODE=MODES[deployment.confidence])
