"""One ledger for all processes of a run, and its end: what the run made is taken away, and what stays is told."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from seatrial.plugins.gate import GATE


def pytest_seatrial_run(config: pytest.Config) -> str:
    """Return the run's id: the gate's, which a worker of xdist was told."""
    told = getattr(config, "workerinput", {}).get("seatrial_run")
    return str(told or config.stash[GATE].run)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist the run's id."""
    node.workerinput["seatrial_run"] = node.config.stash[GATE].run


def heed_sigterm() -> None:
    """Let SIGTERM, which a pipeline sends, end a run as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Clean up after SIGTERM as well."""
    if config.getoption("seatrial_allow"):
        heed_sigterm()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Take away what is left of the whole run, where its workers have ended."""
    config = session.config
    if config.getoption("seatrial_allow") and not hasattr(config, "workerinput"):
        told = config.hook.pytest_seatrial_clean_up(config=config)
        config.stash[GATE].left_behind = [line for lines in told for line in lines]
