"""The options that say whether, what and how far a run mends."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PLAN = "plan"
LEVELS = (PLAN, "safe", "moves-data", "disruptive")

_MENDS = "seatrial.plugins.remediation.plugin"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of mending."""
    add = parser.getgroup("seatrial: mending").addoption
    add(
        "--remedy",
        dest="seatrial_remedy",
        choices=LEVELS,
        help="what is done about violations: plan prints it, the others do what is up to that risk",
    )
    add("--remedy-only", dest="seatrial_remedy_only", metavar="IDS", default="", help="these claims, with commas")
    add(
        "--remedy-limit",
        dest="seatrial_remedy_limit",
        metavar="N",
        type=int,
        help="changes that the run makes at most (default: the profile's)",
    )
    add("--yes", dest="seatrial_yes", action="store_true", help="confirm every disruptive change beforehand")
    add("--no-mended", dest="seatrial_no_mended", action="store_true", help="close the gate on what had to be mended")
    add(
        "--journal",
        dest="seatrial_journal",
        metavar="FILE",
        help="where changes are written before they are made; one that is there is gone on with (default: beside the "
        "evidence)",
    )
    add(
        "--values-overlay",
        dest="seatrial_overlay",
        metavar="FILE",
        help="where the chart values are written that make changes last (default: beside the evidence)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Bring what mends where it is asked for: whoever only judges does not wait for what writes to a cloud."""
    if config.getoption("seatrial_remedy") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(importlib.import_module(_MENDS), _MENDS)


def applies(config: pytest.Config) -> bool:
    """Whether the run changes anything."""
    return (config.getoption("seatrial_remedy") or PLAN) != PLAN


def only(config: pytest.Config) -> frozenset[str]:
    """Return the claims that are to be mended; empty for all."""
    return frozenset(str(config.getoption("seatrial_remedy_only")).upper().replace(",", " ").split())
