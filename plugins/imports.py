"""`--import-junit`, `--import-rally`: what other tools reported becomes part of the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seatrial.plugins.invariants import INVARIANT, SEVERITIES, invariant_of

KIND = "imported"
_FACTS = {"tempest": "seatrial_import_junit", "rally": "seatrial_import_rally"}
"""The facts that imported claims judge, and the options that bring them."""


def _report(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise pytest.UsageError(f"{path}: there is no such report to import")
    return path.resolve()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options that bring in the reports of other tools."""
    group = parser.getgroup("seatrial: the gate")
    group.addoption(
        "--import-junit",
        dest="seatrial_import_junit",
        metavar="FILE",
        type=_report,
        action="append",
        default=[],
        help="judge the JUnit XML of Tempest (or of any other tool) as EXT-01; may be given several times",
    )
    group.addoption(
        "--import-rally",
        dest="seatrial_import_rally",
        metavar="FILE",
        type=_report,
        action="append",
        default=[],
        help="judge what `rally task report --json` wrote as EXT-02; may be given several times",
    )
    group.addoption(
        "--import-severity",
        dest="seatrial_import_severity",
        choices=SEVERITIES,
        help="how severe a failure in an imported report is (default: critical)",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Judge imported reports where there are some; their severity is what the operator says."""
    if config.getoption("collectonly"):
        return
    asked: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        invariant = invariant_of(item)
        if invariant is None or invariant.kind != KIND:
            asked.append(item)
            continue
        names = set(getattr(item, "fixturenames", ()))
        given = any(config.getoption(option) for name, option in _FACTS.items() if name in names)
        (asked if given else left_out).append(item)
        if config.getoption("seatrial_import_severity"):
            item.stash[INVARIANT] = replace(invariant, severity=config.getoption("seatrial_import_severity"))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = asked
