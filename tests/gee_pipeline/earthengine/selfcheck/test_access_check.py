"""What is said of credentials, and the order of the steps; the command itself is tested in tests/cli."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.auth import compute_engine
from google.oauth2.credentials import Credentials
from google.oauth2.service_account import Credentials as ServiceAccount

from gee_pipeline.earthengine.client.session import Access
from gee_pipeline.earthengine.client.settings import EarthEngineSettings
from gee_pipeline.earthengine.selfcheck.access_check import FIELD, JULY, AccessCheck, check_access, describe
from gee_pipeline.errors import AccessError
from gee_pipeline.season import SUMMER
from tests.support.ee_emulator.archive import Archive
from tests.support.ee_emulator.server import Emulator


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def _store(home: Path, content: str) -> None:
    path = home / ".config" / "earthengine" / "credentials"
    path.parent.mkdir(parents=True)
    path.write_text(content)


def _described(credentials: Any, key: Path | None = None) -> str:
    return describe(Access(credentials, "crop-maps"), EarthEngineSettings(service_account=key))


def test_a_stored_login_is_told_from_default_credentials(home: Path) -> None:
    user = Credentials(None, refresh_token="of-the-login", account="a@b.org")
    assert _described(user) == "user account a@b.org, application default credentials"
    _store(home, json.dumps({"refresh_token": "of-the-login"}))
    assert _described(user) == "user account a@b.org, stored by a login"


@pytest.mark.parametrize("content", ["", "{", "{}"])
def test_a_damaged_store_is_no_login(home: Path, content: str) -> None:
    _store(home, content)
    assert _described(Credentials(None, refresh_token="x")) == "user account, application default credentials"


def test_a_service_account_is_told_with_its_key(home: Path) -> None:
    with Emulator(Archive()) as server:
        key = server.key_file(home)
    account = ServiceAccount.from_service_account_file(key)
    assert _described(account, key) == f"service account cropmap@crop-maps.iam.gserviceaccount.com, key {key}"
    assert _described(account).endswith(".com, application default credentials")


def test_a_machine_of_google_is_told(home: Path) -> None:
    machine = compute_engine.Credentials(service_account_email="robot@crop-maps")
    assert _described(machine) == "service account robot@crop-maps, application default credentials"


def test_a_check_stops_at_the_step_that_fails(home: Path) -> None:
    def closed(settings: EarthEngineSettings) -> Any:
        raise AccessError("The service is closed.")

    with Emulator(Archive()) as server:
        settings = EarthEngineSettings(service_account=server.key_file(home))
    steps = list(check_access(settings, open_session=closed))
    assert [(step.name, step.passed) for step in steps] == [
        ("credentials", True),
        ("project", True),
        ("service", False),
    ]
    assert steps[-1] == AccessCheck("service", False, "The service is closed.")


def test_an_error_of_the_program_is_not_a_failed_step(home: Path) -> None:
    def buggy(settings: EarthEngineSettings) -> Any:
        raise ZeroDivisionError

    with Emulator(Archive()) as server:
        settings = EarthEngineSettings(service_account=server.key_file(home))
    with pytest.raises(ZeroDivisionError):
        list(check_access(settings, open_session=buggy))


def test_the_tiny_composite_is_of_ten_days_in_july() -> None:
    season = SUMMER.season(2021, "north")
    assert season.bin(JULY[0]).start.isoformat() == "2021-07-10"
    assert season.bin(JULY[-1]).end.isoformat() == "2021-07-20"
    west, south, east, north = FIELD.extent.to_crs("EPSG:4326").boundingbox.bbox
    assert (-92 < west < east < -91, 34 < south < north < 35) == (True, True)
