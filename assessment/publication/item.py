"""The STAC item of a published map: that of the run, with everything that lies beside it now."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pystac
from pystac.extensions.file import FileExtension

from assessment.document.facts import Document, Words
from gee_pipeline.files import SHA_256, file_digest

PARQUET: Final = "application/vnd.apache.parquet"
_ISO: Final = "application/vnd.iso.19139+xml"
_GEOPACKAGE: Final = "application/geopackage+sqlite3"
_XML: Final = "application/xml"

FILES: Final = (
    ("page", "report.html", pystac.MediaType.HTML, "The map, its areas and how right it is", "overview"),
    ("areas", "areas.csv", "text/csv", "Hectares by class and district", "metadata"),
    ("statistics", "statistics.csv", "text/csv", "Published hectares beside those of the map", "metadata"),
    ("iso_19115", "metadata.xml", _ISO, "ISO 19115 metadata", "metadata"),
    ("smoothed", "smoothed/crop_map_smoothed.tif", pystac.MediaType.COG, "Crop map without speckle", "data"),
    ("style_smoothed", "smoothed/crop_map_smoothed.qml", _XML, "QGIS style: without speckle", "metadata"),
    ("fields", "fields/fields.parquet", PARQUET, "Parcels and their classes", "data"),
    ("fields_geopackage", "fields/fields.gpkg", _GEOPACKAGE, "Parcels and their classes", "data"),
    ("accuracy", "assessment/accuracy.csv", "text/csv", "Accuracy with intervals", "metadata"),
    ("estimated_areas", "assessment/area.csv", "text/csv", "Estimated areas with intervals", "metadata"),
    ("assessment", "assessment/report.json", pystac.MediaType.JSON, "The assessment", "metadata"),
)
"""Key, path, media type, title and role of what a published map may have beside its rasters."""

_CREATIVE_COMMONS: Final = re.compile(r"CC[ -](BY|0)([ -](SA|NC|ND))*[ -]\d\.\d", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)]")
"""An address, without the marks of the sentence around it."""

_SPDX: Final = re.compile(r"[A-Za-z0-9.+]+(-[A-Za-z0-9.+]+)*-\d[\d.]*(-[A-Za-z0-9.+]+)*|MIT")
"""The form of an SPDX identifier that says its version."""


def published_item(source: Path, folder: Path, document: Document, collection: str) -> dict[str, Any]:
    """The item of a published map as JSON values.

    Args:
        source: `item.json` of the run's map.
        folder: The folder of the published map, with all files but the item.
        document: What the page of the map says.
        collection: Id of the collection that it belongs to.
    """
    words = document.words
    try:
        item = pystac.Item.from_dict(pystac.StacIO.default().read_json(str(source)), preserve_dict=False)
    except pystac.STACError as error:
        raise ValueError(str(error)) from error  # as for all values that are not ours
    for key, name, media_type, title, role in FILES:
        if (folder / name).is_file():
            item.add_asset(key, pystac.Asset(f"./{name}", title=title, media_type=media_type, roles=[role]))
    for asset in item.assets.values():
        _add_file(asset, folder / asset.href)
    item.collection_id = collection
    item.properties["cropmap:year"] = document.report["year"]
    item.properties["cropmap:areas_of"] = document.map.path.name
    item.common_metadata.license = licence_id(words.licence)
    item.common_metadata.providers = providers(words) or None
    item.add_link(pystac.Link(pystac.RelType.COLLECTION, "../collection.json", pystac.MediaType.JSON))
    for rel in (pystac.RelType.PARENT, pystac.RelType.ROOT):
        item.add_link(pystac.Link(rel, "../collection.json", pystac.MediaType.JSON))
    for link in licence_links(words.licence):
        item.add_link(link)
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def licence_id(licence: str | None) -> str:
    """The licence as STAC wants it: an SPDX identifier, or `other`.

    The name of a Creative Commons licence is one once its blanks are dashes.
    """
    text = (licence or "").strip()
    if _CREATIVE_COMMONS.fullmatch(text):
        return "-".join(re.split(r"[ -]+", text.upper()))
    return text if _SPDX.fullmatch(text) else "other"


def licence_links(licence: str | None) -> list[pystac.Link]:
    """Where the terms stand, if the publisher says a web address."""
    address = _ADDRESS.search(licence or "")
    return [pystac.Link(pystac.RelType.LICENSE, address[0], title="Licence")] if address else []


def providers(words: Words) -> list[pystac.Provider]:
    """Who publishes; nobody where the publisher is not named."""
    if not words.agency:
        return []
    roles = [pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR]
    contact = words.contact or ""
    address = contact if contact.startswith(("http://", "https://")) else None
    described = f"Contact: {contact}" if contact and not address else None
    return [pystac.Provider(words.agency, described, roles, address)]


def _add_file(asset: pystac.Asset, path: Path) -> None:
    """Size and checksum of an asset."""
    FileExtension.ext(asset, add_if_missing=True).apply(
        size=path.stat().st_size, checksum=f"{SHA_256}{file_digest(path)}"
    )
