"""The headline: what was violated before, what it says now, and what mended it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

SEVERITIES = ("blocker", "critical", "normal", "minor", "trivial")
_AS_TOLD = 3
"""How many offenders of a claim the Markdown table names; the rest are counted there, and in full in the JSON."""


@dataclass(frozen=True)
class Side:
    """How one claim was judged in one run: the outcome, and the lines that say why."""

    outcome: str
    said: list[str]


@dataclass(frozen=True)
class Row:
    """One claim, before and now. `mended` is what mended it, as an operator would type it, where a run did."""

    id: str
    title: str
    severity: str
    before: Side
    now: Side
    mended: str


@dataclass(frozen=True)
class Headline:
    """Before and now, in a table.

    `before` and `now` say of which run and how many claims had each outcome; `before` has no verdict where one run
    mended what it found. `violated` are the claims violated before, `broken` those that are violated now only.
    """

    before: dict[str, Any]
    now: dict[str, Any]
    violated: list[Row]
    broken: list[Row]


def headline(before: dict[str, Any], now: dict[str, Any] | None = None) -> Headline:
    """Compare two verdicts; of a single one, what it says of before and after its mending."""
    then = {entry["id"]: _first(entry) if now is None else _now(entry) for entry in before["invariants"]}
    entries = {entry["id"]: entry for entry in (now or before)["invariants"]}
    named = {entry["id"]: entry for entry in [*before["invariants"], *entries.values()]}
    rows = [
        Row(
            id_,
            entry["title"],
            entry["severity"],
            then.get(id_, _ABSENT),
            _now(entries.get(id_)),
            _by(entries.get(id_)),
        )
        for id_, entry in named.items()
    ]
    rows.sort(key=lambda row: (SEVERITIES.index(row.severity), row.id))
    return Headline(
        before={**_about(before, then.values()), **({} if now else {"verdict": ""})},
        now=_about(now or before, (_now(entry) for entry in entries.values())),
        violated=[row for row in rows if row.before.outcome == "violated"],
        broken=[row for row in rows if row.before.outcome != "violated" and row.now.outcome == "violated"],
    )


def as_json(told: Headline) -> str:
    """Return it whole, as JSON."""
    return json.dumps(asdict(told), indent=1, ensure_ascii=False) + "\n"


def as_markdown(told: Headline) -> str:
    """Return it as a table for people, with the first offenders of each claim."""
    lines = [f"# {sentence(told)}", "", f"{_run(told.before)} → {_run(told.now)}"]
    for heading, rows in (("Violated before", told.violated), ("Violated now only", told.broken)):
        if rows:
            lines += ["", f"## {heading}", "", "| invariant | before | now | mended by |", "| --- | --- | --- | --- |"]
            lines += [_line(row) for row in rows]
    return "\n".join(lines) + "\n"


def sentence(told: Headline) -> str:
    """Return the whole in one line."""
    was = f"was {told.before['verdict']} and " if told.before["verdict"] else ""
    gates = f"the gate {was}is {told.now['verdict']}"
    still = sum(row.now.outcome == "violated" for row in told.violated)
    more = f", {len(told.broken)} newly" if told.broken else ""
    return f"{told.now['cloud'] or 'cloud'}: {gates}; {len(told.violated)} violated before, {still} of them still{more}"


_ABSENT = Side("not judged", [])


def _first(entry: dict[str, Any]) -> Side:
    """Return how a claim was judged when the run began: what it mended was violated."""
    return Side("violated", entry["first"]) if entry["outcome"] == "mended" else _now(entry)


def _now(entry: dict[str, Any] | None) -> Side:
    if entry is None:
        return _ABSENT
    said = [*entry["offenders"], *entry["waived"]] or ([entry["reason"]] if entry["reason"] else [])
    return Side("holds" if entry["outcome"] == "mended" else entry["outcome"], said)


def _by(entry: dict[str, Any] | None) -> str:
    return str(entry["mended"]) if entry else ""


def _about(verdict: dict[str, Any], sides: Iterable[Side]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for side in sides:
        counts[side.outcome] = counts.get(side.outcome, 0) + 1
    told = {key: verdict[key] for key in ("run", "cloud", "profile", "started", "verdict")}
    return {**told, "counts": counts}


def _run(about: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(about["counts"].items()))
    return f"{about['cloud'] or 'cloud'}, profile {about['profile']}, {about['started']} ({counts})"


def _line(row: Row) -> str:
    cells = (f"**{row.id}** {row.title} ({row.severity})", _cell(row.before), _cell(row.now), _code(row.mended))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"


def _cell(side: Side) -> str:
    shown = [f"`{line.replace('`', chr(39))}`" for line in side.said[:_AS_TOLD]]
    more = [f"… and {len(side.said) - _AS_TOLD} more"] if len(side.said) > _AS_TOLD else []
    return "<br>".join([side.outcome, *shown, *more])


def _code(text: str) -> str:
    return "<br>".join(f"`{line.replace('`', chr(39))}`" for line in text.splitlines() if line.strip())
