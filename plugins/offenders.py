"""What offends against an invariant: one line each, in the failure and in the verdict.

A claim ends in `assert offenders == []`. pytest hands both sides of the failed comparison to a hook, so the offenders
reach the plugins without a word in the suites. Each prints as `IDENTITY: what is wrong`; the part before the colon is
what a waiver names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

import pytest

_OFFENDERS = pytest.StashKey[list[str]]()


class Offenders:
    """Remembers the offenders of the test that is running."""

    def __init__(self) -> None:
        self._running: pytest.Item | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        """Remember whose comparisons are heard."""
        self._running = item
        item.stash[_OFFENDERS] = []
        try:
            return (yield)
        finally:
            self._running = None

    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> list[str] | None:
        """Print a list that should be empty one offender a line, never shortened."""
        if self._running is None or op != "==" or not _empty(right) or not isinstance(left, Iterable):
            return None
        lines = [str(offender) for offender in left]
        self._running.stash[_OFFENDERS] = lines
        return [f"{len(lines)} offend{'s' if len(lines) == 1 else ''}", *lines]


def offenders_of(item: pytest.Item) -> list[str]:
    """Return the lines of those that offended in the test's last judgement."""
    return item.stash.get(_OFFENDERS, [])


def identity(offender: str) -> str:
    """Return the part of an offender's line that names it."""
    return offender.partition(": ")[0]


def _empty(value: object) -> bool:
    return isinstance(value, Sized) and not isinstance(value, str | bytes) and len(value) == 0


def pytest_configure(config: pytest.Config) -> None:
    """Listen to comparisons."""
    config.pluginmanager.register(Offenders(), "seatrial-offenders")
