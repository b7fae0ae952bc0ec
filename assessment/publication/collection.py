"""All maps of a folder as one STAC collection, and their items as one GeoParquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import pystac

from assessment.document.facts import Words
from assessment.publication.folder import AREAS, ITEM, STATISTICS
from assessment.publication.item import PARQUET, licence_id, licence_links, providers
from assessment.publication.project import PROJECT
from gee_pipeline.errors import InputError
from gee_pipeline.files import ODD_VALUES, atomic_path, in_words, read_json, write_json
from inference.product.legend import slug

COLLECTION: Final = "collection.json"
ITEMS: Final = "items.parquet"
_WORDS: Final = "cropmap:publisher"

_ASSETS: Final = {
    "items": pystac.Asset(f"./{ITEMS}", "All items", media_type=PARQUET, roles=["collection-mirror"]),
    "areas": pystac.Asset(
        f"./{AREAS}", "Hectares by map, class and district", media_type="text/csv", roles=["metadata"]
    ),
    "statistics": pystac.Asset(
        f"./{STATISTICS}", "Published hectares beside", media_type="text/csv", roles=["metadata"]
    ),
    "project": pystac.Asset(
        f"./{PROJECT}", "QGIS project of all maps", media_type="application/zip", roles=["metadata"]
    ),
}
"""What lies beside the collection; the role of the items is that of the stac-geoparquet specification."""

SIMULATED_AMONG: Final = (
    "Maps of simulated scenes are among them: they show how the software works, not what grows there."
)


def published_maps(folder: Path) -> list[str]:
    """Names of the maps in a folder, in order of time and name."""
    items = {path.parent.name: read_json(path) for path in folder.glob("*/item.json")}
    return sorted(items, key=lambda name: (items[name]["properties"]["start_datetime"], name))


@dataclass(frozen=True)
class Publisher:
    """Who publishes a folder, and what the folder is called: as said now, or when it was begun."""

    words: Words
    """The publisher's."""
    collection: str
    """STAC id of the collection; it stays what it was, for items and links name it."""


def publisher_of(folder: Path, given: Words) -> Publisher:
    """What is known of a folder, with what is said now.

    Args:
        folder: A folder of published maps, or a new one.
        given: What the publisher says; None keeps what stands in the folder.

    Raises:
        InputError: The collection in the folder is none of cropmap's.
    """
    path = folder / COLLECTION
    if not path.is_file():
        return Publisher(given, slug(given.title or "") or "crop-maps")
    try:
        values = read_json(path)
        known, identifier = Words(**values[_WORDS]), str(values["id"])
    except ODD_VALUES as error:
        raise InputError(
            f"{path} is not of a folder that 'cropmap publish' made: {in_words(error)}. Give another --to."
        ) from error
    said = {key: value for key, value in asdict(given).items() if value is not None}
    return Publisher(replace(known, **said), identifier)


def write_collection(folder: Path, publisher: Publisher) -> None:
    """Write `collection.json` and `items.parquet` of the maps in a folder.

    Args:
        folder: Folder with a folder for each map.
        publisher: Who publishes.

    Raises:
        DiskFullError: The disk has no room.
    """
    maps = published_maps(folder)
    items = [read_json(folder / name / ITEM) for name in maps]
    write_json(folder / COLLECTION, build_collection(items, maps, publisher))
    write_items(folder / ITEMS, items)


def build_collection(
    items: Sequence[dict[str, Any]], maps: Sequence[str], publisher: Publisher
) -> dict[str, Any]:
    """The collection as JSON values, with hrefs relative to itself.

    Args:
        items: The items of the maps.
        maps: The folders of the maps.
        publisher: Who publishes.
    """
    words = publisher.words
    title = words.title or _title(items)
    known = [pystac.Item.from_dict(item, preserve_dict=True) for item in items]
    collection = pystac.Collection(
        id=publisher.collection,
        title=title,
        description=words.note or _description(items, title),
        extent=pystac.Extent.from_items(known),
        license=licence_id(words.licence),
        keywords=["crop map", "land cover", "agriculture"],
        providers=providers(words) or None,
        extra_fields={_WORDS: asdict(words)},
    )
    for key, asset in _ASSETS.items():
        if key != "statistics" or any(key in item["assets"] for item in items):
            collection.add_asset(key, asset.clone())
    collection.summaries = pystac.Summaries(_summaries(items))
    for name, item in zip(maps, known, strict=True):
        collection.add_link(
            pystac.Link(
                pystac.RelType.ITEM, f"./{name}/{ITEM}", pystac.MediaType.GEOJSON, item.properties["title"]
            )
        )
    collection.add_link(pystac.Link(pystac.RelType.ROOT, f"./{COLLECTION}", pystac.MediaType.JSON))
    for link in licence_links(words.licence):
        collection.add_link(link)
    return collection.to_dict(include_self_link=False, transform_hrefs=False)


def write_items(path: Path, items: Sequence[dict[str, Any]]) -> None:
    """Write items as stac-geoparquet.

    Raises:
        DiskFullError: The disk has no room.
    """
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    table = parse_stac_items_to_arrow(list(items))
    with atomic_path(path) as part:
        to_parquet(table, part)


def _title(items: Sequence[dict[str, Any]]) -> str:
    """That of the only map, or the years of all."""
    if len(items) == 1:
        return str(items[0]["properties"]["title"])
    years = sorted({item["properties"]["cropmap:year"] for item in items})
    return f"Crop maps {years[0]}" if len(years) == 1 else f"Crop maps {years[0]} to {years[-1]}"


def _description(items: Sequence[dict[str, Any]], title: str) -> str:
    named = "; ".join(item["properties"]["title"] for item in items)
    simulated = any(item["properties"].get("cropmap:simulated") for item in items)
    text = f"{title}. Maps of the crops of a season from satellite images, one item each: {named}."
    return f"{text} {SIMULATED_AMONG}" if simulated else text


def _summaries(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the items have in common, as a client filters by it."""
    properties = [item["properties"] for item in items]
    years = sorted({one["cropmap:year"] for one in properties})
    return {
        "gsd": sorted({one["gsd"] for one in properties}),
        "proj:code": sorted({one["proj:code"] for one in properties if one.get("proj:code")}),
        "cropmap:year": years,
        "cropmap:model": sorted({one["cropmap:model"] for one in properties}),
    }
