"""Refusals in Google's words and envelope."""

from __future__ import annotations

import json
from typing import Any, Final

STATUS_NAMES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Refusal(Exception):
    """An answer other than 200, with the service's message."""

    def __init__(self, status: int, message: str, details: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details

    @property
    def body(self) -> bytes:
        """Google's error envelope."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "status": STATUS_NAMES.get(self.status, "UNKNOWN"),
        }
        if self.details:
            error["details"] = list(self.details)
        return json.dumps({"error": error}).encode()


def no_token() -> Refusal:
    """A request without credentials."""
    return Refusal(
        401,
        "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie "
        "or other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
    )


def bad_token() -> Refusal:
    """A token that was never given or has expired."""
    return Refusal(
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or "
        "other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
    )


def foreign_project(project: str) -> Refusal:
    """A project that the caller may not use."""
    return Refusal(
        403,
        f"Caller does not have required permission to use project {project}. Grant the caller the "
        "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use "
        "permission, by visiting "
        f"https://console.developers.google.com/iam-admin/iam/project?project={project} and then retry. "
        "Propagation of the new permission may take a few minutes.",
        (
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "USER_PROJECT_DENIED",
                "domain": "googleapis.com",
                "metadata": {"service": "earthengine.googleapis.com", "consumer": f"projects/{project}"},
            },
        ),
    )


def unknown_field(name: str) -> Refusal:
    """A field that the message does not have."""
    return Refusal(400, f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
