"""Getting access to Earth Engine, and looking step by step whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ee
import numpy as np
from affine import Affine
from ee import oauth
from google.oauth2 import credentials as user
from odc.geo.geobox import GeoBox

from gee_pipeline.bands import NODATA
from gee_pipeline.earthengine.client.faults import FAILURES
from gee_pipeline.earthengine.client.session import Access, Session, connect, find_access
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.composites import graph
from gee_pipeline.earthengine.composites.fetch import Fetcher
from gee_pipeline.earthengine.composites.search import find_scenes
from gee_pipeline.errors import AccessError, CorruptFileError, EarthEngineError, InputError, NoProjectError
from gee_pipeline.files import read_json
from gee_pipeline.recipe import Recipe

FIELD: Final = GeoBox((4, 4), Affine(10, 0, 633_600, 0, -10, 3_819_520), "EPSG:32615")
"""Sixteen pixels of the rice country near Stuttgart, Arkansas."""

JULY: Final = range(38, 40)
"""Ten days from 10 July 2021 on, in which Sentinel-2 passed over `FIELD` several times."""

STORED: Final = "stored by a login"
DEFAULT: Final = "application default credentials"


@dataclass(frozen=True)
class AccessCheck:
    """One thing that was looked at."""

    name: str
    """What, in a word."""
    passed: bool
    """Whether it is as it should be."""
    text: str
    """What was found; where it failed, also what to do."""


def log_in(
    project: str | None,
    auth_mode: str | None,
    *,
    force: bool = False,
    interactive: bool = True,
) -> list[str]:
    """Let a person log in with a Google account; the credentials are stored in the home folder.

    Args:
        project: Project to remember for later; None remembers none.
        auth_mode: Way of `ee.Authenticate`; None takes what fits the machine.
        force: Log in although there are credentials that work.
        interactive: Whether a person is there to ask.

    Returns:
        What to do next, one line each.

    Raises:
        AccessError: Nobody is there, or the login failed.
    """
    if not interactive:
        raise AccessError(
            "Logging in asks a person, and standard input is not a terminal. In a job give the key of a "
            "service account with --service-account KEY.json, or use application default credentials."
        )
    there = _authenticated(auth_mode, force)
    if project:
        _remember(project)
    done = ["There were credentials that work; --force logs in again."] if there else ["Logged in."]
    return [*done, f"Next: cropmap ee check{'' if project else ' --project YOUR-PROJECT'}"]


def check_access(
    settings: EarthEngineSettings, open_session: Callable[[EarthEngineSettings], Session] = connect
) -> Iterator[AccessCheck]:
    """Credentials, project, service, a tiny composite and quota; stops after the first step that fails.

    Args:
        settings: Access and endpoint.
        open_session: Opens the session.
    """
    name = "credentials"
    try:
        access = find_access(settings)
        yield AccessCheck(name, True, describe(access, settings))
        name = "project"
        yield AccessCheck(name, True, access.project)
        name = "service"
        session = open_session(settings)
        fetcher = Fetcher(session)
        fetcher.value(ee.Number(1).add(1), int)
        yield AccessCheck(name, True, f"{settings.url or ee.data.DEFAULT_CLOUD_API_BASE_URL} answers")
        name = "composite"
        yield AccessCheck(name, True, _composite(session, fetcher))
        notices = session.take_notices()
        yield AccessCheck("quota", True, " ".join(notices) or "no restriction")
    except (AccessError, EarthEngineError) as error:
        if isinstance(error, NoProjectError):
            yield AccessCheck("credentials", True, "found")
            name = "project"
        yield AccessCheck(name, False, str(error))


def describe(access: Access, settings: EarthEngineSettings) -> str:
    """Which kind of credentials these are, and whose."""
    credentials = access.credentials
    if isinstance(credentials, user.Credentials):
        where = STORED if credentials.refresh_token == _stored_token() else DEFAULT
        whose = f" {credentials.account}" if credentials.account else ""
        return f"user account{whose}, {where}"
    where = f"key {settings.service_account}" if settings.service_account else DEFAULT
    # Of federated identities only some stand for a service account.
    email = getattr(credentials, "service_account_email", None)
    return f"service account {email}, {where}" if email else where


def _composite(session: Session, fetcher: Fetcher) -> str:
    recipe = Recipe()
    season = recipe.season.season(2021, "north")
    before = session.meter.spent
    (scenes,) = find_scenes(fetcher.value, FIELD, [FIELD], season.span(JULY), recipe)

    def image_of(geobox: GeoBox, bins: Sequence[int]) -> ee.Image:
        return graph.composite(scenes, season, bins, recipe)

    values = fetcher.composite(image_of, FIELD, JULY, recipe.bands)
    session.meter.settle(session)
    spent = session.meter.spent - before
    seen = np.count_nonzero((values != NODATA).all(axis=1))
    height, width = FIELD.shape
    cost = "unmeasured" if spent.unmeasured else f"{spent.eecu_seconds:.2f} EECU-seconds"
    return (
        f"{width} x {height} pixels, {len(JULY)} bins from {season.bin(JULY[0]).start}: {seen} of "
        f"{len(JULY) * height * width} observed, {cost}"
    )


def _authenticated(auth_mode: str | None, force: bool) -> bool:
    """Whether there were credentials already."""
    try:
        return bool(ee.Authenticate(auth_mode=auth_mode, force=force))
    except Exception as error:
        # The client raises this very class where a login fails; everything else but its own is a bug.
        if type(error) is not Exception and not isinstance(error, FAILURES):
            raise
        raise AccessError(
            f"The login failed: {error}. Try another way with --auth-mode; 'notebook' works in any browser."
        ) from error


def _remember(project: str) -> None:
    """Name the project next to the stored credentials, where the client looks for it."""
    path = Path(oauth.get_credentials_path())
    stored = read_json(path) if path.exists() else {}
    kept = stored if isinstance(stored, dict) else {}
    oauth.write_private_json(str(path), kept | {"project": project})


def _stored_token() -> str | None:
    try:
        stored = read_json(Path(oauth.get_credentials_path()))
    except (InputError, CorruptFileError):
        return None
    return stored.get("refresh_token") if isinstance(stored, dict) else None
