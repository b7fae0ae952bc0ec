"""What Earth Engine's own words are taken for, and what the user is told to do about them."""

import json
from random import Random

import ee
import google.auth.exceptions
import googleapiclient.errors
import httplib2
import pytest
import requests

from gee_pipeline.earthengine.client.faults import (
    Fault,
    FaultKind,
    access_error,
    fault_of,
    missing_asset,
    request_error,
)
from gee_pipeline.earthengine.client.retry import persistently
from gee_pipeline.errors import AccessError, EarthEngineError, InputError

PROJECT = "crop-maps"


def answered(status: int, message: str) -> Exception:
    """What the client raises for an error answer of the REST API."""
    body = json.dumps({"error": {"code": status, "message": message, "status": "X"}}).encode()
    response = httplib2.Response({"status": str(status), "content-type": "application/json"})
    return googleapiclient.errors.HttpError(response, body, uri="https://earthengine.googleapis.com/v1/x")


def through_the_client(status: int, message: str) -> ee.EEException:
    """The same as `ee.data` passes it on: its own exception, made while the other is handled."""
    try:
        try:
            raise answered(status, message)
        except googleapiclient.errors.HttpError as error:
            raise ee.EEException(error.reason)  # noqa: B904 - as ee.data does
    except ee.EEException as error:
        return error


# Texts as users of the service have quoted them in public, and those of the documentation.
REFUSALS = [
    # status, the server's words, kind
    (400, "User memory limit exceeded.", FaultKind.TOO_LARGE),
    (400, "Earth Engine memory capacity exceeded.", FaultKind.TOO_LARGE),
    (400, "Computation timed out.", FaultKind.TOO_LARGE),
    (400, "Computed value is too large.", FaultKind.TOO_LARGE),
    (400, "Computed value too large", FaultKind.TOO_LARGE),
    (400, "Too many concurrent aggregations.", FaultKind.TOO_MANY),
    (400, "An internal error has occurred (request: 1b9c2a70-4a3f-4f6d).", FaultKind.LATER),
    (400, "Internal error.", FaultKind.LATER),
    (
        400,
        "Total request size (56623104 bytes) must be less than or equal to 50331648 bytes.",
        FaultKind.TOO_LARGE,
    ),
    (400, "Number of bands (1236) must be less than or equal to 1024.", FaultKind.TOO_LARGE),
    (400, "Pixel grid dimensions (40000x40000) must be less than or equal to 32768.", FaultKind.TOO_LARGE),
    (400, "Request payload size exceeds the limit: 10485760 bytes.", FaultKind.TOO_LARGE),
    (413, "Request Entity Too Large", FaultKind.TOO_LARGE),
    (429, "Too many concurrent aggregations.", FaultKind.TOO_MANY),
    (
        429,
        "Too Many Requests: Request was rejected because the request rate or concurrency limit was exceeded.",
        FaultKind.TOO_MANY,
    ),
    (
        429,
        "Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests "
        "per minute per user' of service 'earthengine.googleapis.com' for consumer "
        "'project_number:599401802498'.",
        FaultKind.TOO_MANY,
    ),
    (429, "", FaultKind.TOO_MANY),
    (400, "Too many concurrent aggregations.", FaultKind.TOO_MANY),
    (403, "User Rate Limit Exceeded", FaultKind.TOO_MANY),
    (500, "An internal error has occurred (request: 1b9c2a70-4a3f-4f6d).", FaultKind.LATER),
    (502, "Bad Gateway", FaultKind.LATER),
    (503, "The service is currently unavailable.", FaultKind.LATER),
    (504, "Deadline exceeded.", FaultKind.LATER),
    (400, "Image.select: Band pattern 'B99' did not match any bands.", FaultKind.NEVER),
    (400, "Invalid argument specified for ee.Number(): B2", FaultKind.NEVER),
    (400, 'Invalid JSON payload received. Unknown name "grids": Cannot find field.', FaultKind.NEVER),
    (404, "Requested entity was not found.", FaultKind.NEVER),
    (
        400,
        "Image.load: Image asset 'projects/crop-maps/assets/mask' not found (does not exist or caller does "
        "not have access).",
        FaultKind.NEVER,
    ),
]


@pytest.mark.parametrize(("status", "words", "kind"), REFUSALS)
@pytest.mark.parametrize("raised", [answered, through_the_client])
def test_an_answer_is_taken_for_what_its_status_and_words_mean(status, words, kind, raised) -> None:
    fault = fault_of(raised(status, words))
    assert (fault.kind, fault.status) == (kind, status)
    assert words in fault.message


NO_ACCESS = [
    # status, the server's words, what the message must say besides them
    (
        403,
        f"Caller does not have required permission to use project {PROJECT}. Grant the caller the "
        "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use "
        "permission, by visiting https://console.developers.google.com/iam-admin/iam/project?project="
        f"{PROJECT} and then retry. Propagation of the new permission may take a few minutes.",
        ["does not exist, or these credentials may not use it", "--project", "Service Usage Consumer"],
    ),
    (404, f"Project '{PROJECT}' not found or deleted.", ["does not exist", "--project"]),
    (403, f"Project 'projects/{PROJECT}' not found or deleted.", ["does not exist", "--project"]),
    (404, f"Project {PROJECT} was not found.", ["does not exist", "--project"]),
    (400, f"Invalid project ID: {PROJECT}", ["does not exist", "--project"]),
    (
        403,
        f"Project {PROJECT} is not registered to use Earth Engine. Visit "
        f"https://code.earthengine.google.com/register?project={PROJECT} to register your project. See "
        "https://developers.google.com/earth-engine/guides/access for more details.",
        ["is not registered", "console.cloud.google.com/earth-engine", f"project={PROJECT}"],
    ),
    (
        403,
        "Not signed up for Earth Engine or project is not registered. Visit "
        "https://developers.google.com/earth-engine/guides/access",
        ["is not registered", "console.cloud.google.com/earth-engine"],
    ),
    (
        403,
        "Google Earth Engine API has not been used in project 522309567947 before or it is disabled. Enable "
        "it by visiting https://console.developers.google.com/apis/api/earthengine.googleapis.com/overview?"
        "project=522309567947 then retry. If you enabled this API recently, wait a few minutes for the "
        "action to propagate to our systems and retry.",
        ["API is not enabled", "apis/library/earthengine.googleapis.com"],
    ),
    (
        403,
        "Permission 'earthengine.computations.create' denied on resource "
        f"'//cloudresourcemanager.googleapis.com/projects/{PROJECT}' (or it may not exist).",
        ["lack a permission", "Earth Engine Resource Viewer", "Service Usage Consumer"],
    ),
    (403, "The caller does not have permission", ["lack a permission"]),
    (
        403,
        "Request had insufficient authentication scopes.",
        ["do not cover Earth Engine", "cropmap ee login"],
    ),
    (
        403,
        "Your application is authenticating by using local Application Default Credentials. The "
        "earthengine.googleapis.com API requires a quota project, which is not set by default.",
        ["Google Cloud project", "--project"],
    ),
    (
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential.",
        ["expired, revoked or not valid", "cropmap ee login", "--service-account"],
    ),
    (
        429,
        "Quota exceeded for quota metric 'Earth Engine compute time (EECU-time)' and limit 'Earth Engine "
        "compute time (EECU-time) per day in seconds' of service 'earthengine.googleapis.com' for consumer "
        "'project_number:599401802498'.",
        ["quota", "used up", "finished cells are kept"],
    ),
]


@pytest.mark.parametrize(("status", "words", "parts"), NO_ACCESS)
def test_a_lack_of_access_is_one_message_with_its_remedy(status, words, parts) -> None:
    fault = fault_of(through_the_client(status, words))
    assert fault.kind is FaultKind.ACCESS
    error = access_error(fault, PROJECT)
    assert isinstance(error, AccessError)
    assert isinstance(error, InputError)
    text = str(error)
    for part in parts:
        assert part in text
    assert words.rstrip(".") in text, "the server's own words are kept"


def test_each_remedy_is_another_one() -> None:
    remedies = {
        str(access_error(fault_of(answered(status, words)), PROJECT)).split(" Earth Engine says")[0]
        for status, words, _ in NO_ACCESS
    }
    # Five texts of a wrong project, two unregistered and two not allowed share theirs.
    assert len(remedies) == 8


def test_no_known_project_is_no_name_in_a_message() -> None:
    text = str(access_error(fault_of(answered(403, "Project 'x' not found or deleted.")), None))
    assert "None" not in text
    assert "?project" not in text


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("No whole answer"), FaultKind.LATER),
        (ConnectionResetError("reset by peer"), FaultKind.LATER),
        (ConnectionError("No whole answer"), FaultKind.LATER),
        (requests.ConnectionError("x"), FaultKind.LATER),
        (httplib2.ServerNotFoundError("no such host"), FaultKind.LATER),
        (json.JSONDecodeError("Expecting value", "<html>", 0), FaultKind.LATER),
        (google.auth.exceptions.TransportError("no way to the token server"), FaultKind.LATER),
        (google.auth.exceptions.RefreshError("internal_failure", retryable=True), FaultKind.LATER),
        (
            google.auth.exceptions.RefreshError(
                "invalid_grant: Token has been expired or revoked.", {"error": "invalid_grant"}
            ),
            FaultKind.ACCESS,
        ),
        (google.auth.exceptions.RefreshError("invalid_grant: Invalid JWT Signature."), FaultKind.ACCESS),
        (google.auth.exceptions.DefaultCredentialsError("none"), FaultKind.ACCESS),
        (googleapiclient.errors.UnknownApiNameOrVersion("name: earthengine version: v1"), FaultKind.NEVER),
        (ee.EEException("Unrecognized argument type to convert to an Image"), FaultKind.NEVER),
    ],
)
def test_failures_without_an_answer(error, kind) -> None:
    assert fault_of(error).kind is kind


def test_revoked_credentials_are_told_to_be_renewed() -> None:
    refused = google.auth.exceptions.RefreshError(
        "invalid_grant: Token has been expired or revoked.", {"error": "invalid_grant"}
    )
    text = str(access_error(fault_of(refused), PROJECT))
    assert "cropmap ee login" in text
    assert "{" not in text, "the second argument, the raw answer, is left out"


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (FaultKind.LATER, "in 6 tries (HTTP 503)"),
        (FaultKind.TOO_MANY, "The same command asks again"),
        (FaultKind.TOO_LARGE, "in one request"),
        (FaultKind.NEVER, "refused a request (HTTP 503): The words."),
    ],
)
def test_a_request_that_failed_for_good_says_how(kind, part) -> None:
    error = request_error(Fault(kind, "The words.", 503), 6)
    assert isinstance(error, EarthEngineError)
    assert part in str(error)


class Flaky:
    """Fails some times, then answers."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = list(faults)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        return "answer"


LATER, TOO_MANY = Fault(FaultKind.LATER, "later"), Fault(FaultKind.TOO_MANY, "too many")


def test_waits_are_drawn_from_a_bound_that_doubles() -> None:
    waits: list[float] = []
    for seed in range(200):
        ask = Flaky(LATER, TOO_MANY, LATER, LATER, LATER)
        assert persistently(ask, sleep=waits.append, random=Random(seed)) == "answer"
        assert ask.asked == 6
    for place, bound in enumerate((2, 4, 8, 16, 32)):
        drawn = waits[place::5]
        assert 0 <= min(drawn) < 0.1 * bound, "full jitter begins at nothing"
        assert 0.9 * bound < max(drawn) <= bound


def test_a_wait_is_never_longer_than_two_minutes() -> None:
    waits: list[float] = []
    persistently(Flaky(*[LATER] * 11), sleep=waits.append, random=Random(1), tries=12)
    assert max(waits) <= 120
    assert len(waits) == 11


def test_after_ten_tries_the_last_fault_is_raised() -> None:
    ask = Flaky(*[LATER] * 10)
    with pytest.raises(Fault, match="later"):
        persistently(ask, sleep=lambda seconds: None, random=Random(1))
    assert ask.asked == 10


@pytest.mark.parametrize("kind", [FaultKind.ACCESS, FaultKind.NEVER, FaultKind.TOO_LARGE])
def test_what_does_not_pass_is_asked_once(kind) -> None:
    ask = Flaky(Fault(kind, "no"))
    with pytest.raises(Fault):
        persistently(ask, sleep=lambda seconds: pytest.fail("waited"), random=Random(1))
    assert ask.asked == 1


@pytest.mark.parametrize(
    ("words", "asset"),
    [
        (
            "Image.load: Image asset 'COPERNICUS/S2_SR_HARMONIZED/A_B_T15SXU' not found (does not exist or "
            "caller does not have access).",
            "COPERNICUS/S2_SR_HARMONIZED/A_B_T15SXU",
        ),
        ("Earth Engine refused a request (HTTP 400): Image asset 'a/b' not found (...).", "a/b"),
        ("Image.select: Band pattern 'B99' was applied to an Image with no matching bands.", None),
        ("Project 'crop-maps' not found or deleted.", None),
        ("", None),
    ],
)
def test_the_asset_that_is_not_there_is_named(words: str, asset: str | None) -> None:
    assert missing_asset(words) == asset
