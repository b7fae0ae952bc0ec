"""Tables, classifiers, images and folders of Cloud projects, and what REST tells of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from tests.support.ee_emulator.archive import ImageAsset
from tests.support.ee_emulator.faults import Refusal
from tests.support.ee_emulator.values import INDEX, Classifier, Collection, EmulatorError, Feature, Image

STRING_LIMIT: Final = 100_000
"""Characters of a text in a table."""
COLUMN_LIMIT: Final = 1000

_NAME: Final = re.compile(r"projects/[a-z][a-z0-9.:-]+/assets(?:/[A-Za-z0-9_-]+)+")
_PAGE: Final = 1000
"""Assets of a page."""


@dataclass(frozen=True, eq=False)
class IngestedImage:
    """An image asset: its pixels, and what REST tells of it."""

    image: ImageAsset
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of its pixels."""
        return sum(raster.values.nbytes for raster in self.image.bands.values())


@dataclass(frozen=True)
class Asset:
    """One asset."""

    name: str
    """projects/PROJECT/assets/NAME."""
    type: str
    """FOLDER, TABLE, CLASSIFIER or IMAGE."""
    content: Any = None
    """Collection, Classifier or IngestedImage."""
    size: int = 0
    """Bytes, made up."""
    updated: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    @property
    def parent(self) -> str:
        """The folder that it is in, or `projects/PROJECT/assets`."""
        return self.name.rpartition("/")[0]

    def resource(self) -> dict[str, Any]:
        """The asset as the service tells it."""
        told = {"type": self.type, "name": self.name, "id": self.name, "updateTime": self.updated}
        if self.type == "IMAGE":
            told |= self.content.told
        return told if self.type == "FOLDER" else told | {"sizeBytes": str(self.size)}


class Assets:
    """Assets by name; safe in threads."""

    def __init__(self) -> None:
        self._assets: dict[str, Asset] = {}
        self._lock = threading.RLock()

    def __contains__(self, name: str) -> bool:
        return name in self._assets

    def __len__(self) -> int:
        return len(self._assets)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._assets.clear()

    def put(self, name: str, content: Any) -> None:
        """Hold content under a name, and the folders above it, as a test needs them.

        Raises:
            EmulatorError: It is none of these, or is no table that the service would take.
        """
        with self._lock:
            self._assets[name] = _made(name, content)
            parent = self._assets[name].parent
            while parent and not _is_root(parent):
                self._assets.setdefault(parent, Asset(parent, "FOLDER"))
                parent = parent.rpartition("/")[0]

    def write(self, name: str, content: Any, *, overwrite: bool) -> None:
        """Keep what a task exports.

        Raises:
            Refusal: There is no such folder, the name is taken, or the content cannot be kept.
        """
        with self._lock:
            self.require_place(name)
            if name in self._assets and (not overwrite or self._assets[name].type == "FOLDER"):
                raise Refusal(400, f"Cannot overwrite asset '{name}'.")
            try:
                self._assets[name] = _made(name, content)
            except EmulatorError as error:
                raise Refusal(400, str(error)) from error

    def require_place(self, name: str) -> None:
        """Refuse a name without a folder."""
        parent = name.rpartition("/")[0]
        if not _is_root(parent) and (parent not in self or self._assets[parent].type != "FOLDER"):
            raise Refusal(404, f"Asset '{parent}' does not exist or doesn't allow this operation.")

    def create_folder(self, name: str) -> dict[str, Any]:
        """Make a folder."""
        check_name(name)
        with self._lock:
            self.require_place(name)
            if name in self._assets:
                raise Refusal(400, f"Cannot overwrite asset '{name}'.")
            self._assets[name] = Asset(name, "FOLDER")
            return self._assets[name].resource()

    def get(self, name: str) -> dict[str, Any]:
        """What is told of an asset."""
        with self._lock:
            if name not in self._assets:
                raise Refusal(404, _missing("Asset", name))
            return self._assets[name].resource()

    def delete(self, name: str) -> None:
        """Forget an asset; a folder must be empty."""
        with self._lock:
            self.get(name)
            if any(asset.parent == name for asset in self._assets.values()):
                raise Refusal(400, f"Asset '{name}' has children and cannot be deleted.")
            del self._assets[name]

    def listing(self, parent: str, first: int, size: int) -> dict[str, Any]:
        """One page of what is in a folder."""
        with self._lock:
            if not _is_root(parent) and self.get(parent)["type"] != "FOLDER":
                raise Refusal(400, f"Asset '{parent}' is not a folder or collection.")
            found = sorted(name for name, asset in self._assets.items() if asset.parent == parent)
            last = first + (min(size, _PAGE) or _PAGE)
            page = {"assets": [self._assets[name].resource() for name in found[first:last]]}
            return page | {"nextPageToken": str(last)} if last < len(found) else page

    def table(self, name: str) -> Collection:
        """The features of a table.

        Raises:
            EmulatorError: There is no such table.
        """
        return self._content(name, "TABLE", "Collection.loadTable: Collection asset")

    def classifier(self, name: str) -> Classifier:
        """A classifier.

        Raises:
            EmulatorError: There is no such classifier.
        """
        return self._content(name, "CLASSIFIER", "Classifier.load: Classifier asset")

    def image(self, name: str) -> Image:
        """An image.

        Raises:
            EmulatorError: There is no such image.
        """
        found: Image = self._content(name, "IMAGE", "Image.load: Image asset").image.image
        return found

    def _content(self, name: str, kind: str, what: str) -> Any:
        with self._lock:
            if name not in self._assets:
                raise EmulatorError(_missing(what, name))
            asset = self._assets[name]
            if asset.type != kind:
                raise EmulatorError(f"{what} '{name}' is a {asset.type}, not a {kind}.")
            return asset.content


def check_name(name: str) -> None:
    """Refuse a name that no asset can have."""
    if not _NAME.fullmatch(name):
        raise Refusal(400, f"Invalid asset name: '{name}'.")


def _missing(what: str, name: str) -> str:
    return f"{what} '{name}' not found (does not exist or caller does not have access)."


def _is_root(name: str) -> bool:
    return re.fullmatch(r"projects/[^/]+/assets", name) is not None


def _made(name: str, content: Any) -> Asset:
    if isinstance(content, Classifier):
        return Asset(name, "CLASSIFIER", content, sum(40 * len(tree.value) for tree in content.trees))
    if isinstance(content, Collection):
        table = _table(name, content)
        return Asset(name, "TABLE", table, sum(_bytes(feature) for feature in table.elements))
    if isinstance(content, IngestedImage):
        return Asset(name, "IMAGE", content, content.size)
    raise EmulatorError(f"The emulator keeps tables, classifiers and images, not a {type(content).__name__}.")


def _table(name: str, collection: Collection) -> Collection:
    """Features under new indices, in the same order."""
    kept = [
        _row(feature).with_properties({**feature.properties, INDEX: f"{place:020x}"})
        for place, feature in enumerate(collection.elements)
    ]
    columns = {column for feature in kept for column in feature.properties if column != INDEX}
    if len(columns) > COLUMN_LIMIT:
        raise EmulatorError(f"A table has at most {COLUMN_LIMIT} columns, this one has {len(columns)}.")
    return replace(collection, elements=tuple(kept), id=name)


def _row(feature: Any) -> Feature:
    if not isinstance(feature, Feature):
        raise EmulatorError(f"A table holds features, not a {type(feature).__name__}.")
    if feature.geometry is None:
        raise EmulatorError("Unable to export features with null geometry.")
    for name, value in feature.properties.items():
        _require_column(name, value)
    return feature


def _require_column(name: str, value: Any) -> None:
    if value is not None and not isinstance(value, str | int | float):
        raise EmulatorError(f"The emulator keeps texts and numbers in tables; '{name}' is {value!r:.60}.")
    if isinstance(value, str) and len(value) > STRING_LIMIT:
        raise EmulatorError(
            f"Property '{name}' has {len(value)} characters; a text in a table has at most {STRING_LIMIT}."
        )


def _bytes(feature: Any) -> int:
    return sum(len(str(value)) for value in feature.properties.values()) + 100
