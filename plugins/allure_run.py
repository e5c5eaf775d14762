"""What Allure is told of a run as a whole: on which cloud, by whom, in which categories, and with what verdict.

The verdict lies beside the results as `RUN-verdict.json`, so that `seatrial report` knows which results are this run's:
a folder that was not emptied has those of older runs as well.
"""

from __future__ import annotations

import importlib.resources
import json
import os
from pathlib import Path
from typing import Any

import pytest

from seatrial.plugins.gate import GATE

VERDICT = "-verdict.json"
"""How the file ends that has a run's verdict."""

_GITHUB = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}"
_PIPELINES = (
    # what says that it runs there, the type for Allure, the build's number, and its address
    ("GITHUB_ACTIONS", "github", "GITHUB_RUN_NUMBER", _GITHUB),
    ("GITLAB_CI", "gitlab", "CI_PIPELINE_IID", "{CI_JOB_URL}"),
    ("JENKINS_URL", "jenkins", "BUILD_NUMBER", "{BUILD_URL}"),
)


class AllureRun:
    """Puts beside the results what they have in common."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True, trylast=True)  # once the gate has decided, before the summary is printed
    def pytest_sessionfinish(self, session: pytest.Session) -> Any:
        """Write it."""
        done = yield
        gate = self._config.stash[GATE]
        folder = Path(str(self._config.getoption("allure_report_dir")))
        if self._config.getoption("collectonly") or not (gate.judgements or session.testscollected):
            return done
        about = gate.about
        told = {
            "cloud": about.get("cloud"),
            "profile": about.get("profile"),
            "source": about.get("source"),
            "evidence": about.get("evidence"),
            "run": gate.run,
            "started": gate.started.isoformat(timespec="seconds"),
            "verdict": gate.verdict,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            categories = importlib.resources.files("seatrial.reports").joinpath("categories.json").read_text()
            (folder / "categories.json").write_text(categories)
            lines = (f"{key}={_on_one_line(value)}\n" for key, value in told.items() if value)
            (folder / "environment.properties").write_text("".join(lines))
            (folder / "executor.json").write_text(json.dumps(_executor(gate.run), indent=1) + "\n")
            if gate.judgements:
                (folder / f"{gate.run}{VERDICT}").write_text(json.dumps(gate.as_dict(), ensure_ascii=False) + "\n")
        except OSError as error:
            gate.trouble = f"--alluredir {folder}: {error.strerror}: its results are not complete"
        return done


def _executor(run: str) -> dict[str, Any]:
    for sign, kind, number, address in _PIPELINES:
        if os.environ.get(sign):
            order = os.environ.get(number, "")
            return {
                "name": f"seatrial on {kind}",
                "type": kind,
                "buildName": run,
                "buildUrl": address.format_map(_Environment(os.environ)),
                **({"buildOrder": int(order)} if order.isdecimal() else {}),
            }
    return {"name": "seatrial", "type": "seatrial", "buildName": run}


class _Environment(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def _on_one_line(value: object) -> str:
    return " ".join(str(value).split())
