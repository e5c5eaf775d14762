"""`--baseline`: the gate closes only on what is new; what offended in an earlier run as well is told as known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.plugins.invariants import invariant_of
from seatrial.plugins.offenders import identity

if TYPE_CHECKING:
    from seatrial.plugins.run_records import Run


_MARK = " [known: "


def bare(known: str) -> str:
    """Return the line of an offender without what was known of it."""
    return known.partition(_MARK)[0]


class Baseline:
    """What offended in an earlier run, by claim and by the part of a line that names the offender.

    What a waiver covered is not among it: a waiver that has ended since covers nothing any more.
    """

    def __init__(self, run: Run) -> None:
        self.run = run.run
        self._offended: dict[tuple[str, str], set[str]] = {}
        for judged in run.invariants:
            for line in judged.offenders:
                self._offended.setdefault((judged.id, identity(line)), set()).add(line)
            for line in judged.known:
                self._offended.setdefault((judged.id, identity(line)), set()).add(bare(line))

    def knows(self, claim: str, offender: str) -> str:
        """Return an offender's line with what was known of it; empty where it is new."""
        before = self._offended.get((claim, identity(offender)))
        if before is None:
            return ""
        was = "" if offender in before else ", as " + "; ".join(sorted(before))
        return f"{offender}{_MARK}in {self.run}{was}]"


_BASELINE = pytest.StashKey[Baseline]()


def baseline_of(config: pytest.Config) -> Baseline | None:
    """Return what this run is held against, if anything."""
    return config.stash.get(_BASELINE, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names the earlier run."""
    parser.getgroup("seatrial: the history").addoption(
        "--baseline",
        dest="seatrial_baseline",
        metavar="RUN|FILE",
        help="close the gate only on what is new against this run of the history, or this verdict file",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the earlier run before anything is judged. One that cannot be, or of another cloud, is a usage error."""
    given = config.getoption("seatrial_baseline")
    if not given or config.getoption("collectonly") or not any(invariant_of(item) for item in items):
        return
    from seatrial.plugins.history import NAME, histories_of  # noqa: PLC0415 - most runs have no baseline
    from seatrial.plugins.run_records import NotARun, found  # noqa: PLC0415 - likewise

    about = config.hook.pytest_seatrial_about(config=config) or {}
    cloud = str(about.get("cloud") or "")
    try:
        run = found(given, histories_of(config, about) or Path(NAME), cloud)
    except NotARun as wrong:
        raise pytest.UsageError(f"--baseline: {wrong}") from wrong
    if run.cloud != cloud:
        raise pytest.UsageError(f"--baseline {given}: it is of the cloud {run.cloud!r}, on trial is {cloud!r}")
    config.stash[_BASELINE] = Baseline(run)
