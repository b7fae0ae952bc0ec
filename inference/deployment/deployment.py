"""A forest on Earth Engine's servers: how it comes there, how large that is, and how it is found again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from gee_pipeline.earthengine.client.assets import (
    ENVELOPE_BYTES,
    REQUEST_LIMIT,
    ROW_BYTES,
    TABLE_BYTES,
    TEXT_LIMIT,
    json_bytes,
    require_asset_name,
)
from gee_pipeline.earthengine.forest.classifier_assets import REST_OF_REQUEST, ServedTrees
from gee_pipeline.earthengine.forest.deploy_options import (
    CONFIDENCES,
    DEFAULT_CONFIDENCE,
    WAYS,
    Confidence,
    Way,
)
from gee_pipeline.earthengine.forest.forest_graph import Voters
from gee_pipeline.errors import CorruptFileError, InputError, MismatchError
from gee_pipeline.files import ODD_VALUES, read_sealed, size_text, write_sealed
from inference.deployment.asset_tasks import remedy_for_asset
from inference.deployment.forest_text import class_strings, forest_strings
from inference.models.forest_model import ForestModel

_WAY_OUT: Final = "Delete it and run 'cropmap forest deploy --overwrite'."

FORMAT: Final = 1
"""Version of the file; one of another version is refused."""

_MODE: Final = re.compile(r"\b(mode|raw)\b")
"""In Earth Engine's words on an output mode that an ensemble does not have."""

_ASSET_NAME: Final = re.compile(r"projects/[^\s'\"]+")
"""Its words hold names, and those may hold any word."""


@dataclass(frozen=True)
class Deployment:
    """Where the trees of a forest are, and what the servers make of them."""

    way: Way
    """How the trees come to the servers."""
    confidence: Confidence
    """What the servers report besides a class."""
    assets: tuple[str, ...]
    """`projects/P/assets/NAME`: one classifier, or one per class; or tables in order; none with `inline`."""
    forest: str
    """Digest of the forest."""
    classes: int
    """Classes of the forest."""
    trees: int
    """Trees of the forest."""
    bytes: int
    """Size of all its trees as requests carry them."""

    def __post_init__(self) -> None:
        if self.way not in WAYS or self.confidence not in CONFIDENCES:
            raise InputError(
                f"A deployment has one of the ways {', '.join(WAYS)} and one of the confidences "
                f"{', '.join(CONFIDENCES)}, got {self.way!r} and {self.confidence!r}."
            )
        if (self.way == "inline") == bool(self.assets):
            raise InputError(f"A deployment has assets unless it is inline, got {self.way}, {self.assets}.")
        for asset in self.assets:
            require_asset_name(asset)

    def to_dict(self) -> dict[str, Any]:
        """The deployment as JSON values."""
        return {"format": FORMAT, **asdict(self), "assets": list(self.assets)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Deployment:
        """The deployment that `to_dict` wrote.

        Raises:
            MismatchError: Another version wrote it.
        """
        if values.get("format") != FORMAT:
            raise MismatchError(
                f"This cropmap reads deployments of format {FORMAT}, got {values.get('format')!r}. Run "
                "'cropmap forest deploy --overwrite'."
            )
        named = {f.name: values[f.name] for f in fields(cls)}
        return cls(**{**named, "assets": tuple(named["assets"])})

    def require_of(self, model: ForestModel) -> None:
        """Refuse a forest that is not the one on the servers.

        Raises:
            MismatchError: Naming both digests.
        """
        if self.forest != model.digest:
            raise MismatchError(
                f"The deployment is of the forest {self.forest}, and this forest is {model.digest}: it was "
                "trained again since. Deploy it with 'cropmap forest deploy'."
            )

    def served(self, model: ForestModel | None = None) -> ServedTrees:
        """The trees as the servers find them.

        Args:
            model: The forest; needed where its trees go with every request.
        """
        texts: tuple[tuple[str, ...], ...] = ()
        if self.way == "inline":
            assert model is not None, "The trees of an inline deployment come from its forest."
            self.require_of(model)
            texts = ensembles(model, self.confidence)
        return ServedTrees(self.way, self.confidence, self.assets, ensemble_count(self), texts)


def ensemble_count(deployment: Deployment) -> int:
    """Classifiers that answer: one per class for probabilities, one in all otherwise."""
    return deployment.classes if deployment.confidence == "probability" else 1


def voters(deployment: Deployment, model: ForestModel | None = None) -> Voters:
    """What classifies pixels on the servers; needs an initialised client.

    Args:
        deployment: Where the trees are.
        model: The forest; needed where its trees go with every request.
    """
    served = deployment.served(model)
    return Voters(served.confidence, served.classifiers(), deployment.classes)


def deployment_path(forest: Path) -> Path:
    """Where the deployment of a forest's file is written: `forest.deployment.json`."""
    return forest.with_suffix(".deployment.json")


def save_deployment(path: Path, deployment: Deployment) -> None:
    """Write a deployment atomically."""
    write_sealed(path, deployment.to_dict())


def load_deployment(path: Path, model: ForestModel | None = None) -> Deployment:
    """The deployment of a file.

    Args:
        path: As `deployment_path` gives it.
        model: The forest that it must be of; None takes any.

    Raises:
        InputError: There is no such file.
        CorruptFileError: It is damaged.
        MismatchError: It is of another forest or version.
    """
    if not path.is_file():
        raise InputError(
            f"The forest is not deployed: {path} does not exist. Run 'cropmap forest deploy' with it first."
        )
    try:
        deployment = Deployment.from_dict(read_sealed(path, _WAY_OUT))
    except (*ODD_VALUES, InputError) as error:
        raise CorruptFileError(f"{path} is not a deployment of a forest ({error!r}). {_WAY_OUT}") from error
    if model is not None:
        deployment.require_of(model)
    return deployment


def require_target(way: Way, asset: str | None) -> None:
    """Refuse a way without the asset that it writes, or with one that it does not write.

    Raises:
        InputError: Naming the option.
    """
    if way == "inline":
        if asset is not None:
            raise InputError("With --way inline trees go with every request: omit --asset.")
        return
    if asset is None:
        raise InputError(
            f"With --way {way} trees are written to an asset: name it with --asset "
            "projects/PROJECT/assets/NAME."
        )
    require_asset_name(asset)


def ensembles(model: ForestModel, confidence: Confidence) -> tuple[tuple[str, ...], ...]:
    """The trees of each ensemble as text: one ensemble, or for probabilities one per class.

    Raises:
        InputError: A tree is too deep for Earth Engine.
    """
    return tuple(_ensembles(model, confidence))


@dataclass(frozen=True)
class DeployedSizes:
    """How large a forest is on its way to the servers, before anything is sent."""

    trees: int
    """Trees of the forest."""
    nodes: int
    """Nodes of all its trees, leaves included."""
    confidence: Confidence
    """What the servers are to answer; probabilities take one ensemble a class."""
    ensembles: tuple[int, ...]
    """Bytes of each ensemble in a request."""
    longest_tree: int
    """Characters of the longest tree."""

    @property
    def bytes(self) -> int:
        """All ensembles together."""
        return sum(self.ensembles)

    def request_bytes(self, way: Way) -> int:
        """The largest request that carries trees, with all it holds besides."""
        if way == "inline":
            return self.bytes + REST_OF_REQUEST
        if way == "table":
            rows = ROW_BYTES * self.trees * len(self.ensembles)
            return min(self.bytes + rows, TABLE_BYTES) + ENVELOPE_BYTES
        return max(self.ensembles) + ENVELOPE_BYTES

    def fits(self, way: Way) -> bool:
        """Whether Earth Engine takes the forest this way."""
        if way == "table":
            return self.longest_tree <= TEXT_LIMIT
        return self.request_bytes(way) <= REQUEST_LIMIT

    def require_fit(self, way: Way) -> None:
        """Refuse a forest that is too large for a way.

        Raises:
            InputError: Naming size, limit and the ways out.
        """
        if not self.fits(way):
            raise InputError(self._too_long() if way == "table" else too_large(self, way))

    def to_dict(self) -> dict[str, Any]:
        """The sizes as JSON values."""
        fits = {way: self.fits(way) for way in WAYS}
        return {**asdict(self), "ensembles": list(self.ensembles), "bytes": self.bytes, "fits": fits}

    def _too_long(self) -> str:
        return (
            f"A string in a table asset has at most {TEXT_LIMIT:,} characters, and the longest tree takes "
            f"{self.longest_tree:,}. {_ways_out(self, 'table')}"
        )


def deployed_sizes(model: ForestModel, confidence: Confidence = DEFAULT_CONFIDENCE) -> DeployedSizes:
    """How large a forest is on its way to the servers; needs no access to Earth Engine.

    Raises:
        InputError: A tree is too deep for Earth Engine.
    """
    sizes, longest = [], 0
    for trees in _ensembles(model, confidence):
        sizes.append(json_bytes(trees))
        longest = max(longest, *map(len, trees))
    return DeployedSizes(len(model.trees), model.nodes, confidence, tuple(sizes), longest)


def too_large(sizes: DeployedSizes, way: Way, size: int | None = None, said: str = "") -> str:
    """The message for a request that Earth Engine does not take.

    Args:
        sizes: Of the forest.
        way: How it was to come to the servers.
        size: Bytes of the request, where it is known exactly.
        said: Earth Engine's own words.
    """
    size = size or sizes.request_bytes(way)
    what = "Every request with the trees of the forest" if way == "inline" else "The request with the trees"
    words = f" Earth Engine says: {said.rstrip('.')}." if said else ""
    return (
        f"{what} takes {size:,} bytes ({size_text(size)}), and Earth Engine takes {REQUEST_LIMIT:,} at most."
        f"{words} {_ways_out(sizes, way)}"
    )


def remedy_for(message: str, confidence: Confidence) -> str:
    """What to do about trees that the servers refused.

    Args:
        message: Earth Engine's own words.
        confidence: What the servers were to answer.
    """
    text = _ASSET_NAME.sub("", message).lower()
    if confidence == "votes" and _MODE.search(text):
        return (
            "Earth Engine does not say the votes of single trees here. Take the mean of the leaves' shares "
            "with --confidence probability, or no confidence with --confidence none."
        )
    return remedy_for_asset(text)


def _ways_out(sizes: DeployedSizes, way: Way) -> str:
    others = [f"--way {other}" for other in ("classifier", "table") if other != way and sizes.fits(other)]
    cheaper = ["--confidence votes"] if sizes.confidence == "probability" else []
    deploy = f"Deploy it with {' or '.join(others + cheaper)}, or train" if others + cheaper else "Train"
    return (
        f"{deploy} a smaller forest: fewer trees (--trees) or fewer leaves (--max-leaf-nodes) in 'cropmap "
        "forest train'."
    )


def _ensembles(model: ForestModel, confidence: Confidence) -> Iterator[tuple[str, ...]]:
    if confidence != "probability":
        yield tuple(forest_strings(model))
        return
    for crop in model.classes:
        yield tuple(class_strings(model, crop.code))
