"""What Allure is told: ids, severities and sources as labels, and a history that survives renaming a test."""

from __future__ import annotations

import importlib.resources
from hashlib import md5
from pathlib import Path
from typing import Any

import allure_commons
import pytest
from allure_commons.model2 import Label, Link, Status, StatusDetails, TestResult

from seatrial.plugins.invariants import Invariant, invariant_of
from seatrial.plugins.judgement import MENDED, Judgement, judgement_of


class AllureLabels:
    """Labels each result with its invariant before it is written."""

    def __init__(self) -> None:
        self._running: Invariant | None = None
        self._mended: Judgement | None = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Remember whose result is written."""
        self._running, self._mended = invariant_of(item), None
        try:
            return (yield)
        finally:
            self._running = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what was mended: Allure calls that flaky, and keeps the first attempt beside it."""
        judgement = judgement_of(report)
        if judgement is not None and judgement.outcome == MENDED:
            self._mended = judgement

    @allure_commons.hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
    def report_result(self, result: TestResult) -> None:
        """Label a result. The history id comes from the invariant's id, so that a renamed test keeps its trend."""
        invariant = self._running
        if invariant is None:
            return
        result.name = f"{invariant.id} {invariant.title}"
        result.historyId = md5(invariant.id.encode(), usedforsecurity=False).hexdigest()
        result.testCaseId = result.historyId
        kept = [label for label in result.labels if label.name not in {"severity", "feature", "epic", "tag"}]
        labels = {
            "severity": invariant.severity,
            "epic": invariant.kind,
            "feature": invariant.subsystem,
            "story": invariant.id,
            "AS_ID": invariant.id,
            "source": invariant.source,
        }
        result.labels = [*kept, *(Label(name=name, value=value) for name, value in labels.items())]
        if self._mended is not None and result.status == Status.PASSED:
            first = "\n".join(self._mended.first)
            result.statusDetails = StatusDetails(flaky=True, message=f"{first}\n\nmended: {self._mended.mended}")
        result.description = f"{invariant.cost}\n\n**Remedy:** {invariant.remedy}"
        result.links = [
            *result.links,
            Link(type="tms", url=f"docs/invariants.md#{invariant.id.lower()}", name=invariant.id),
        ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Put the categories and what is on trial beside the results."""
    folder = session.config.getoption("allure_report_dir", None)
    if not folder or hasattr(session.config, "workerinput"):
        return
    categories = importlib.resources.files("seatrial.reports").joinpath("categories.json").read_text()
    about = session.config.hook.pytest_seatrial_about(config=session.config) or {}
    told = {key: about[key] for key in ("cloud", "profile", "source") if about.get(key)}
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "categories.json").write_text(categories)
    (Path(folder) / "environment.properties").write_text("".join(f"{key}={value}\n" for key, value in told.items()))


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where Allure results are written."""
    if config.getoption("allure_report_dir", None):
        labels = AllureLabels()
        config.pluginmanager.register(labels, "seatrial-allure")
        allure_commons.plugin_manager.register(labels, "seatrial-allure")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave Allure as it was."""
    labels = config.pluginmanager.get_plugin("seatrial-allure")
    if labels is not None:
        allure_commons.plugin_manager.unregister(labels)
