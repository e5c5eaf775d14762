"""The end of a run in words: the verdict, what closed the gate and its remedies, what is unread, what is waived."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.plugins.allow import not_asked_for
from seatrial.plugins.gate import GATE, Exit, Gate
from seatrial.plugins.judgement import (
    KNOWN,
    MENDED,
    NOT_CONCERNED,
    NOT_JUDGED,
    STALE,
    UNDETERMINED,
    WAIVED,
    Judgement,
)
from seatrial.plugins.waivers import waivers_of

if TYPE_CHECKING:
    from collections.abc import Iterable

MANY = 20
"""Offenders of one invariant that a terminal shows, where the verdict file names all of them."""

_COLOURS = {"open": "green", "closed": "red"}


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which cloud is on trial, once it is known."""
    given = config.getoption("seatrial_cloud") or config.getoption("seatrial_bundle")
    return [f"seatrial: cloud {given}"] if given else []


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the verdict and its reasons."""
    gate = config.stash.get(GATE, None)
    left_out = _left_out(config)
    if gate is not None and not gate.judgements and left_out and not config.getoption("collectonly"):
        for line in left_out:
            terminalreporter.write_line(line)
    if gate is None or not gate.judgements or config.getoption("collectonly") or gate.exit == Exit.USAGE:
        return
    about = gate.about
    if config.getoption("seatrial_capture"):
        _captured(terminalreporter, about)
        return
    colour = {_COLOURS.get(gate.verdict, "yellow"): True}
    terminalreporter.section(f"the gate is {gate.verdict}", sep="=", bold=True, **colour)
    for line in _lines(gate, about, config):
        red = line.startswith("closed by")
        terminalreporter.write_line(line, red=red, bold=red)
    _for_github(gate, about)


def _captured(reporter: pytest.TerminalReporter, about: dict[str, Any]) -> None:
    reporter.section("recorded")
    reporter.write_line(f"{about['answers']} answers of {about['cloud']} in {about['evidence']}")
    for question, reason in sorted(about["failures"].items()):
        reporter.write_line(f"could not be read: {question}: {reason}")
    if about["trouble"]:
        reporter.write_line(f"not complete: {about['trouble']}", red=True)


def _lines(gate: Gate, about: dict[str, Any], config: pytest.Config) -> Iterable[str]:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in gate.counts().items() if count)
    seconds = (gate.finished - gate.started).total_seconds()
    yield f"cloud {about.get('cloud', '?')}, profile {about.get('profile', '?')}: {counts}, in {seconds:.1f} s"
    if about.get("source"):
        yield f"read from {about['source']}" + (f", {about['retries']} retries" if about.get("retries") else "")
    kept = str(config.getoption("seatrial_verdict") or "")
    # A pipeline's log is all that some people ever see of a run: it is never shortened.
    if gate.trouble or os.environ.get("CI"):
        kept = ""
    yield from _violations(gate, "closed by", gate.violated, kept)
    if config.getoption("seatrial_strict_waivers"):
        yield from _reasons("closed by waivers that are not needed any more", gate.with_outcome(STALE))
    yield from _violations(gate, f"warned by (less severe than {gate.fail_at})", gate.warned, kept)
    yield from _known(gate.with_outcome(KNOWN), kept)
    yield from _mended(gate.with_outcome(MENDED), closes=bool(config.getoption("seatrial_no_mended")))
    yield from _unread(gate.with_outcome(UNDETERMINED))
    if gate.exit == Exit.INTERRUPTED:
        missing = gate.with_outcome(NOT_JUDGED)
        yield f"interrupted: {len(missing)} not judged; what was judged stands"
    yield from _measured(gate)
    if gate.left_behind:
        yield f"left behind: `seatrial cleanup {gate.run}` tries again"
        yield from (f"  {line}" for line in gate.left_behind)
    yield from _reasons("does not concern this cloud", gate.with_outcome(NOT_CONCERNED))
    yield from _reasons("waived", gate.with_outcome(WAIVED))
    if not config.getoption("seatrial_strict_waivers"):
        yield from _reasons("waived, but holds again: take the waiver out", gate.with_outcome(STALE))
    waivers = waivers_of(config)
    yield from (f"waiver expired on {waiver.until}: {waiver}" for waiver in waivers.expired)
    yield from (f"waiver ends soon: {waiver}" for waiver in waivers.ending())
    yield from _left_out(config)
    if about.get("evidence") and not about.get("trouble"):
        yield f"evidence: {about['evidence']}"
    if about.get("trouble"):
        yield f"the evidence is not complete ({about['trouble']}); the verdict stands without it"
    if gate.trouble:
        yield gate.trouble


def _violations(gate: Gate, heading: str, judgements: list[Judgement], kept: str) -> Iterable[str]:
    if not judgements:
        return
    yield heading
    consequences = {cause: [j.id for j in judgements if cause in gate.causes_of(j)] for cause in gate.judgements}
    for judgement in judgements:
        yield f"  {judgement.id} {judgement.severity}: {judgement.title}"
        yield from _shortened(judgement.offenders, kept)
        yield from _shortened([*judgement.waived, *judgement.known], kept)
        if judgement.settling:
            yield f"      {judgement.settling}"
        causes = gate.causes_of(judgement)
        if causes:
            yield f"      explained by {', '.join(causes)}"
        elif judgement.id in gate.invariants:
            yield f"      remedy: {gate.invariants[judgement.id].remedy}"
        if consequences.get(judgement.id):
            yield f"      explains {', '.join(consequences[judgement.id])}"


def _known(judgements: list[Judgement], kept: str) -> Iterable[str]:
    if judgements:
        yield "violated before as well: known, closes nothing"
    for judgement in judgements:
        yield f"  {judgement.id} {judgement.severity}: {judgement.title}"
        yield from _shortened([*judgement.known, *judgement.waived], kept)


def _shortened(lines: list[str], kept: str) -> Iterable[str]:
    """Yield all lines, or the first ones and where the others are kept."""
    shown = lines[:MANY] if kept else lines
    yield from (f"      {line}" for line in shown)
    if len(lines) > len(shown):
        yield f"      … and {len(lines) - len(shown)} more: {kept} names all {len(lines)}"


def _mended(judgements: list[Judgement], *, closes: bool) -> Iterable[str]:
    if judgements:
        yield "closed by what had to be mended" if closes else "mended: it was violated before"
    for judgement in judgements:
        yield f"  {judgement.id} {judgement.severity}: {judgement.title}"
        yield from (f"      {line}" for line in judgement.first)
        yield f"      mended: {judgement.mended}"


def _measured(gate: Gate) -> Iterable[str]:
    measured = [judgement for _, judgement in sorted(gate.judgements.items()) if judgement.measured]
    if measured:
        yield "measured"
    for judgement in measured:
        figures = ", ".join(f"{name} {value:g}" for name, value in judgement.measured.items())
        yield f"  {judgement.id} {judgement.title}: {figures}"
        if judgement.measured_first:
            first = ", ".join(f"{name} {value:g}" for name, value in judgement.measured_first.items())
            yield f"      measured again; at first: {first}"
        yield from (f"      {line}" for line in judgement.trend)


def _left_out(config: pytest.Config) -> list[str]:
    return [
        f"not asked for (--allow {allowance}): {', '.join(sorted(invariant.id for invariant in invariants))}"
        for allowance, invariants in not_asked_for(config).items()
    ]


def _unread(judgements: list[Judgement]) -> Iterable[str]:
    by_reason: dict[str, list[str]] = {}
    for judgement in judgements:
        by_reason.setdefault(judgement.reason, []).append(judgement.id)
    if by_reason:
        yield "could not be read"
    for reason, ids in by_reason.items():
        yield f"  {', '.join(ids)}: {reason}"


def _reasons(heading: str, judgements: list[Judgement]) -> Iterable[str]:
    if judgements:
        yield heading
        yield from (f"  {judgement.id} {judgement.title}: {judgement.reason}" for judgement in judgements)


def _for_github(gate: Gate, about: dict[str, Any]) -> None:
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    rows = [
        f"## The gate is {gate.verdict}",
        "",
        f"Cloud `{about.get('cloud')}`, profile `{about.get('profile')}`.",
        "",
    ]
    rows += ["| invariant | severity | outcome | what |", "| --- | --- | --- | --- |"]
    told = [
        *gate.violated,
        *gate.warned,
        *(j for kind in (MENDED, UNDETERMINED, KNOWN, WAIVED) for j in gate.with_outcome(kind)),
    ]
    for judgement in told:
        what = "<br>".join(judgement.offenders or judgement.first or judgement.known or [judgement.reason]).replace(
            "|", "\\|"
        )
        rows.append(f"| {judgement.id} {judgement.title} | {judgement.severity} | {judgement.outcome} | {what} |")
    with Path(path).open("a") as summary:
        summary.write("\n".join(rows) + "\n")
