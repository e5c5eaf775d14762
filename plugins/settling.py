"""`--settle`: a cloud converges for a while after an upgrade; what is violated is judged again until it holds."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from seatrial.plugins.allow import ALLOWANCES
from seatrial.plugins.invariants import invariant_of
from seatrial.plugins.judgement import VIOLATED, annotate, judgement_of

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """Return a length of time such as `90`, `90s`, `10m` or `1h` in seconds. Raises pytest's usage error."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not found:
        raise pytest.UsageError(f"--settle {text}: expected a length of time such as 90s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2]]


class Settling:
    """Holds violations back while there is time, and judges them again from fresh facts."""

    def __init__(self, config: pytest.Config, patience: float) -> None:
        self._config = config
        self._patience = patience
        self._started = time.monotonic()
        self._waiting: dict[str, pytest.Item] = {}
        self._seen: dict[str, list[tuple[str, ...]]] = {}
        self._last_round = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        """Hold a violation back while there is time left for it to settle."""
        report: pytest.TestReport = yield
        judgement = judgement_of(report)
        invariant = invariant_of(item)
        if judgement is None or invariant is None or invariant.kind != "conformance":
            return report  # a trial that failed has failed: a second one proves nothing about the first
        if judgement.outcome == VIOLATED:
            self._seen.setdefault(item.nodeid, []).append(tuple(judgement.offenders))
            if not self._last_round:
                self._waiting[item.nodeid] = item
                report.outcome = "rerun"  # type: ignore[assignment]
                return report
            judgement.settling = self._how_it_went(item.nodeid)
            report.seatrial = judgement.as_dict()  # type: ignore[attr-defined]
        self._waiting.pop(item.nodeid, None)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Any:
        """Judge what reads; then again what is violated, until it holds or the time is up; and only then what loads."""
        items = session.items
        session.items = [item for item in items if not _loads(item)]
        try:
            result = yield
        finally:
            session.items = items
        self._settle(session)
        if not self._config.getoption("collectonly") and not self._config.getoption("seatrial_capture"):
            self._judge_what_loads(session, [item for item in items if _loads(item)])
        return result

    def _judge_what_loads(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Go on as pytest's own loop does."""
        for item, following in zip(items, [*items[1:], None], strict=False):
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

    def _settle(self, session: pytest.Session) -> None:
        about = self._config.hook.pytest_seatrial_about(config=self._config) or {}
        if about.get("live"):
            while self._waiting and not session.shouldstop:
                left = self._patience - (time.monotonic() - self._started)
                poll = min(float(about["settle_poll_s"]), max(left, 0.0))
                self._say(f"settling: {', '.join(self._names())} for {max(left, 0):.0f} s more")
                time.sleep(poll)
                self._last_round = left <= poll
                self._judge_again(list(self._waiting.values()))
                if self._last_round:
                    break
        elif self._waiting:
            self._last_round = True
            self._say("settling: a recorded cloud does not change; judged as it is")
            self._judge_again(list(self._waiting.values()))
        self._last_round = True  # who judges once more, as mending does, is told at once

    def _judge_again(self, items: list[pytest.Item]) -> None:
        self._config.hook.pytest_seatrial_reread(config=self._config, items=items)
        for item in items:
            annotate(item, f"settled after {time.monotonic() - self._started:.0f} s")
            self._config.hook.pytest_runtest_protocol(item=item, nextitem=None)

    def _names(self) -> list[str]:
        return [invariant.id for item in self._waiting.values() if (invariant := invariant_of(item))]

    def _how_it_went(self, nodeid: str) -> str:
        """Say whether the offenders still changed. Their lines carry figures and no ages: a change is progress."""
        looks = self._seen[nodeid]
        waited = time.monotonic() - self._started
        if len(looks) > 1 and looks[-1] != looks[0]:
            return f"converging: still changing after {waited:.0f} s"
        return f"stuck: unchanged for {waited:.0f} s in {len(looks)} looks"

    def _say(self, text: str) -> None:
        self._config.hook.pytest_seatrial_announce(config=self._config, line=text, passing=False)


def _loads(item: pytest.Item) -> bool:
    invariant = invariant_of(item)
    return invariant is not None and invariant.kind in ALLOWANCES


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that asks for patience."""
    parser.getgroup("seatrial: the gate").addoption(
        "--settle",
        dest="seatrial_settle",
        metavar="TIME",
        help="judge what is violated again until it holds or this time is up (90s, 10m, 1h)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Settle only when asked to."""
    given = config.getoption("seatrial_settle")
    if given:
        if config.getoption("numprocesses", None):
            raise pytest.UsageError("--settle judges in one process: leave out -n")
        config.pluginmanager.register(Settling(config, seconds(given)), "seatrial-settling")
