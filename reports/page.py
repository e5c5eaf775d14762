"""A page that shows verdicts side by side: what closed the gate, and what became of it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from seatrial.reports.placed import place
from seatrial.reports.verdicts import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_OUTCOMES = ("violated", "undetermined", "not judged", "known", "stale waiver", "waived", "mended", "holds")
_ORDER = {outcome: rank for rank, outcome in enumerate(_OUTCOMES)}
_SEVERITIES = ("blocker", "critical", "normal", "minor", "trivial")
_LAST = len(_OUTCOMES)

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c0392b; --good: #1e8449; --odd: #b9770e; --dim: #888; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h1 small { font-weight: normal; color: var(--dim); }
.verdicts { display: flex; gap: 1rem; flex-wrap: wrap; }
.verdict { border: 1px solid var(--line); border-left: .5rem solid var(--odd); padding: .7rem 1rem; flex: 1 1 18rem; }
.verdict.open { border-left-color: var(--good); } .verdict.closed { border-left-color: var(--bad); }
.verdict b { font-size: 1.3rem; text-transform: uppercase; }
table { border-collapse: collapse; width: 100%; margin-top: 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { position: sticky; top: 0; background: Canvas; }
.violated { color: var(--bad); } .holds { color: var(--good); }
.undetermined, .waived, .stale, .known, .mended { color: var(--odd); } .not { color: var(--dim); }
ul { margin: .2rem 0 0; padding-left: 1.1rem; font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
td:first-child { white-space: nowrap; font-weight: 600; }
""".strip()


def page(verdicts: Sequence[dict[str, Any]]) -> str:
    """Return one self-contained HTML page for one or more verdicts, in the order given. It loads nothing."""
    ids = sorted({entry["id"] for verdict in verdicts for entry in verdict["invariants"]})
    judged = [{entry["id"]: entry for entry in verdict["invariants"]} for verdict in verdicts]
    ids.sort(key=lambda id_: (min(_rank(entries.get(id_)) for entries in judged), id_))
    heads = "".join(f"<th>{_text(verdict['cloud'])}</th>" for verdict in verdicts)
    rows = "".join(_row(id_, [entries.get(id_) for entries in judged]) for id_ in ids)
    cards = "".join(_card(verdict) for verdict in verdicts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>seatrial</title><style>{_STYLE}</style>'
        f"<h1>seatrial <small>the acceptance trial</small></h1>"
        f'<div class="verdicts">{cards}</div>'
        f"<table><thead><tr><th>invariant</th><th>claim</th>{heads}</tr></thead><tbody>{rows}</tbody></table></html>\n"
    )


def write(verdicts: Iterable[Path], out: Path) -> None:
    """Read verdict files and write their page. Raises OSError, or ValueError for what is no verdict."""
    place(page([read(path) for path in verdicts]), out)


def _rank(entry: dict[str, Any] | None) -> tuple[int, int]:
    if entry is None:
        return (_LAST + 1, 0)
    return (_ORDER.get(entry["outcome"], _LAST), _SEVERITIES.index(entry["severity"]))


def _card(verdict: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in verdict["counts"].items() if count)
    return (
        f'<div class="verdict {_text(verdict["verdict"])}"><b>{_text(verdict["verdict"])}</b><br>'
        f"cloud {_text(verdict['cloud'])}, profile {_text(verdict['profile'])}<br>{_text(counts)}<br>"
        f"<small>{_text(verdict['started'])}, {verdict['duration']:.1f} s, run {_text(verdict['run'])}</small></div>"
    )


def _row(id_: str, entries: list[dict[str, Any] | None]) -> str:
    known = next(entry for entry in entries if entry)
    cells = "".join(f"<td>{_outcome(entry)}</td>" for entry in entries)
    claim = f"{_text(known['title'])}<br><small>{_text(known['severity'])}</small>"
    return f'<tr id="{_text(id_.lower())}"><td>{_text(id_)}</td><td>{claim}</td>{cells}</tr>'


def _outcome(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    kind = _text(entry["outcome"].split()[0])
    said = [*entry["offenders"], *entry["waived"], *entry.get("known", []), *entry.get("first", [])] or (
        [entry["reason"]] if entry["reason"] else []
    )
    lines = "".join(f"<li>{_text(line)}</li>" for line in said)
    return f'<span class="{kind}">{_text(entry["outcome"])}</span>' + (f"<ul>{lines}</ul>" if lines else "")


def _text(value: object) -> str:
    return html.escape(str(value))
