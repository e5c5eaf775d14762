"""`--on-sick-cloud`: load does not start on a cloud whose blocking claims are violated, unless it is told to.

Blocking is what has the severity blocker: the cloud is down, or loses data if it is loaded. What is critical does not
block, and what could not be read is not known to be violated. What a waiver covers does not block; what is only known
from an earlier run does.
"""

from __future__ import annotations

import pytest

from seatrial.plugins.allow import ALLOWANCES
from seatrial.plugins.gate import GATE
from seatrial.plugins.invariants import Invariant, invariant_of
from seatrial.plugins.judgement import KNOWN, UNDETERMINED, VIOLATED

BLOCKING = "blocker"
_ORDER = {kind: rank for rank, kind in enumerate(ALLOWANCES, start=1)}
"""Kinds that need an allowance, in the order in which they are judged; all others come before them."""


class SickCloud(Exception):  # noqa: N818 - what it is
    """A claim was not judged, since it would load a cloud that is sick, or may be."""

    seatrial_outcome = UNDETERMINED


def loads(invariant: Invariant | None) -> bool:
    """Whether judging a claim does more to the cloud than read it."""
    return invariant is not None and invariant.kind in _ORDER


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that overrides it."""
    parser.getgroup("seatrial: the cloud on trial").addoption(
        "--on-sick-cloud",
        dest="seatrial_on_sick_cloud",
        choices=("refuse", "go"),
        default="refuse",
        help="whether load starts on a cloud whose blocking claims are violated (default: refuse)",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Judge what reads before what loads, and what loads before what breaks."""
    items.sort(key=_rank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse to load a sick cloud, before any fixture of the test has begun to."""
    if not loads(invariant_of(item)) or item.config.getoption("seatrial_on_sick_cloud") == "go":
        return
    blocking = [_id(other) for other in item.session.items if _rank(other) < _rank(item) and _blocks(other)]
    if blocking and hasattr(item.config, "workerinput"):
        raise SickCloud(
            "not started: with -n nobody knows in time whether blocking claims are violated "
            f"({', '.join(blocking)}): leave out -n or those claims, or give --on-sick-cloud=go"
        )
    gate = item.config.stash.get(GATE, None)
    judged = gate.judgements if gate else {}
    violated = [id_ for id_ in blocking if id_ in judged and judged[id_].outcome in {VIOLATED, KNOWN}]
    if violated:
        raise SickCloud(
            f"not started: blocking claims are violated: {', '.join(violated)} (--on-sick-cloud=go goes on)"
        )


def _rank(item: pytest.Item) -> int:
    invariant = invariant_of(item)
    return _ORDER.get(invariant.kind, 0) if invariant else 0


def _blocks(item: pytest.Item) -> bool:
    invariant = invariant_of(item)
    return invariant is not None and invariant.severity == BLOCKING


def _id(item: pytest.Item) -> str:
    invariant = invariant_of(item)
    return invariant.id if invariant else item.name
