"""What an answer of Earth Engine means for the one who asked: wait, ask for less, or stop."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final

import google.auth.exceptions
import googleapiclient.errors  # type: ignore[import-untyped]
import httplib2  # type: ignore[import-untyped]
import requests
from ee.ee_exception import EEException

from gee_pipeline.errors import AccessError, EarthEngineError

_MISSHAPEN: Final = (AttributeError, LookupError, RecursionError, TypeError)
"""What the client stumbles over where an answer is JSON, but not of the interface's form: a proxy sent it."""

FAILURES: Final = (
    EEException,
    googleapiclient.errors.Error,
    google.auth.exceptions.GoogleAuthError,
    httplib2.HttpLib2Error,
    requests.RequestException,
    OSError,  # connections and timeouts
    json.JSONDecodeError,
    UnicodeDecodeError,
    *_MISSHAPEN,
)
"""What a request through the client can raise; `fault_of` knows each of them."""

ROLES: Final = "Earth Engine Resource Viewer and Service Usage Consumer"
"""IAM roles that a request for pixels needs in the project that pays."""

WRITER_ROLES: Final = "Earth Engine Resource Writer and Service Usage Consumer"
"""The same for a request that writes assets."""


class FaultKind(Enum):
    """What helps against a refusal; the members differ in nothing else."""

    LATER = "later"
    """The server or the way to it failed: the same request may succeed in a while."""
    TOO_MANY = "too many"
    """Too many requests at once or in a minute: the same request later, and fewer at once."""
    TOO_LARGE = "too large"
    """More memory, time or bytes than one request may take: the same pixels in smaller requests."""
    ACCESS = "access"
    """Credentials, project, permission or quota: no request of this run will succeed."""
    NEVER = "never"
    """The request itself is wrong: it fails again however often it is made."""


class Fault(Exception):
    """One request was refused or not answered, in the server's own words."""

    def __init__(self, kind: FaultKind, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status

    @property
    def temporary(self) -> bool:
        """True where the same request may succeed later."""
        return self.kind in (FaultKind.LATER, FaultKind.TOO_MANY)


def broken(reason: str) -> Fault:
    """The fault of an answer that is not what was asked for; the next may be right.

    Args:
        reason: What is wrong with it, one clause.
    """
    return Fault(FaultKind.LATER, f"the answer was broken: {reason}")


def fault_of(error: BaseException) -> Fault:
    """What an exception of the client means.

    Args:
        error: Raised by `ee`, `googleapiclient`, `google.auth` or the transport. An `EEException` keeps the
            HTTP answer that it was made from as its context.
    """
    if isinstance(error, Fault):
        return error
    message, status = _words(error), _status(error)
    return Fault(_kind(error, message, status), message, status)


def missing_asset(message: str) -> str | None:
    """The id of the asset that a message says is not there; None where it says something else.

    Args:
        message: The server's words, alone or within those of an error.
    """
    found = _MISSING.search(message)
    return found["id"] if found else None


def access_error(fault: Fault, project: str | None, *, roles: str = ROLES) -> AccessError:
    """The one message for a lack of access: what is wrong, what to do, and the server's words.

    Args:
        fault: A fault of the kind ACCESS.
        project: Project that was asked for; None where none is known.
        roles: IAM roles that the request needs.
    """
    otherwise = _EXPIRED if fault.status == 401 else _NOT_ALLOWED
    text = next((remedy for pattern, remedy in _REMEDIES if pattern.search(fault.message)), otherwise)
    named = project or "of the credentials"
    where = f"?project={project}" if project else ""
    said = fault.message.rstrip(".")
    return AccessError(f"{text.format(project=named, query=where, roles=roles)} Earth Engine says: {said}.")


def request_error(fault: Fault, tries: int = 1) -> EarthEngineError:
    """The message for a request that failed for good.

    Args:
        fault: The last fault.
        tries: How often the request was made.
    """
    said = fault.message.rstrip(".")
    code = f" (HTTP {fault.status})" if fault.status else ""
    if fault.temporary:
        return EarthEngineError(
            f"Earth Engine did not answer a request in {tries} tries{code}: {said}. "
            "The same command asks again."
        )
    if fault.kind is FaultKind.TOO_LARGE:
        return EarthEngineError(
            f"Earth Engine cannot compute this in one request, however little is asked for{code}: {said}."
        )
    return EarthEngineError(f"Earth Engine refused a request{code}: {said}.")


_MISSING: Final = re.compile(r"asset '(?P<id>[^']+)' not found", re.IGNORECASE)
_TOO_LARGE: Final = re.compile(
    r"memory (limit|capacity) exceeded|out of memory|computation timed out|computed value (is )?too large"
    r"|(request|response|payload) size|output .*too large|too many (bands|pixels)|number of (bands|pixels)"
    r"|pixel grid dimensions|must be less than or equal to \d+ bytes|request entity too large",
    re.IGNORECASE,
)
_TOO_MANY: Final = re.compile(
    r"too many concurrent|too many requests|rate.?limit|requests? rate|concurren|per minute|per second"
    r"|per 100 seconds",
    re.IGNORECASE,
)
_SPENT: Final = re.compile(r"per[ _-]?(day|month)|daily|monthly|eecu|compute quota", re.IGNORECASE)
_INTERNAL: Final = re.compile(r"internal error|backend error|service is unavailable", re.IGNORECASE)
"""Earth Engine says so with the status 400 too."""
_LATER_STATUS: Final = (408, 500, 502, 503, 504)

_API_DISABLED = (
    "The Earth Engine API is not enabled in the project {project}. Enable it at "
    "https://console.cloud.google.com/apis/library/earthengine.googleapis.com{query} and wait a few minutes, "
    "or name another project with --project."
)
_UNREGISTERED = (
    "The project {project} is not registered for Earth Engine. Register it at "
    "https://console.cloud.google.com/earth-engine/configuration{query} (free for noncommercial use), or "
    "name another project with --project."
)
_WRONG_PROJECT = (
    "The project {project} does not exist, or these credentials may not use it. Check --project; if it is "
    "right, ask an owner of the project for the roles {roles}."
)
NO_PROJECT: Final = (
    "Earth Engine counts every request for a Google Cloud project, and the credentials name none. Give one "
    "with --project."
)
_NOT_ALLOWED = (
    "The credentials lack a permission in the project {project}. Ask an owner of the project for the roles "
    "{roles}, or name another project with --project."
)
_NARROW = (
    "The credentials do not cover Earth Engine. Log in again with `cropmap ee login`, or give a key "
    "with --service-account KEY.json."
)
_EXPIRED = (
    "The credentials are expired, revoked or not valid. Log in again with `cropmap ee login` or "
    "`gcloud auth application-default login`, or give a valid key with --service-account KEY.json."
)
_QUOTA_GONE = (
    "The computing quota of the project {project} is used up. Run the same command again when it is renewed, "
    "raise it at https://console.cloud.google.com/iam-admin/quotas{query}, or name another project with "
    "--project; finished cells are kept."
)

_NAME: Final = r"['\"]?[^'\" /]*(/[^'\" /]+)?['\"]?"
"""A project as messages write it: crop-maps, 'crop-maps' or 'projects/crop-maps', and no asset within it."""

_REMEDIES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (r"no project found|requires a quota project", NO_PROJECT),
        (r"has not been used in project|it is disabled|service_disabled|api .*not enabled", _API_DISABLED),
        (r"not registered|not signed up|no longer registered", _UNREGISTERED),
        (r"insufficient .*scope", _NARROW),
        (r"invalid_grant|invalid_client|deleted_client|reauth|expired|revoked", _EXPIRED),
        (r"permission to use project|(invalid|unknown) project|consumer.*invalid", _WRONG_PROJECT),
        (
            rf"project {_NAME} (was |is |does )?(not found|not exist|not valid|invalid|deleted)",
            _WRONG_PROJECT,
        ),
        (_SPENT.pattern + r"|quota", _QUOTA_GONE),
    )
)
"""What the server's words say, the most telling first."""


def _kind(error: BaseException, message: str, status: int | None) -> FaultKind:
    if status is not None:
        return _kind_of_answer(message, status)
    if isinstance(error, google.auth.exceptions.TransportError | OSError | ValueError):
        return FaultKind.LATER
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return FaultKind.LATER if error.retryable else FaultKind.ACCESS
    if isinstance(error, (googleapiclient.errors.InvalidJsonError, httplib2.HttpLib2Error, *_MISSHAPEN)):
        return FaultKind.LATER
    if isinstance(error, EEException) and "no project found" in message:
        return FaultKind.ACCESS
    return FaultKind.NEVER


def _kind_of_answer(message: str, status: int) -> FaultKind:
    if status == 401:
        return FaultKind.ACCESS
    if status == 413 or _TOO_LARGE.search(message):
        return FaultKind.TOO_LARGE
    if status == 429:
        return FaultKind.ACCESS if _SPENT.search(message) else FaultKind.TOO_MANY
    if status in _LATER_STATUS or _INTERNAL.search(message):
        return FaultKind.LATER
    if _TOO_MANY.search(message):
        return FaultKind.TOO_MANY
    if status == 403 or any(pattern.search(message) for pattern, _ in _REMEDIES):
        return FaultKind.ACCESS
    return FaultKind.NEVER


def _words(error: BaseException) -> str:
    if isinstance(error, googleapiclient.errors.HttpError):
        return str(error.reason).strip()
    if isinstance(error, google.auth.exceptions.GoogleAuthError) and error.args:
        return str(error.args[0])  # the second is the whole answer
    said = " ".join(str(error).split()) or type(error).__name__
    return broken(said).message if isinstance(error, _MISSHAPEN) else said


def _status(error: BaseException) -> int | None:
    for link in _chain(error):
        if isinstance(link, googleapiclient.errors.HttpError):
            return int(link.resp.status)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: Any = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
