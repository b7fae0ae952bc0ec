"""Addresses of catalogs and files: paths and URLs, how links resolve, and what of them may be shown."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

FROM_THE_NETWORK: Final = frozenset({"http", "https", "s3", "gs"})
"""Where a catalog from the network may send its reader; to no file of this machine."""

_SHOWN_PARAMETERS: Final = re.compile(r"\?project=[\w.:-]+$")
"""A query that only names a Google Cloud project is part of the help in a message."""

_URL: Final = re.compile(
    r"""(?P<scheme>[a-z][a-z0-9+.-]*://)   # https://
        (?:[^\s/?\#'"<>]*@)?               # user:password@
        (?P<place>[^\s?\#'"<>]*)           # host/path
        (?P<query>\?[^\s\#'"<>)\]}]*)?     # ?token=...
        (?:\#[^\s'"<>)\]}]*)?              # #fragment
    """,
    re.VERBOSE | re.IGNORECASE,
)

_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")

_SECRET: Final = re.compile("[@?#]")
"""What a URL with user, query or fragment has; most have none, which is quickly seen."""

_PATH_WITH_QUERY: Final = re.compile(r"""(?P<path>(?:^|(?<=[\s'"(]))/[^\s?'"]*)\?[^\s'"<>)\]}]*""")
"""A URL without its host, as libraries of HTTP name it; and GDAL's `/vsicurl?...`."""


class AddressError(ValueError):
    """A link leads where it may not; the text is one clause."""


def is_remote(href: str) -> bool:
    """Whether a path or URL leads over the network."""
    scheme = _scheme(href)
    return len(scheme) > 1 and scheme != "file"  # one letter is a Windows drive


def without_secrets(text: str) -> str:
    """A text in which every URL is reduced to scheme, host and path.

    User, password, query and fragment are what gives access: tokens and signatures. A text without them may
    be written to files and shown; two addresses that differ only in them name the same place.

    >>> without_secrets("https://me:secret@host/catalog.json?token=x cannot be read")
    'https://host/catalog.json cannot be read'
    """
    if not _SECRET.search(text):
        return text
    return _PATH_WITH_QUERY.sub(lambda found: found["path"], _URL.sub(_shown, text))


def has_secrets(href: str) -> bool:
    """Whether an address says more than may be written to a file."""
    return is_remote(href) and without_secrets(href) != href


def resolved(link: str, base: str) -> str:
    """The path or URL that a link names.

    A link is a URI: where no file has the literal name, `%20` is a blank. User and password of the base hold
    for other documents of its host.

    Args:
        link: Absolute or relative path or URL.
        base: Path or URL of the document that holds it.

    Raises:
        AddressError: A document that came over the network names something else than http, https, s3 or gs.
    """
    if is_remote(base):
        return _with_user_of(base, require_network(urljoin(base, link)))
    if is_remote(link):
        return link
    return existing(os.path.normpath(Path(base).parent / _path(link)))


def require_network(href: str) -> str:
    """The same URL.

    Raises:
        AddressError: It is no URL of http, https, s3 or gs.
    """
    if _scheme(href) not in FROM_THE_NETWORK:
        allowed = ", ".join(sorted(FROM_THE_NETWORK))
        raise AddressError(f"what is read over the network may lead to {allowed} only, not to {href}")
    return href


def existing(href: str) -> str:
    """A URL as it is; of a local path or file URL the path, with percent signs decoded where that file is."""
    if not ("%" in href or href.startswith("file:")) or is_remote(href):
        return href
    path = _path(href)
    decoded = unquote(path)
    return decoded if decoded != path and not _is_there(path) and _is_there(decoded) else path


def is_endless(path: str | Path) -> bool:
    """Whether a local path is a pipe or a device: reading it may never end."""
    found = Path(path)
    return _is_there(str(path)) and not (found.is_file() or found.is_dir())


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long, or a zero byte in it
        return False


def _path(href: str) -> str:
    return url2pathname(urlsplit(href).path) if href.startswith("file:") else href


def _scheme(href: str) -> str:
    found = _SCHEME.match(href)
    return found[1].lower() if found else ""


def _shown(found: re.Match[str]) -> str:
    query = found["query"] or ""
    return found["scheme"] + found["place"] + (query if _SHOWN_PARAMETERS.match(query) else "")


def _with_user_of(base: str, href: str) -> str:
    """The URL with the user of the base, where both have the same host and it names none of its own."""
    user, at, host = urlsplit(base).netloc.rpartition("@")
    parts = urlsplit(href)
    if not at or parts.netloc != host or parts.scheme != urlsplit(base).scheme:
        return href
    return urlunsplit(parts._replace(netloc=f"{user}@{host}"))
