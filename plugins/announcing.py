"""What is said while a run goes on: at once, on a line of its own, whatever the run is just printing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_WIDTH = 100
"""Columns of a passing line: one that wraps could not be written over."""


def pytest_seatrial_announce(config: pytest.Config, line: str, passing: bool) -> None:  # noqa: FBT001 - pytest's way
    """Print a line; nothing in a worker of xdist, which has no terminal."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    # What a claim prints is captured, and this is none of it: somebody waits.
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        if passing and reporter.isatty:
            reporter.rewrite(line[:_WIDTH], erase=True)
            return
        reporter.ensure_newline()
        if reporter._tw.width_of_current_line:  # noqa: SLF001 - in quiet runs nobody else knows of a line of dots
            reporter.line("")
        reporter.write_line(line)
        reporter.flush()  # a CI log shows it when it is said
