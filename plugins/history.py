"""`--history`: what a run judged and measured is kept, so that later runs can be held against it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.plugins.gate import GATE

if TYPE_CHECKING:
    from seatrial.plugins.run_records import History

NAME = "history"
"""The folder beside the evidence, unless another one is named."""


def histories_of(config: pytest.Config, about: dict[str, Any]) -> Path | None:
    """Return the folder of all histories; None where this run keeps none, as on a recorded cloud unless asked to."""
    if config.getoption("seatrial_no_history"):
        return None
    given = config.getoption("seatrial_history") or about.get("history")
    if given:
        return Path(given)
    return Path(config.getoption("seatrial_evidence")).parent / NAME if about.get("live") else None


def history_file(config: pytest.Config, about: dict[str, Any]) -> Path | None:
    """Return the file of the history of the cloud on trial; None where this run keeps none."""
    from seatrial.plugins.run_records import FILE, folder_name  # noqa: PLC0415 - most runs keep no history

    folder = histories_of(config, about)
    cloud = str(about.get("cloud") or "")
    return folder / folder_name(cloud) / FILE if folder and cloud else None


def history_of(config: pytest.Config) -> History | None:
    """Return the history of the cloud on trial before this run; None where it keeps none. Raises `OSError`."""
    from seatrial.plugins.run_records import read  # noqa: PLC0415 - see above

    about = config.hook.pytest_seatrial_about(config=config) or {}
    path = history_file(config, about)
    return read(path, str(about["cloud"])) if path else None


class Keeper:
    """Keeps the run when it ends, also when it was interrupted."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._kept = ""

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Add the run to its cloud's history, after the gate has decided."""
        gate = self._config.stash[GATE]
        given = self._config.getoption
        if given("collectonly") or given("seatrial_capture") or not gate.judgements:
            return
        path = history_file(self._config, gate.about)
        if path is None:
            return
        from seatrial.plugins.run_records import append, of_verdict  # noqa: PLC0415 - see above

        try:
            append(path, of_verdict(gate.as_dict()))
        except OSError as error:
            self._kept = f"{path}: {error.strerror}: the run is not in the history; the verdict stands"
        else:
            self._kept = str(path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the run is kept."""
        if self._kept:
            terminalreporter.write_line(f"history: {self._kept}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options about the history."""
    group = parser.getgroup("seatrial: the history")
    group.addoption(
        "--history",
        dest="seatrial_history",
        metavar="DIR",
        help="the folder of the histories, one folder a cloud (default: beside the evidence; none of a recorded cloud)",
    )
    group.addoption("--no-history", dest="seatrial_no_history", action="store_true", help="keep no history of this run")


def pytest_configure(config: pytest.Config) -> None:
    """Take part where the gate decides. Registered after it, the run is kept after it has decided."""
    if GATE in config.stash:
        config.pluginmanager.register(Keeper(config), "seatrial-history")
