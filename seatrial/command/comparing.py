"""`seatrial compare`: two runs side by side: what became worse, what became better, and which figures moved."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
import msgspec

from seatrial.command.ending import end
from seatrial.fixtures.settings import DEFAULT_PROFILE, load_profile
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.plugins.baseline import bare
from seatrial.plugins.distribution import HIGHER, NEITHER, Limits
from seatrial.plugins.gate import Exit
from seatrial.plugins.judgement import HOLDS, KNOWN, MENDED, NOT_CONCERNED, STALE, UNDETERMINED, VIOLATED
from seatrial.plugins.offenders import identity
from seatrial.plugins.regressions import Usual
from seatrial.plugins.run_records import FILE, History, Judged, NotARun, Run, folder_name, found, read

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HELD = {HOLDS, MENDED, STALE, NOT_CONCERNED}
FALSE = {VIOLATED, KNOWN}
ABSENT = "not there"
WITHIN, WORSE, BETTER = "within the usual spread", "worse than usual", "better than usual"


@dataclass(frozen=True)
class Turned:
    """A claim that was judged otherwise before; `offenders` are those that were not there before."""

    id: str
    title: str
    severity: str
    before: str
    after: str
    offenders: list[str]


@dataclass(frozen=True)
class Moved:
    """A figure in both runs. `share` is the change as a share of the first, None from zero; `runs` are comparable."""

    claim: str
    name: str
    before: float
    after: float
    share: float | None
    standing: str
    runs: int


@dataclass(frozen=True)
class Comparison:
    """What differs between two runs."""

    a: Run
    b: Run
    violated: list[Turned]
    held: list[Turned]
    unreadable: list[Turned]
    gone: list[Turned]
    figures: list[Moved]
    release: list[tuple[str, str, str]]
    notes: list[str]

    @property
    def exit(self) -> Exit:
        """1 where something is newly violated, 10 where it is only newly unreadable, else 0."""
        if self.violated:
            return Exit.CLOSED
        return Exit.UNDETERMINED if self.unreadable else Exit.OPEN


def compared(a: Run, b: Run, history: History, limits: Limits) -> Comparison:
    """Compare two runs, the figures by what the history says is usual for the second."""
    turned = [_turned(before, after) for before, after in _pairs(a, b)]
    versions = {name: (a.release.get(name, ABSENT), b.release.get(name, ABSENT)) for name in {*a.release, *b.release}}
    if a.nodes and b.nodes:
        versions["nodes"] = (str(a.nodes), str(b.nodes))
    known = a.release and b.release
    return Comparison(
        a,
        b,
        violated=[t for t in turned if t.after in FALSE and (t.before not in FALSE or t.offenders)],
        held=[t for t in turned if t.after in HELD and t.before in {*FALSE, UNDETERMINED}],
        unreadable=[t for t in turned if t.after == UNDETERMINED and t.before != UNDETERMINED],
        gone=[t for t in turned if t.after == ABSENT],
        figures=list(_figures(a, b, history, limits)),
        release=[(name, *both) for name, both in sorted(versions.items()) if both[0] != both[1]] if known else [],
        notes=list(_notes(a, b, history)),
    )


def _pairs(a: Run, b: Run) -> Iterable[tuple[Judged | None, Judged | None]]:
    before, after = ({judged.id: judged for judged in run.invariants} for run in (a, b))
    return [(before.get(id_), after.get(id_)) for id_ in sorted({*before, *after})]


def _turned(before: Judged | None, after: Judged | None) -> Turned:
    known = after or before
    assert known is not None
    were = {identity(line) for line in _lines(before)}
    new = [line for line in _lines(after) if identity(line) not in were]
    outcomes = [judged.outcome if judged else ABSENT for judged in (before, after)]
    return Turned(known.id, known.title, known.severity, outcomes[0], outcomes[1], new)


def _lines(judged: Judged | None) -> list[str]:
    return [*judged.offenders, *(bare(line) for line in judged.known)] if judged else []


def _figures(a: Run, b: Run, history: History, limits: Limits) -> Iterable[Moved]:
    others = History(history.path, [run for run in history.runs if run.run != b.run])
    usual = Usual(others, limits, b.profile, b.nodes)
    for before, after in _pairs(a, b):
        if before is None or after is None:
            continue
        for name in after.measured:
            if name in before.measured:
                was, now = before.measured[name], after.measured[name]
                standing, runs = _standing(usual, after.id, name, now)
                yield Moved(after.id, name, was, now, now / was - 1 if was else None, standing, runs)


def _standing(usual: Usual, claim: str, name: str, now: float) -> tuple[str, int]:
    limits = usual.limits
    before = usual.of(claim, name)
    if limits.better(name) == NEITHER:
        return "no direction", len(before)
    if len(before) < limits.runs_min:
        return f"not known: {len(before)} comparable runs of the {limits.runs_min} needed", len(before)
    off = now - before.median
    if abs(off) <= before.away(name, limits):
        return f"{WITHIN} of {len(before)} runs", len(before)
    worse = (off < 0) == (limits.better(name) == HIGHER)
    return f"{WORSE if worse else BETTER} in {len(before)} runs", len(before)


def _notes(a: Run, b: Run, history: History) -> Iterable[str]:
    if a.cloud != b.cloud:
        yield f"of different clouds: {a.cloud} and {b.cloud}"
    if a.profile != b.profile:
        yield f"judged by different profiles: {a.profile} and {b.profile}"
    for run in (a, b):
        if not run.whole:
            yield f"{run.run} did not come to its end: not all of its claims are judged"
    if not (a.release and b.release):
        yield "releases: not known of both runs"
    yield from (f"history, not read: {line}" for line in history.unread)


def table(comparison: Comparison) -> Iterable[str]:
    """Tell a comparison as lines for a terminal."""
    for letter, run in (("A", comparison.a), ("B", comparison.b)):
        yield f"{letter}  {run.run}  {run.started}  cloud {run.cloud}, profile {run.profile}: {run.verdict}"
    yield from comparison.notes
    for heading, turned in _sections(comparison):
        yield f"{heading}: {len(turned) or 'none'}"
        for one in turned:
            yield f"  {one.id} {one.severity}: {one.title} (was {one.before})"
            yield from (f"      {line}" for line in one.offenders)
    figures = [moved for moved in comparison.figures if moved.before or moved.after]
    if figures:
        yield "measured"
        rows = [_row(moved) for moved in figures]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        yield from ("  " + "  ".join([*map(str.ljust, row[:4], widths), row[4]]) for row in rows)
    if comparison.release:
        yield "changed"
        yield from (f"  {name}: {before} -> {after}" for name, before, after in comparison.release)


def markdown(comparison: Comparison) -> Iterable[str]:
    """Tell a comparison as Markdown."""
    yield "| | run | started | cloud | profile | verdict |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for letter, run in (("A", comparison.a), ("B", comparison.b)):
        yield _cells(letter, run.run, run.started, run.cloud, run.profile, run.verdict)
    yield from (f"\n{note}" for note in comparison.notes)
    for heading, turned in _sections(comparison):
        yield f"\n**{heading}**: {len(turned) or 'none'}"
        if turned:
            yield "\n| claim | severity | before | offenders |\n| --- | --- | --- | --- |"
        for one in turned:
            yield _cells(f"{one.id} {one.title}", one.severity, one.before, "<br>".join(one.offenders))
    figures = [moved for moved in comparison.figures if moved.before or moved.after]
    if figures:
        yield "\n| claim | figure | A | B | change | |\n| --- | --- | --- | --- | --- | --- |"
        for moved in figures:
            yield _cells(
                moved.claim, moved.name, f"{moved.before:g}", f"{moved.after:g}", _share(moved), moved.standing
            )
    if comparison.release:
        yield "\n| changed | A | B |\n| --- | --- | --- |"
        yield from (_cells(*row) for row in comparison.release)


def as_json(comparison: Comparison) -> str:
    """Tell a comparison for machines."""

    def about(run: Run) -> dict[str, Any]:
        return {key: getattr(run, key) for key in ("run", "started", "cloud", "profile", "verdict", "nodes", "release")}

    told = {
        "a": about(comparison.a),
        "b": about(comparison.b),
        "notes": comparison.notes,
        "newly_violated": [asdict(one) for one in comparison.violated],
        "newly_held": [asdict(one) for one in comparison.held],
        "newly_unreadable": [asdict(one) for one in comparison.unreadable],
        "not_judged_any_more": [asdict(one) for one in comparison.gone],
        "measured": [asdict(moved) for moved in comparison.figures],
        "changed": [{"name": name, "before": before, "after": after} for name, before, after in comparison.release],
    }
    return json.dumps(told, indent=1, ensure_ascii=False)


def _sections(comparison: Comparison) -> Iterable[tuple[str, list[Turned]]]:
    yield "newly violated", comparison.violated
    yield "newly held", comparison.held
    yield "newly unreadable", comparison.unreadable
    if comparison.gone:
        yield "not judged any more", comparison.gone


def _row(moved: Moved) -> tuple[str, str, str, str, str]:
    return moved.claim, moved.name, f"{moved.before:g} -> {moved.after:g}", _share(moved), moved.standing


def _share(moved: Moved) -> str:
    return f"{moved.share:+.1%}" if moved.share is not None else ""


def _cells(*texts: str) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def compare(a: str, b: str, histories: Path, layout: str, profile: str | None, *, across: bool) -> Exit:
    """Print how two runs differ, and return the exit status. Ends the command where one of them cannot be read.

    Figures are held against the limits of a profile, that of the second run where none is named.
    """
    try:
        before, after = found(a, histories), found(b, histories)
        if before.cloud != after.cloud and not across:
            clouds = " and ".join(run.cloud or "a cloud without a name" for run in (before, after))
            end(Exit.USAGE, f"{a} and {b} are of different clouds, {clouds}: --across-clouds compares them")
        history = read(histories / folder_name(after.cloud) / FILE, after.cloud)
    except NotARun as wrong:
        end(Exit.USAGE, str(wrong))
    except OSError as error:
        end(Exit.USAGE, f"{histories}: {error.strerror}")
    comparison = compared(before, after, history, _limits(profile, after.profile))
    told = (
        as_json(comparison)
        if layout == "json"
        else "\n".join((markdown if layout == "markdown" else table)(comparison))
    )
    click.echo(told)
    return comparison.exit


def _limits(given: str | None, of_the_run: str) -> Limits:
    try:
        loaded = load_profile(given or of_the_run)
    except WrongSetting as wrong:
        if given:
            end(Exit.USAGE, str(wrong))
        instead = f"changes are held against the limits of {DEFAULT_PROFILE} (--profile FILE names it)"
        click.echo(f"profile {of_the_run} is not at hand: {instead}", err=True)  # an operator's own file
        loaded = load_profile(DEFAULT_PROFILE)
    return Limits.of(msgspec.to_builtins(loaded.regressions))
