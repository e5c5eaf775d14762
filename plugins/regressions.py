"""Budgets and regressions: what a claim measured is held against the profile, and against the runs before.

A claim that holds is violated by a figure over its budget, or by one that is worse than what is usual in comparable
runs, and worse again when the claim is measured once more at the end of the same run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.plugins.distribution import HIGHER, NEITHER, Distribution, Limits
from seatrial.plugins.history import history_of
from seatrial.plugins.invariants import invariant_of
from seatrial.plugins.judgement import HOLDS, KNOWN, MENDED, STALE, WAIVED, judgement_of, tell, violated_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.plugins.judgement import Judgement
    from seatrial.plugins.run_records import History, Run

AGAIN = "measured again"
SOUND = {HOLDS, MENDED, STALE, WAIVED, KNOWN}
"""Outcomes of claims whose figures later runs are compared with. A regression that nobody answers for is not among
them, so that it stays one; what is waived becomes the usual."""


class Usual:
    """What is usual on this cloud: the figures of comparable runs."""

    def __init__(self, history: History, limits: Limits, profile: str, nodes: int) -> None:
        self.limits = limits
        self._runs = [run for run in history.runs if comparable(run, profile, nodes)]

    def of(self, claim: str, name: str) -> Distribution:
        """Return how a figure of a claim is spread, over as many of the last runs as the profile asks for."""
        figures = [figure for run in self._runs if (figure := compared(run, claim, name)) is not None]
        return Distribution(tuple(figures[-self.limits.runs_max :]))


def comparable(run: Run, profile: str, nodes: int) -> bool:
    """Whether the figures of a run are comparable: whole, not side by side, the same profile and the same size."""
    return run.whole and not run.workers and run.profile == profile and run.nodes == nodes


def compared(run: Run, claim: str, name: str) -> float | None:
    """Return the figure that later runs are compared with: the first, since only what was slow got a second look."""
    judged = run.judged(claim)
    if judged is None or judged.outcome not in SOUND:
        return None
    return judged.measured_first.get(name, judged.measured.get(name))


def _bound(name: str, before: Distribution, limits: Limits) -> str:
    most_or_least = "at least" if limits.better(name) == HIGHER else "at most"
    return f"usual is {most_or_least} {before.bound(name, limits):.4g} in {len(before)} comparable runs"


class Regressions:
    """Holds back what is worse than usual, measures it again once, and judges by both."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._usual: Usual | None = None
        self._why_not = ""
        self._unread: list[str] = []
        self._asked = False
        self._waiting: list[pytest.Item] = []
        self._first: dict[str, dict[str, float]] = {}
        self._again = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Judge the figures of a claim that holds by itself."""
        report: pytest.TestReport = yield
        judgement = judgement_of(report)
        if judgement is None or not judgement.measured:
            return report
        first = self._first.get(item.nodeid)
        if first is not None and self._again:
            judgement.measured_first = first
        if judgement.outcome in {HOLDS, STALE}:
            about = self._config.hook.pytest_seatrial_about(config=self._config) or {}
            lines = list(self._over_budget(judgement, about)) or list(self._regressed(item, judgement, about))
            if lines:
                violated_by(item, judgement, lines)
                tell(report, judgement, "\n".join(lines))
            elif item in self._waiting and not self._again:
                report.outcome = "rerun"  # type: ignore[assignment]
                report.again = AGAIN  # type: ignore[attr-defined]
        report.seatrial = judgement.as_dict()  # type: ignore[attr-defined]
        return report

    def _over_budget(self, judgement: Judgement, about: dict[str, Any]) -> Iterable[str]:
        """Tell each figure that is over the profile's budget. It is absolute: no second look is taken."""
        budgets = (about.get("budgets") or {}).get(judgement.id, {})
        higher = Limits.of(about["regressions"]).better if budgets else None
        for name, budget in budgets.items():
            figure = judgement.measured.get(name)
            if figure is None:
                judgement.trend.append(f"{name}: the profile has a budget for it, and it was not measured")
            elif higher and (figure < budget if higher(name) == HIGHER else figure > budget):
                yield f"{name}: {figure:g}, the budget is {budget:g}"
                usual = self._known(about)
                before = usual.of(judgement.id, name) if usual else None
                if before:
                    yield from (f"{name}: {line}" for line in before.told(figure))

    def _regressed(self, item: pytest.Item, judgement: Judgement, about: dict[str, Any]) -> Iterable[str]:
        """Tell each figure that was worse than usual twice; hold the claim back where it was once."""
        usual = self._known(about)
        if usual is None:
            judgement.trend += [self._why_not] if self._why_not else []
            return
        known = {name: usual.of(judgement.id, name) for name in judgement.measured}
        known = {name: before for name, before in known.items() if usual.limits.better(name) != NEITHER}
        enough = {name: before for name, before in known.items() if len(before) >= usual.limits.runs_min}
        few = {name: len(before) for name, before in known.items() if name not in enough}
        if few:
            most = max(few.values())
            of = "" if len(few) == len(known) else f"{', '.join(few)}: "
            judgement.trend.append(f"{of}{most} comparable runs of the {usual.limits.runs_min} that a verdict needs")
        worse = {n for n, before in enough.items() if before.beyond(n, judgement.measured[n], usual.limits)}
        agree = min(usual.limits.agree, len(enough))
        if not judgement.measured_first:
            self._look_once(item, judgement, {name: enough[name] for name in sorted(worse)}, usual.limits, agree)
            if enough and not worse:
                judgement.trend.append(f"as usual in {max(map(len, enough.values()))} comparable runs")
            return
        first = judgement.measured_first
        before_too = {n for n in enough if n in first and enough[n].beyond(n, first[n], usual.limits)}
        twice = worse & before_too
        for name in sorted(before_too):
            before, now = enough[name], judgement.measured[name]
            both = f"{first[name]:g}, {AGAIN} {now:g}"
            bound = _bound(name, before, usual.limits)
            if name in twice and len(twice) >= agree:
                off = f"{abs(now / before.median - 1):.0%} off the median, " if before.median else ""
                yield f"{name}: {both}: {off}{bound}"
                yield from (f"{name}: {line}" for line in before.told(now))
            else:
                judgement.trend.append(
                    f"{name} {both}: {'alone in it' if name in twice else 'not seen twice'}, {bound}"
                )

    def _look_once(
        self, item: pytest.Item, judgement: Judgement, worse: dict[str, Distribution], limits: Limits, agree: int
    ) -> None:
        """Note what is worse than usual, and keep the claim for a second look where enough figures agree."""
        again = len(worse) >= agree and bool(worse)
        why = "it was not measured again: the run ended before" if again else f"no verdict: {agree} figures must agree"
        for name, before in worse.items():
            judgement.trend.append(f"{name} {judgement.measured[name]:g}: {_bound(name, before, limits)}; {why}")
        if again and not self._again:
            self._first[item.nodeid] = dict(judgement.measured)
            self._waiting.append(item)

    def _known(self, about: dict[str, Any]) -> Usual | None:
        """Return what is usual here; None where nothing is known or compared, and why."""
        if self._asked:
            return self._usual
        self._asked = True
        try:
            history = history_of(self._config)
        except OSError as error:
            self._why_not = f"not compared: the history cannot be read: {error.strerror}"
            return None
        if history is None or not about.get("regressions"):
            return None
        self._unread = history.unread
        extent = self._config.hook.pytest_seatrial_extent(config=self._config, asking=True) or {}
        if hasattr(self._config, "workerinput"):
            self._why_not = "not compared: measured side by side with others (-n)"
        elif not extent.get("nodes"):
            self._why_not = "not compared: how many nodes the cloud has is not known"
        else:
            limits = Limits.of(about["regressions"])
            self._usual = Usual(history, limits, str(about.get("profile")), int(extent["nodes"]))
        return self._usual

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Any:
        """When everything is judged, measure once more what was worse than usual."""
        result = yield
        if session.shouldstop or session.shouldfail:
            return result
        self._again = True
        for item in self._waiting:
            invariant = invariant_of(item)
            self._say(f"{invariant.id if invariant else item.name} was worse than usual: measuring again")
            item.user_properties[:] = [kept for kept in item.user_properties if kept[0] != "measured"]
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return result

    def _say(self, text: str) -> None:
        self._config.hook.pytest_seatrial_announce(config=self._config, line=text, passing=False)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which records of the history could not be read."""
        for line in self._unread:
            terminalreporter.write_line(f"history, not read: {line}", yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Take over what pytest-benchmark measured, in seconds, as figures of the claim."""
    try:
        return (yield)
    finally:
        metadata = getattr(getattr(item, "funcargs", {}).get("benchmark"), "stats", None)
        data = metadata.stats.sorted_data if metadata else []
        if data and invariant_of(item):
            ranks = {f"p{share}_s": data[min(len(data) * share // 100, len(data) - 1)] for share in (50, 95, 99)}
            item.user_properties.append(("measured", {**ranks, "max_s": data[-1], "rounds": len(data)}))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Name what is measured again for that."""
    return ("measured again", "m", "MEASURED AGAIN") if getattr(report, "again", "") == AGAIN else None


def pytest_configure(config: pytest.Config) -> None:
    """Listen to figures."""
    config.pluginmanager.register(Regressions(config), "seatrial-regressions")
