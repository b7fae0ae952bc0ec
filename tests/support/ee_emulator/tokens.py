"""Access tokens for a service account whose key was made for the test."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions, jwt

JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE: Final = "https://oauth2.googleapis.com/token"
"""Whom google-auth addresses, wherever a key's token_uri points."""
LIFE: Final = 3599
"""Seconds that a token is said to last."""


class Denied(Exception):
    """The token endpoint's own kind of error."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = json.dumps({"error": error, "error_description": description}).encode()


@lru_cache(maxsize=1)
def _key_pair() -> tuple[str, bytes]:
    """Private and public key; 2048 bits take a tenth of a second, so they are made once a process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public


class Tokens:
    """Gives tokens for signed assertions and knows which are good."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.email = f"cropmap@{project}.iam.gserviceaccount.com"
        self.revoked = False
        """True: no more tokens are given, as for a deleted key or a withdrawn consent."""
        self._good: set[str] = set()
        self._numbers = count(1)
        self._lock = threading.Lock()

    def write_key(self, folder: Path, url: str) -> Path:
        """Key file of the service account, with the emulator as its token endpoint."""
        key = {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "emulator",
            "private_key": _key_pair()[0],
            "client_email": self.email,
            "client_id": "100000000000000000001",
            "auth_uri": f"{url}/auth",
            "token_uri": f"{url}/token",
            "universe_domain": "googleapis.com",
        }
        path = folder / "service-account.json"
        path.write_text(json.dumps(key))
        return path

    def grant(self, form: Mapping[str, str]) -> bytes:
        """Answer of the token endpoint.

        Raises:
            Denied: The assertion is not signed by our key, is meant for somebody else or has expired.
        """
        if self.revoked:
            raise Denied("invalid_grant", "Token has been expired or revoked.")
        kind = form.get("grant_type")
        if kind == JWT_GRANT:
            self._check(form.get("assertion", ""))
        elif kind != "refresh_token":
            raise Denied("unsupported_grant_type", f"Invalid grant_type: {kind}")
        return json.dumps({"access_token": self.new(), "expires_in": LIFE, "token_type": "Bearer"}).encode()

    def new(self) -> str:
        """A fresh token, for tests that speak HTTP themselves."""
        token = f"ya29.emulator-{next(self._numbers)}-{time.monotonic_ns()}"
        with self._lock:
            self._good.add(token)
        return token

    def expire(self) -> None:
        """No token given so far is good any more."""
        with self._lock:
            self._good.clear()

    def good(self, token: str) -> bool:
        """Whether it was given and has not expired."""
        with self._lock:
            return token in self._good

    def _check(self, assertion: str) -> None:
        try:
            claims = jwt.decode(assertion, certs=_key_pair()[1], audience=AUDIENCE)
        except (ValueError, exceptions.GoogleAuthError) as error:
            raise Denied("invalid_grant", f"Invalid JWT Signature. ({error})") from error
        if claims.get("iss") != self.email:
            raise Denied("invalid_grant", f"Invalid grant: account not found ({claims.get('iss')}).")
        if not claims.get("scope"):
            raise Denied("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
