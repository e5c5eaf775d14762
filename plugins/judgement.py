"""What a test's end means for its invariant: it holds, is violated, is unread, or does not concern the cloud."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.plugins.baseline import baseline_of
from seatrial.plugins.invariants import Invariant, invariant_of
from seatrial.plugins.offenders import offenders_of
from seatrial.plugins.waivers import waivers_of

if TYPE_CHECKING:
    from types import TracebackType

HOLDS = "holds"
VIOLATED = "violated"
UNDETERMINED = "undetermined"
NOT_CONCERNED = "not concerned"
WAIVED = "waived"
STALE = "stale waiver"
MENDED = "mended"
KNOWN = "known"
NOT_JUDGED = "not judged"

OUTCOMES = (HOLDS, MENDED, VIOLATED, UNDETERMINED, NOT_CONCERNED, WAIVED, STALE, KNOWN, NOT_JUDGED)


@dataclass
class Judgement:
    """How one invariant was judged.

    `offenders` are the lines of those that are not waived, `waived` of those that are, `known` of those that offended
    in the run that this one is held against. `reason` says why the claim could not be read or does not concern the
    cloud, `settling` what `--settle` saw. `mended` says what mended it, and `first` the lines of those that offended
    before. `measured` are the figures of a trial, by name, with the unit in it, `measured_first` those of before it was
    measured again, and `trend` says how they compare with earlier runs. `duration` is in seconds.
    """

    id: str
    title: str
    severity: str
    outcome: str
    offenders: list[str] = field(default_factory=list)
    waived: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    reason: str = ""
    settling: str = ""
    mended: str = ""
    first: list[str] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    measured_first: dict[str, float] = field(default_factory=dict)
    trend: list[str] = field(default_factory=list)
    duration: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As it travels between processes."""
        return asdict(self)


_NOTES = pytest.StashKey[dict[str, str]]()


def annotate(item: pytest.Item, note: str) -> None:
    """Add what settling saw to the item's next judgement."""
    item.stash[_NOTES] = {"settling": note}


def judgement_of(report: pytest.TestReport) -> Judgement | None:
    """Return the judgement that a report carries, if it is about an invariant."""
    carried = getattr(report, "seatrial", None)
    return Judgement(**carried) if carried else None


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Turn what was raised into the invariant's outcome, before any other plugin looks at the report."""
    excinfo = call.excinfo
    raised = excinfo.value if excinfo else None
    meaning = getattr(raised, "seatrial_outcome", None)
    if meaning is not None and raised is not None:
        # Its text says it all. For a traceback, which nobody is shown, pytest would parse every file on the way.
        brief = pytest.fail.Exception(str(raised), pytrace=False).with_traceback(_end_of(raised.__traceback__))
        call.excinfo = pytest.ExceptionInfo.from_exception(brief)
    try:
        report: pytest.TestReport = yield
    finally:
        call.excinfo = excinfo
    invariant = invariant_of(item)
    if meaning == NOT_CONCERNED:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {raised}")
    if invariant is None:
        return report
    judgement = _judged(item, invariant, call, report)
    if judgement is None:
        return report
    if judgement.outcome == UNDETERMINED:
        if meaning is not None:
            report.longrepr = f"could not be read: {raised}"
        # pytest and JUnit tell an error from a failure by the phase: a claim that could not look has not failed.
        report.outcome, report.when = "failed", "setup"
    elif judgement.outcome in {WAIVED, KNOWN}:
        tell(report, judgement, "")
    judgement.measured = measured(item)
    judgement.duration = round(call.duration, 3)
    report.seatrial = judgement.as_dict()  # type: ignore[attr-defined]
    return report


def _end_of(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


def measured(item: pytest.Item) -> dict[str, float]:
    """Return the figures that a test recorded, a later one in the place of an earlier one of the same name."""
    figures: dict[str, float] = {}
    for name, told in item.user_properties:
        if name == "measured":
            figures.update(told)  # type: ignore[call-overload]
    return {name: figure for name, figure in figures.items() if math.isfinite(figure)}


def _judged(
    item: pytest.Item, invariant: Invariant, call: pytest.CallInfo[None], report: pytest.TestReport
) -> Judgement | None:
    """Judge at the end of a phase; None where the phase decides nothing."""
    judgement = Judgement(invariant.id, invariant.title, invariant.severity, HOLDS)
    judgement.settling = item.stash.get(_NOTES, {}).get("settling", "")
    if call.excinfo is None:
        if call.when != "call":
            return None
        if waivers_of(item.config).of(invariant.id):
            judgement.outcome = STALE
            judgement.reason = "; ".join(str(waiver) for waiver in waivers_of(item.config).of(invariant.id))
        return judgement
    raised = call.excinfo.value
    if report.outcome == "skipped":
        judgement.outcome = NOT_CONCERNED
        judgement.reason = str(raised)
    elif call.when == "call" and isinstance(raised, AssertionError | pytest.fail.Exception):
        message = str(raised)
        violated_by(
            item, judgement, offenders_of(item) or [message.splitlines()[0] if message else "the claim is false"]
        )
    else:
        judgement.outcome = UNDETERMINED
        known = getattr(raised, "seatrial_outcome", None) is not None
        judgement.reason = str(raised) if known else f"{type(raised).__name__}: {raised}"
    return judgement


def violated_by(item: pytest.Item, judgement: Judgement, offenders: list[str]) -> None:
    """Judge a claim violated by these; waived or known where somebody answers for all of them, or all were there."""
    baseline = baseline_of(item.config)
    covering = {line: waivers_of(item.config).covering(judgement.id, line) for line in offenders}
    known = {line: baseline.knows(judgement.id, line) for line in offenders} if baseline else {}
    judgement.waived = [f"{line} [waived: {waiver}]" for line, waiver in covering.items() if waiver]
    judgement.known = [known[line] for line, waiver in covering.items() if not waiver and known.get(line)]
    judgement.offenders = [line for line, waiver in covering.items() if not waiver and not known.get(line)]
    judgement.outcome = VIOLATED if judgement.offenders else KNOWN if judgement.known else WAIVED
    judgement.reason = ""
    if judgement.outcome == WAIVED:
        judgement.reason = "; ".join(sorted({str(waiver) for waiver in covering.values() if waiver}))
    elif judgement.outcome == KNOWN and baseline:
        judgement.reason = f"violated in {baseline.run} as well"


def tell(report: pytest.TestReport, judgement: Judgement, why: str) -> None:
    """Make a report say that its claim is violated, or that somebody knows."""
    if judgement.outcome == VIOLATED:
        report.outcome, report.longrepr = "failed", why
    else:
        report.outcome = "skipped"
        report.wasxfail = f"{judgement.outcome}: {judgement.reason}"


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Name what could not be read for what it is, and what is judged again for that."""
    if report.outcome == "rerun" and not hasattr(report, "again"):  # type: ignore[comparison-overlap]
        return "settling", "s", "SETTLING"
    judgement = judgement_of(report)
    if judgement is None:
        return None
    words = {UNDETERMINED: ("error", "U", "UNDETERMINED"), VIOLATED: ("failed", "V", "VIOLATED")}
    return words.get(judgement.outcome)
