"""Answers page by page: to their end, if they have one."""

from datetime import date
from itertools import count

import pytest
import shapely

from gee_pipeline.incoming.addresses import AddressError
from gee_pipeline.incoming.geometry import on_globe
from gee_pipeline.recipe import Recipe
from gee_pipeline.season import TimeBin
from gee_pipeline.stac import search
from gee_pipeline.stac.api import ApiCatalog
from gee_pipeline.stac.choice import ALL
from gee_pipeline.stac.search import Search, pages
from gee_pipeline.stac.web import DocumentError, Reader, Request
from tests.support.stac_server import landing, serving

BOX = (9.0, 46.0, 9.25, 46.25)
SPAN = TimeBin(date(2021, 5, 1), date(2021, 5, 11))


@pytest.fixture
def server():
    with serving() as served:
        yield served


def page(*names, following=None, **link):
    links = [{"rel": "next", "href": following, **link}] if following else []
    features = [{"type": "Feature", "id": name, "links": []} for name in names]
    return {"type": "FeatureCollection", "features": features, "links": links}


def ids(server, method="GET"):
    found = Search(server.url, landing(server.url, method), Reader()).items(["s2", "s1"], BOX, SPAN)
    return [listed.values["id"] for listed in found]


def test_pages_by_get_carry_the_question_in_the_address(server):
    server.answers["/search"] = page("A", following="/second?token=2")
    server.answers["/second"] = page("B")
    assert ids(server) == ["A", "B"]
    first, second = server.asked
    assert first.method == second.method == "GET"
    assert "collections=s2%2Cs1" in first.path
    assert "bbox=9.0%2C46.0%2C9.25%2C46.25" in first.path
    assert "datetime=2021-05-01T00%3A00%3A00Z%2F2021-05-10T23%3A59%3A59Z" in first.path
    assert second.path == "/second?token=2"


@pytest.mark.parametrize("merge", [False, True])
def test_pages_by_post_send_what_the_link_says(server, merge):
    body = {"token": 2} if merge else {"collections": ["s2"], "token": 2}
    answers = iter([page("A", following="/search", method="POST", body=body, merge=merge), page("B")])
    server.answers["/search"] = lambda handler, asked: next(answers)
    assert ids(server, "POST") == ["A", "B"]
    question = {
        "collections": ["s2", "s1"],
        "bbox": list(BOX),
        "limit": 100,
        "datetime": "2021-05-01T00:00:00Z/2021-05-10T23:59:59Z",
    }
    assert [asked.body for asked in server.asked] == [question, question | {"token": 2} if merge else body]


def test_a_next_page_that_was_there_before_ends_the_search(server):
    server.answers["/search"] = page("A", following="/second")
    server.answers["/second"] = page("B", following="/second")
    with pytest.raises(DocumentError, match="circle"):
        ids(server)
    assert len(server.asked) == 2


def test_ever_new_pages_of_the_same_items_end_the_search(server):
    number = count()
    server.answers["/search"] = lambda handler, asked: page("A", following=f"/search?token={next(number)}")
    with pytest.raises(DocumentError, match="nothing new"):
        ids(server)


def test_ever_new_items_end_the_search_too(server, monkeypatch):
    monkeypatch.setattr(search, "MOST_PAGES", 5)
    number = count()
    server.answers["/search"] = lambda handler, asked: page(
        str(next(number)), following=f"/search?token={next(number)}"
    )
    with pytest.raises(DocumentError, match="more than 5 pages"):
        ids(server)
    assert len(server.asked) == 5


def test_a_next_page_is_on_the_web(server):
    server.answers["/search"] = page("A", following="file:///etc/passwd")
    with pytest.raises(AddressError):
        ids(server)
    server.answers["/search"] = page("A", following="s3://bucket/page")
    with pytest.raises(AddressError, match="not on the web"):
        list(pages(Reader(), Request(f"{server.url}/search")))


@pytest.mark.parametrize(
    "answer", [{}, {"features": None}, {"features": [1]}, {"type": "Catalog", "links": []}]
)
def test_an_answer_that_is_no_list_of_items_is_refused(server, answer):
    server.answers["/search"] = answer
    with pytest.raises(DocumentError, match="not a list of items"):
        ids(server)


def test_an_area_at_the_antimeridian_asks_for_both_sides_and_not_for_the_earth(server):
    catalog = ApiCatalog(
        server.url, landing(server.url, "POST"), "s2", Recipe.of(bands=("B4",)), ALL, Reader()
    )
    server.answers["/search"] = page()
    area = on_globe(shapely.box(179.9, -17, 180.05, -16.9))
    catalog.around(area, SPAN)
    assert [asked.body["bbox"] for asked in server.asked] == [
        [179.75, -17, 180, -16.75],
        [-180, -17, -179.75, -16.75],
    ]
