"""Asking whoever is at the terminal before a disruptive change."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from seatrial.plugins.remediation.change import Change


def confirmed(config: pytest.Config, change: Change) -> bool:
    """Say whether a change may be made: `--yes`, or somebody says so."""
    if config.getoption("seatrial_yes"):
        return True
    with _uncaptured(config):
        sys.stdout.write(f"\n{change.claim}: {change.why}\n" + "".join(f"  {line}\n" for line in change.typed))
        sys.stdout.write("disruptive: do it? [y/N] ")
        sys.stdout.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextlib.contextmanager
def _uncaptured(config: pytest.Config) -> Iterator[None]:
    """Give the terminal back, its input too, while somebody is asked."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is not None:
        capture.suspend(in_=True)
    try:
        yield
    finally:
        if capture is not None:
            capture.resume()


def somebody_answers(config: pytest.Config) -> bool:
    """Say whether there is a terminal to ask."""
    with _uncaptured(config):
        return sys.stdin is not None and sys.stdin.isatty()
