"""Hooks by which the plugins hear of the cloud without knowing how it is read."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.hookspec(firstresult=True)
def pytest_seatrial_about(config: pytest.Config) -> dict[str, Any]:  # type: ignore[empty-body]
    """Return what is on trial: cloud, profile, source, now, retries, evidence, failures."""


@pytest.hookspec(firstresult=True)
def pytest_seatrial_extent(config: pytest.Config, asking: bool) -> dict[str, Any]:  # type: ignore[empty-body]  # noqa: FBT001
    """Return how large the cloud is and what runs on it, as far as it is known: nodes (0: unknown), release.

    Where `asking`, the nodes are counted if they were not yet.
    """


@pytest.hookspec(firstresult=True)
def pytest_seatrial_run(config: pytest.Config) -> str:  # type: ignore[empty-body]
    """Return the run's id, the same in all processes of a run."""


@pytest.hookspec
def pytest_seatrial_clean_up(config: pytest.Config) -> list[str]:  # type: ignore[empty-body]
    """Take away what the run made in the cloud; return a line for each thing that stays."""


@pytest.hookspec
def pytest_seatrial_questions(config: pytest.Config, items: list[pytest.Item]) -> list[Any]:  # type: ignore[empty-body]
    """Return the questions that are put for these tests besides those of the facts that they take."""


@pytest.hookspec
def pytest_seatrial_announce(config: pytest.Config, line: str, passing: bool) -> None:  # noqa: FBT001 - pytest's way
    """Say a line while the run goes on. Where it is a passing one, the next takes its place on a terminal."""


@pytest.hookspec
def pytest_seatrial_reread(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Forget what was heard of the cloud, and read it anew for these tests."""
