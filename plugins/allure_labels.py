"""What Allure is told of each claim: labels, who offends, what to do, figures; and a history that survives renaming."""

from __future__ import annotations

from hashlib import md5
from typing import Any
from uuid import uuid4

import allure_commons
import pytest
from allure_commons.model2 import Attachment, Label, Status, StatusDetails, TestResult
from allure_commons.utils import now

from seatrial.plugins.invariants import Invariant, invariant_of
from seatrial.plugins.judgement import MENDED, VIOLATED, WAIVED, Judgement, judgement_of

_OF_PYTEST = {
    *("severity", "feature", "epic", "story", "tag", "AS_ID", "parentSuite", "suite", "subSuite"),
    *("host", "thread", "framework", "language", "package"),
}
"""Labels that allure-pytest takes from marks and modules, which the claim itself says better; and what it says of the
process that judged, which tells nobody anything of the cloud."""


class AllureLabels:
    """Labels each result with its invariant before it is written."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._running: Invariant | None = None
        self._judgement: Judgement | None = None
        self._began = 0
        self._again = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        """Remember whose result is written."""
        self._running, self._judgement, self._again = invariant_of(item), None, False
        self._began = now()
        try:
            return (yield)
        finally:
            self._running = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how it was judged last."""
        judgement = judgement_of(report)
        if judgement is not None and self._running is not None and judgement.id == self._running.id:
            self._judgement = judgement
            self._again = getattr(report, "again", "") != ""

    @allure_commons.hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]
    def report_result(self, result: TestResult) -> None:
        """Label a result. Its history is its cloud's and its invariant's, so that a renamed test keeps its trend."""
        about = self._config.hook.pytest_seatrial_about(config=self._config) or {}
        cloud = str(about.get("cloud", ""))
        result.labels.append(Label(name="run", value=self._config.hook.pytest_seatrial_run(config=self._config)))
        if cloud:
            result.labels.append(Label(name="cloud", value=cloud))
        invariant = self._running
        if invariant is None:
            return
        result.start = self._began  # a trial happens before its figures are judged, while the test is set up
        result.name = f"{invariant.id} {invariant.title}"
        result.historyId = md5(f"{cloud} {invariant.id}".encode(), usedforsecurity=False).hexdigest()
        result.testCaseId = result.historyId
        result.parameters = []  # the row of a parametrized claim stands in its title and has an id of its own
        result.titlePath = [invariant.kind, invariant.subsystem]
        labels = {
            "severity": invariant.severity,
            "epic": invariant.kind,
            "feature": invariant.subsystem,
            "story": invariant.id,
            "source": invariant.source,
        }
        kept = [label for label in result.labels if label.name not in _OF_PYTEST]
        result.labels = [*kept, *(Label(name=name, value=value) for name, value in labels.items())]
        result.description = f"{invariant.cost}\n\n**Remedy:** {invariant.remedy}"
        if self._judgement is not None:
            _tell(result, self._judgement)
            _attach(result, invariant, self._judgement, about)
            if self._judgement.measured and not self._again:  # a figure that is measured again is told once
                from seatrial.plugins.allure_metrics import write_metrics  # noqa: PLC0415 - few claims measure

                write_metrics(self._config, result, invariant, self._judgement, about)


def _tell(result: TestResult, judgement: Judgement) -> None:
    """Say in the failure's message who offends. What is waived is a failure that is known."""
    trace = result.statusDetails.trace if result.statusDetails else None
    if judgement.outcome == MENDED and result.status == Status.PASSED:
        first = "\n".join(judgement.first)
        result.statusDetails = StatusDetails(flaky=True, message=f"{first}\n\nmended: {judgement.mended}")
        # Of what passed, Allure shows no message.
        result.description += (
            f"\n\n**Violated before:**\n```\n{first}\n```\n**Mended by:**\n```\n{judgement.mended}\n```"
        )
    elif judgement.outcome == WAIVED:
        result.status = Status.FAILED
        result.statusDetails = StatusDetails(known=True, message="\n".join(judgement.waived), trace=trace)
    elif judgement.outcome == VIOLATED:
        told = [*judgement.offenders, *judgement.waived, *([judgement.settling] if judgement.settling else [])]
        result.status = Status.FAILED  # what closes the gate by its figures raised nothing
        result.statusDetails = StatusDetails(message="\n".join(told), trace=trace)


def _attach(result: TestResult, invariant: Invariant, judgement: Judgement, about: dict[str, Any]) -> None:
    """Attach what an operator needs to act: who offends, what to do, what was changed, and where it was read."""
    if judgement.outcome not in (VIOLATED, WAIVED, MENDED):
        return
    where = about.get("evidence") or about.get("source") or ""
    told = {
        "offenders": "\n".join(judgement.offenders),
        "waived": "\n".join(judgement.waived),
        "offended before it was mended": "\n".join(judgement.first),
        "mended by": judgement.mended,
        "remedy": invariant.remedy,
        "evidence": f"{where}\n`seatrial explain {invariant.id}` names what was asked." if where else "",
    }
    for name, text in told.items():
        if text:
            file = f"{uuid4()}-attachment.txt"
            allure_commons.plugin_manager.hook.report_attached_data(body=text + "\n", file_name=file)
            result.attachments.append(Attachment(name=name, source=file, type="text/plain"))


def pytest_configure(config: pytest.Config) -> None:
    """Take part only where Allure results are written."""
    if config.getoption("allure_report_dir", None):
        from seatrial.plugins.allure_run import AllureRun  # noqa: PLC0415 - most runs write none

        labels = AllureLabels(config)
        config.pluginmanager.register(labels, "seatrial-allure")
        allure_commons.plugin_manager.register(labels, "seatrial-allure")
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(AllureRun(config), "seatrial-allure-run")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave Allure as it was."""
    labels = config.pluginmanager.get_plugin("seatrial-allure")
    if labels is not None:
        allure_commons.plugin_manager.unregister(labels)
