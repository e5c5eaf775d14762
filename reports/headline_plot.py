"""The headline as a plot: an SVG that needs nothing, and reads in light and in dark."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

from seatrial.reports.headline import Headline, Row, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH, _MARGIN, _TITLE, _ROW, _BAR = 960, 16, 480, 20, 10
_NAMED = 90.0
"""Where the bars of all claims begin."""

_ORDER = ("violated", "undetermined", "not judged", "waived", "stale waiver", "not concerned", "holds")
_KINDS = {"violated": "bad", "holds": "good", "not concerned": "dim", "not judged": "dim"}
_LONGEST = 62
"""How many letters of a claim fit beside its bars."""

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; } .head { font-size: 15px; font-weight: 600; }
.end { text-anchor: end; }
.small { font-size: 11px; fill: #57606a; } .paper { fill: #ffffff; } .rule { stroke: #8886; }
.bad { fill: #c0392b; } .good { fill: #1e8449; } .odd { fill: #b9770e; } .dim { fill: #9aa4ae; }
@media (prefers-color-scheme: dark) {
 text { fill: #e6edf3; } .small { fill: #9198a1; } .paper { fill: #0d1117; }
 .bad { fill: #ff7b72; } .good { fill: #3fb950; } .odd { fill: #d29922; } .dim { fill: #656c76; }
}
"""


def as_svg(told: Headline) -> str:
    """Return the plot: all claims by outcome, before and now, and each violated claim with its offenders."""
    rows = [*told.violated, *told.broken]
    body = [_text(_MARGIN, 26, sentence(told), "head")]
    for y, name, about in ((44, "before", told.before), (86, "now", told.now)):
        body += _outcomes(y, name, about)
    top = 152
    body.append(_text(_TITLE, top - 12, "offenders before (√ scale)", "small"))
    body.append(_text(_middle() + _MARGIN, top - 12, "now", "small"))
    most = max((len(side.said) for row in rows for side in (row.before, row.now)), default=1)
    for number, row in enumerate(rows):
        body += _row(top + number * _ROW, row, most)
    height = top + len(rows) * _ROW + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' role="img"><title>{html.escape(sentence(told))}</title><style>{_STYLE}</style>\n'
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _outcomes(y: int, name: str, about: dict[str, Any]) -> Iterable[str]:
    """Draw how many claims had each outcome as one bar."""
    counts = about["counts"]
    x, whole = _NAMED, sum(counts.values()) or 1
    wide = _WIDTH - _MARGIN - x
    yield _text(_MARGIN, y + 13, name)
    for outcome in sorted(counts, key=_place):
        width = wide * counts[outcome] / whole
        kind, told = _KINDS.get(outcome, "odd"), f"{counts[outcome]} {outcome}"
        yield f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="18"><title>{told}</title></rect>'
        x += width
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in sorted(counts, key=_place))
    yield _text(_NAMED, y + 32, told, "small")


def _row(y: int, row: Row, most: int) -> Iterable[str]:
    title = f"{row.id} {row.title}"
    shown = title if len(title) <= _LONGEST else title[: _LONGEST - 1] + "…"
    yield f'<line class="rule" x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{y - 5}" y2="{y - 5}"/>'
    yield f"<g><title>{html.escape(title)} ({row.severity})</title>{_text(_MARGIN, y + 9, shown)}</g>"
    yield _text(_WIDTH - _MARGIN, y + 9, row.severity, "small end")
    for x, side in ((_TITLE, row.before), (_middle() + _MARGIN, row.now)):
        kind = _KINDS.get(side.outcome, "odd")
        if side.outcome == "violated":
            width = max(4.0, (_middle() - _TITLE - 60) * math.sqrt(len(side.said) / most))
            told = html.escape("\n".join(side.said))
            place = f'x="{x}" y="{y}" width="{width:.1f}" height="{_BAR}"'
            yield f'<rect class="{kind}" {place}><title>{told}</title></rect>'
            yield _text(x + width + 6, y + 9, str(len(side.said)), "small")
        else:
            yield f'<circle class="{kind}" cx="{x + 5}" cy="{y + 5}" r="5"/>'
            yield _text(x + 16, y + 9, side.outcome, "small")


def _middle() -> int:
    return _TITLE + (_WIDTH - _TITLE) // 2


def _place(outcome: str) -> int:
    return _ORDER.index(outcome) if outcome in _ORDER else len(_ORDER)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    chosen = f' class="{kind}"' if kind else ""
    return f'<text{chosen} x="{x:g}" y="{y:g}">{html.escape(text)}</text>'
