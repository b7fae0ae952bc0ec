"""Deployments that look at the tasks of an emulator without waiting in between."""

from __future__ import annotations

from functools import partial

import pytest

import inference.deployment.deploy
import inference.deployment.network_deployment


def deploy_at_once(patch: pytest.MonkeyPatch) -> None:
    """Let `cropmap deploy` and `cropmap forest deploy` not wait between two looks at tasks."""
    quick = {"poll_seconds": 0.01}
    forest = partial(inference.deployment.deploy.deploy, **quick)
    network = partial(inference.deployment.network_deployment.deploy_network, **quick)
    patch.setattr(inference.deployment.deploy, "deploy", forest)
    patch.setattr(inference.deployment.network_deployment, "deploy_network", network)
