"""Hooks by which the plugins hear of the cloud without knowing how it is read."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookspec(firstresult=True)
def pytest_seatrial_about(config: pytest.Config) -> dict[str, Any]:  # type: ignore[empty-body]
    """Return what is on trial: cloud, profile, source, now, retries, evidence, failures."""


@pytest.hookspec
def pytest_seatrial_reread(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Forget what was heard of the cloud, and read it anew for these tests."""
