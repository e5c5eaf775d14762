"""`--allow`: what does more to a cloud than read it runs only when it is asked for."""

from __future__ import annotations

import pytest

from seatrial.plugins.invariants import KINDS, Invariant, invariant_of

ALLOWANCES = {"acceptance": "load", "performance": "load", "resilience": "disruption"}
"""Kinds of suites that need an allowance, and which."""

_NOT_ASKED_FOR = pytest.StashKey[list[Invariant]]()


def not_asked_for(config: pytest.Config) -> dict[str, list[Invariant]]:
    """Return the invariants that were left out, by the allowance that they need."""
    by_allowance: dict[str, list[Invariant]] = {}
    for invariant in config.stash.get(_NOT_ASKED_FOR, []):
        by_allowance.setdefault(ALLOWANCES[invariant.kind], []).append(invariant)
    return by_allowance


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that allows it."""
    meanings = "; ".join(f"{kind} {KINDS[kind]} ({allowance})" for kind, allowance in ALLOWANCES.items())
    parser.getgroup("seatrial: the cloud on trial").addoption(
        "--allow",
        dest="seatrial_allow",
        metavar="WHAT",
        action="append",
        choices=sorted(set(ALLOWANCES.values())),
        default=[],
        help=f"run as well what does more than read, may be given twice: {meanings}",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not allowed, and remember it for the summary."""
    if config.getoption("collectonly") or config.getoption("seatrial_capture"):
        return
    allowed = set(config.getoption("seatrial_allow"))
    left_out = [
        item
        for item in items
        if (invariant := invariant_of(item)) and ALLOWANCES.get(invariant.kind, "") not in {"", *allowed}
    ]
    if left_out:
        config.stash[_NOT_ASKED_FOR] = [invariant for item in left_out if (invariant := invariant_of(item))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
