"""What of an address may be shown, and where links lead."""

import pytest

from gee_pipeline.errors import InputError
from gee_pipeline.incoming.addresses import (
    AddressError,
    existing,
    has_secrets,
    is_remote,
    resolved,
    without_secrets,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:PW@host/a?token=T", "http://host/a"),
        ("https://user@host:8080/a/b.tif#part", "https://host:8080/a/b.tif"),
        ("https://u:p@ss@host/", "https://host/"),
        ("HTTPS://U:P@Host/?A=1&b=2", "HTTPS://Host/"),
        ("s3://key:secret@bucket/b.tif", "s3://bucket/b.tif"),
        (
            "asset B4 (https://h/p.tif?sig=1%2F&se=2) cannot be read",
            "asset B4 (https://h/p.tif) cannot be read",
        ),
        ("two: 'https://h/p?a=1', \"https://h/q?b=2\"", "two: 'https://h/p', \"https://h/q\""),
        ("/vsicurl/https://h/x.tif?sig=a does not exist", "/vsicurl/https://h/x.tif does not exist"),
        ("/vsicurl?url=http%3A%2F%2Fh%2Fx%3Fsig%3Da", "/vsicurl"),
        (
            "Max retries exceeded with url: /stac?token=T (Caused by",
            "Max retries exceeded with url: /stac (Caused by",
        ),
        (
            "see https://console.example/apis?project=my-project",
            "see https://console.example/apis?project=my-project",
        ),
        ("https://h/apis?project=a&key=b", "https://h/apis"),
        ("C:\\scenes\\catalog.json", "C:\\scenes\\catalog.json"),
        ("/data/catalog.json is what? Nothing", "/data/catalog.json is what? Nothing"),
    ],
)
def test_urls_in_a_text_are_shown_without_what_gives_access(text, shown):
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown
    assert str(InputError(text)) == shown
    assert repr(InputError(text)) == repr(InputError(shown))


def test_what_has_secrets():
    assert has_secrets("https://h/a?b")
    assert not has_secrets("https://h/a")
    assert not has_secrets("/data/what?.json")


@pytest.mark.parametrize(
    ("href", "remote"),
    [
        ("https://h/a", True),
        ("s3://b/k", True),
        ("/a", False),
        ("a.json", False),
        ("C:\\a", False),
        ("file:///a", False),
    ],
)
def test_what_is_remote(href, remote):
    assert is_remote(href) is remote


@pytest.mark.parametrize(
    ("link", "base", "expected"),
    [
        ("./items/a.json", "https://h/c/catalog.json", "https://h/c/items/a.json"),
        ("/a.json", "https://h/c/catalog.json?token=1", "https://h/a.json"),
        ("https://other/a.json?sig=1", "https://h/c.json", "https://other/a.json?sig=1"),
        ("s3://bucket/a.tif", "https://h/c.json", "s3://bucket/a.tif"),
        ("a.json", "https://me:pw@h/c.json", "https://me:pw@h/a.json"),
        ("https://h/a.json", "https://me:pw@h/c.json", "https://me:pw@h/a.json"),
        ("https://other/a.json", "https://me:pw@h/c.json", "https://other/a.json"),  # not for others to see
        ("http://h/a.json", "https://me:pw@h/c.json", "http://h/a.json"),  # nor for listeners
        ("https://h/a.json", "/data/c.json", "https://h/a.json"),
    ],
)
def test_where_a_link_leads(link, base, expected):
    assert resolved(link, base) == expected


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "ftp://h/a", "vrt:///etc/passwd", "C:\\a.json", "data:,a"]
)
def test_a_document_from_the_network_leads_to_no_file_of_this_machine(link):
    with pytest.raises(AddressError, match="http"):
        resolved(link, "https://h/c.json")


def test_percent_signs_are_decoded_unless_the_file_is_called_so(tmp_path):
    (tmp_path / "my scenes").mkdir()
    (tmp_path / "my scenes" / "a.json").touch()
    (tmp_path / "b%20c.json").touch()
    base = str(tmp_path / "catalog.json")
    assert resolved("./my%20scenes/a.json", base) == str(tmp_path / "my scenes" / "a.json")
    assert resolved("my scenes/a.json", base) == str(tmp_path / "my scenes" / "a.json")
    assert resolved("b%20c.json", base) == str(tmp_path / "b%20c.json")
    assert existing((tmp_path / "my scenes" / "a.json").as_uri()) == str(tmp_path / "my scenes" / "a.json")
    assert existing("\0%20") == "\0%20"
