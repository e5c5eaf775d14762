"""How a figure is spread over runs, and whether another one is beyond that: median and MAD, which few outliers move."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LOWER, HIGHER, NEITHER = "lower", "higher", "neither"

BETTER = {"mib_per_s": HIGHER, "per_s": HIGHER, "ms": LOWER, "s": LOWER}
"""By the unit at the end of a figure's name, the longest first: which way is better. Other names have no direction."""

_OF_A_NORMAL = 1.4826
"""The MAD of a normal distribution, times this, is its standard deviation."""
_PLOT = 40
_DENSITY = " .:-=+*#"


@dataclass(frozen=True)
class Limits:
    """From when on a figure is beyond what is usual; section `regressions` of the profile says each in words."""

    runs_min: int
    runs_max: int
    spreads: float
    share_min: float
    agree: int
    floors: Mapping[str, float]
    directions: Mapping[str, str]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Limits:
        """Take them as the profile tells them."""
        floors = {unit.removeprefix("floor_"): floor for unit, floor in told.items() if unit.startswith("floor_")}
        rest = {key: told[key] for key in ("runs_min", "runs_max", "spreads", "share_min", "agree", "directions")}
        return cls(floors=floors, **rest)

    def better(self, figure: str) -> str:
        """Which way a figure of that name is better."""
        return self.directions.get(figure) or direction(figure)


def unit(figure: str) -> str:
    """Return the unit that a figure's name ends in; empty where it has none that has a direction."""
    return next((known for known in BETTER if figure.endswith(f"_{known}")), "")


def direction(figure: str) -> str:
    """Which way a figure is better by its unit alone."""
    return BETTER.get(unit(figure), NEITHER)


@dataclass(frozen=True)
class Distribution:
    """A figure in the runs before, the oldest first."""

    figures: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.figures)

    @cached_property
    def median(self) -> float:
        """Half of the runs had no more."""
        return statistics.median(self.figures)

    @cached_property
    def spread(self) -> float:
        """The standard deviation of a normal distribution with the same median of the distances from the median."""
        return _OF_A_NORMAL * statistics.median(abs(figure - self.median) for figure in self.figures)

    def quantile(self, share: float) -> float:
        """Return what this share of the runs did not exceed."""
        return sorted(self.figures)[min(int(len(self.figures) * share), len(self.figures) - 1)]

    def away(self, name: str, limits: Limits) -> float:
        """Return how far from the median the figure of that name is still usual."""
        floor = limits.floors.get(unit(name), 0.0)
        return max(limits.spreads * self.spread, limits.share_min * abs(self.median), floor)

    def bound(self, name: str, limits: Limits) -> float:
        """Return the worst value of the figure of that name that is still usual."""
        away = self.away(name, limits)
        return self.median - away if limits.better(name) == HIGHER else self.median + away

    def beyond(self, name: str, figure: float, limits: Limits) -> bool:
        """Whether a figure is worse than what is usual."""
        better = limits.better(name)
        bound = self.bound(name, limits)
        return figure < bound if better == HIGHER else figure > bound if better == LOWER else False

    def told(self, now: float) -> Iterable[str]:
        """Tell it in two lines: percentiles, and a strip from the least to the most with an x for now."""
        low, high = min(self.figures), max(self.figures)
        quantiles = ", ".join(f"p{share} {self.quantile(share / 100):g}" for share in (10, 50, 90))
        yield f"{len(self)} runs before from {low:g} to {high:g}: {quantiles}"
        yield strip(self.figures, now)


def strip(figures: Sequence[float], now: float) -> str:
    """Return a text plot of figures on one line: the more of them, the denser; `x` is now."""
    low, high = min(*figures, now), max(*figures, now)
    width = (high - low) or 1.0

    def column(figure: float) -> int:
        return round((figure - low) / width * (_PLOT - 1))

    counts = [0] * _PLOT
    for figure in figures:
        counts[column(figure)] += 1
    most = max(counts)
    cells = [_DENSITY[-(-count * (len(_DENSITY) - 1) // most)] for count in counts]
    cells[column(now)] = "x"
    return f"{low:g} [{''.join(cells)}] {high:g}"
