"""The windows in which a profile allows no remedy, such as a weekend: `Fri 18:00-Mon 07:00`, `22:00-06:00`, UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MOMENT = r"(?:(?P<day{0}>[A-Za-z]{{3}}) )?(?P<hour{0}>\d\d):(?P<minute{0}>\d\d)"
_WINDOW = re.compile(f"{_MOMENT.format(1)}-{_MOMENT.format(2)}")
_DAY = 24 * 60
_WEEK = 7 * _DAY


def paused(windows: list[str], now: datetime) -> str:
    """Return the window that `now` lies in, empty for none. Raises ValueError for one that cannot be understood."""
    moment = now.astimezone(UTC)
    minute = moment.weekday() * _DAY + moment.hour * 60 + moment.minute
    for window in windows:
        start, end, length = _bounds(window)
        if (minute - start) % length < ((end - start) % length or length):
            return window
    return ""


def _bounds(window: str) -> tuple[int, int, int]:
    found = _WINDOW.fullmatch(window.strip())
    if not found or (found["day1"] is None) != (found["day2"] is None):
        raise ValueError(f"{window!r} is not of the form `Fri 18:00-Mon 07:00` or `22:00-06:00`")
    start, end = (int(found[f"hour{n}"]) * 60 + int(found[f"minute{n}"]) for n in (1, 2))
    if found["day1"] is None:
        return start, end, _DAY
    days = [found[f"day{n}"].lower() for n in (1, 2)]
    if not set(days) <= set(_DAYS):
        raise ValueError(f"{window!r}: days are {', '.join(_DAYS)}")
    return start + _DAYS.index(days[0]) * _DAY, end + _DAYS.index(days[1]) * _DAY, _WEEK
