"""Lists of items: whole or refused, each document once, and nothing that leads where it may not."""

import json

import pytest

from gee_pipeline.incoming.addresses import AddressError
from gee_pipeline.stac.listing import kind_of, listed_items
from gee_pipeline.stac.web import DocumentError, Reader


def catalog(*links, **fields):
    return {
        "type": "Catalog",
        "id": "c",
        "stac_version": "1.0.0",
        "description": "",
        "links": [{"rel": rel, "href": href} for rel, href in links],
        **fields,
    }


def item(name, **fields):
    return {"type": "Feature", "id": name, "links": [], "assets": {}, **fields}


def found(folder, name="catalog.json"):
    path = str(folder / name)
    reader = Reader()
    return [listed.values["id"] for listed in listed_items(path, reader.read(path), reader)]


def write(folder, **documents):
    for name, values in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(values))


def test_links_in_a_circle_and_twice_are_followed_once(tmp_path):
    write(
        tmp_path,
        catalog=catalog(
            ("root", "catalog.json"), ("item", "a.json"), ("child", "sub.json"), ("item", "./a.json")
        ),
        sub=catalog(
            ("child", "./catalog.json"), ("child", "sub.json"), ("item", "b.json"), ("item", "a.json")
        ),
        a=item("A"),
        b=item("B"),
    )
    assert sorted(found(tmp_path)) == ["A", "B"]


@pytest.mark.parametrize(
    "more",
    [
        {"links": [{"rel": "next", "href": "https://api.example/search?token=2"}]},
        {"numberMatched": 3},
        {"context": {"matched": 3, "returned": 2}},
    ],
)
def test_a_saved_page_of_a_search_is_refused(tmp_path, more):
    write(tmp_path, catalog={"type": "FeatureCollection", "features": [item("A"), item("B")], **more})
    with pytest.raises(DocumentError, match=r"2 (of 3 )?items.*one page.*--collection"):
        found(tmp_path)


@pytest.mark.parametrize("more", [{}, {"numberMatched": 2}, {"numberMatched": None, "context": None}])
def test_a_whole_item_collection_is_taken(tmp_path, more):
    write(tmp_path, catalog={"type": "FeatureCollection", "features": [item("A"), item("B")], **more})
    assert found(tmp_path) == ["A", "B"]


def test_a_static_collection_may_link_to_a_list_of_its_items(tmp_path):
    links = [
        {"rel": "items", "href": "items.parquet", "type": "application/vnd.apache.parquet"},
        {"rel": "items", "href": "items.json", "type": "application/geo+json"},
    ]
    write(
        tmp_path,
        catalog=catalog(type="Collection", links=links),
        items={"type": "FeatureCollection", "features": [item("A")]},
    )
    assert found(tmp_path) == ["A"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"stac_version": "0.9.0", "links": [], "id": "x"}, "Catalog"),
        ({"stac_version": "0.9.0", "links": [], "assets": {}, "geometry": None}, "Feature"),
        ({"features": []}, "FeatureCollection"),
    ],
)
def test_documents_of_older_versions_are_known_by_what_they_hold(values, kind):
    assert kind_of(values) == kind


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "not a catalog"}, "not a catalog"),
        ({"type": "Feature" * 2}, "not a catalog"),
        (catalog(links="none"), "`links` is not a list"),
        (catalog(links=[1]), "`links` is not a list"),
        (catalog(links=[{"rel": "item"}]), "no href"),
        ({"type": "FeatureCollection", "features": {"0": 1}}, "`features` is not a list"),
        ({"type": "FeatureCollection", "features": [{"type": "Feature", "id": "field 1"}]}, "not STAC items"),
        (catalog(("child", "gone.json")), r"gone\.json, which it links to, cannot be read: No such file"),
    ],
)
def test_what_is_no_stac_is_said_in_one_clause(tmp_path, values, message):
    write(tmp_path, catalog=values)
    with pytest.raises(DocumentError, match=message):
        found(tmp_path)


@pytest.mark.parametrize("link", ["file:///etc/passwd", "ftp://host/item.json", "vrt:///etc/passwd"])
def test_a_catalog_from_the_network_leads_to_the_network_only(link):
    values = catalog(("item", link))
    with pytest.raises(AddressError, match="http"):
        list(listed_items("https://host/catalog.json", values, Reader()))
