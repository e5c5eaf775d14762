"""The Allure 3 report of one or more runs: one HTML file that opens from a folder and from a server, and asks nobody.

The newest run of each cloud is shown; older ones are its history. Which results are a run's is told by their label
`run` and the verdict beside them (`RUN-verdict.json`), never by the folder they lie in.
"""

from __future__ import annotations

import importlib.resources
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.reports import allure_tool
from seatrial.reports.placed import place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VERDICT = "-verdict.json"
_NAME_LENGTH = 60
_SEVERITIES = ["blocker", "critical", "normal", "minor", "trivial"]
_STATUSES = ["passed", "failed", "broken", "skipped", "unknown"]

_ANALYTICS = re.compile(
    r"\s*<script async src=\"https://www\.googletagmanager\.com/[^>]*></script>\s*<script>\s*window\.dataLayer.*?</script>",
    re.DOTALL,
)
_OUTSIDE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"", re.IGNORECASE)
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data:;"
    " img-src data: blob:; font-src data:; media-src data: blob:; connect-src data: blob:; frame-src data: blob:;"
    " worker-src data: blob:; form-action 'none'; base-uri 'none'"
)
"""What the browser holds the report to: it may use what stands in the file, and ask nobody for anything."""

_CHARTS = [
    {"type": "statusDynamics", "title": "Claims by outcome, run by run", "limit": 30},
    {"type": "statusTransitions", "title": "Newly violated, and held again, run by run", "limit": 30},
    {"type": "currentStatus", "title": "Claims now"},
    {"type": "testResultSeverities", "title": "Claims now, by severity", "levels": _SEVERITIES, "statuses": _STATUSES},
    {"type": "problemsDistribution", "title": "Violated, by cloud and subsystem", "by": "environment"},
]
"""What can be seen of claims. Allure's others tell of tests: how their number grows, and how they lie in folders."""


@dataclass(frozen=True)
class Results:
    """The results of one run: its id, cloud, time and the folder with its files."""

    run: str
    cloud: str
    started: datetime
    folder: Path
    verdict: dict[str, Any]


def build(folders: Sequence[Path], out: Path, trend: Path | None, tell: Callable[[str], None]) -> list[str]:
    """Build the report of the runs in these folders and return their ids, the oldest first.

    `trend` is a file of Allure's history (JSON lines), which is read, and written with these runs added; a run that is
    in it already is not added twice. Raises ValueError where a folder has no run, OSError, and `ToolMissing`.
    """
    runs = runs_of(folders)
    command = allure_tool.allure(tell)
    newest = {run.cloud: run for run in runs}
    shown = sorted(newest.values(), key=lambda run: run.started)
    with tempfile.TemporaryDirectory(prefix="seatrial-report-") as name:
        work = Path(name)
        points, later = _around(_points(trend, tell), shown)
        known = {run for point in points for run in _runs_in(point)}
        for number, run in enumerate(older := [run for run in runs if run not in shown and run.run not in known], 1):
            tell(f"older runs: {number} of {len(older)}")
            points.append(_generated(command, work / f"older-{number}", [run], [], plain=True))
        points.sort(key=lambda point: point["timestamp"])
        tell(f"building the report of {' '.join(run.run for run in shown)}")
        points.append(_generated(command, work / "shown", shown, points))
        place(sealed((work / "shown" / "out" / "index.html").read_text()), out)
        if trend is not None:
            place("".join(json.dumps(point, ensure_ascii=False) + "\n" for point in [*points, *later]), trend)
    return [run.run for run in runs]


def runs_of(folders: Sequence[Path]) -> list[Results]:
    """Return the runs whose results lie in these folders, the oldest first."""
    found: dict[str, Results] = {}
    for folder in folders:
        files = sorted(folder.glob(f"*{VERDICT}"))
        if not files:
            raise ValueError(f"{folder}: no finished run of seatrial in it (`seatrial gate --alluredir FOLDER`)")
        for file in files:
            verdict = json.loads(file.read_text())
            started = datetime.fromisoformat(verdict["started"])
            found[verdict["run"]] = Results(verdict["run"], verdict["cloud"], started, folder, verdict)
    return sorted(found.values(), key=lambda run: (run.started, run.run))


def sealed(page: str) -> str:
    """Return Allure's page without its analytics, and with a policy that lets it ask nobody.

    Raises ValueError where something from outside is left: another version of Allure may bring it in another way.
    """
    page = _ANALYTICS.sub("", page)
    left = _OUTSIDE.search(page)
    if left or "googletagmanager" in page:
        raise ValueError(f"Allure's page would load from outside: {left[0] if left else 'googletagmanager'}")
    meta = f'<head>\n    <meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return page.replace("<head>", meta, 1)


def _generated(
    command: list[str], work: Path, runs: list[Results], points: list[dict[str, Any]], *, plain: bool = False
) -> dict[str, Any]:
    """Let Allure judge the results of these runs against the history, and return their own point of history."""
    results, history = work / "results", work / "history.jsonl"
    results.mkdir(parents=True)
    for run in runs:
        _staged(run, results)
    history.write_text("".join(json.dumps(point) + "\n" for point in points))
    config = work / "allurerc.mjs"
    config.write_text(_config(runs, work, plain=plain))
    allure_tool.run([*command, "generate", str(results), "--config", str(config)], work)
    point: dict[str, Any] = json.loads(history.read_text().splitlines()[-1])
    point["name"] = " ".join(run.run for run in runs)
    point["timestamp"] = int(max(run.started for run in runs).timestamp() * 1000)
    for item in point["testResults"].values():
        item.pop("trace", None)  # nine tenths of the file, and shown nowhere
    return point


def _staged(run: Results, into: Path) -> None:
    """Copy what is this run's: results by their label, and what they name.

    Containers stay out: the fixtures by which a claim was told of the cloud are nothing that its reader looks for.
    """
    _staged_results(run, into)
    for path in run.folder.glob("*-perf.json"):
        if all(metric.get("run") == run.run for metric in json.loads(path.read_text())):
            shutil.copyfile(path, into / path.name)
    for name in ("environment.properties", "executor.json"):
        path = run.folder / name
        if path.exists() and run.run in path.read_text():
            shutil.copyfile(path, into / name)


def _staged_results(run: Results, into: Path) -> None:
    for path in run.folder.glob("*-result.json"):
        result = json.loads(path.read_text())
        if {"name": "run", "value": run.run} in result.get("labels", []):
            for name in (path.name, *_attachments(result)):
                if (run.folder / name).is_file():
                    shutil.copyfile(run.folder / name, into / name)


def _attachments(step: dict[str, Any]) -> list[str]:
    named = [Path(attachment["source"]).name for attachment in step.get("attachments", [])]
    return named + [name for inner in step.get("steps", []) for name in _attachments(inner)]


def _config(runs: list[Results], work: Path, *, plain: bool) -> str:
    """Return Allure's configuration. It is a program, since which results are of which cloud is told by a function."""
    environments = {
        f"cloud-{number}": {
            "name": re.sub(r"[/\\\x00-\x1f]", "-", run.cloud or "cloud")[:_NAME_LENGTH],
            "variables": {key: str(run.verdict[key]) for key in ("cloud", "profile", "run", "started", "verdict")},
            "cloud": run.cloud,
        }
        for number, run in enumerate(runs)
    }
    page = {
        "singleFile": True,
        "reportLanguage": "en",
        "groupBy": ["epic", "feature"],
        "sections": ["charts"],
        "charts": _CHARTS,
    }
    config = {
        "name": f"seatrial: {', '.join(run.cloud or 'cloud' for run in runs)}",
        "output": str(work / "out"),
        "categories": json.loads(importlib.resources.files("seatrial.reports").joinpath("categories.json").read_text()),
        "historyPath": str(work / "history.jsonl"),
        "plugins": {"agent": {"enabled": False}, **({} if plain else {"awesome": {"options": page}})},
    }
    return (
        f"const config = {json.dumps(config, indent=1)};\n"
        f"config.environments = {json.dumps(environments, indent=1)};\n"
        "for (const environment of Object.values(config.environments)) {\n"
        "  const { cloud } = environment;\n"
        "  delete environment.cloud;\n"
        "  environment.matcher = ({ labels }) =>\n"
        '    (labels.find(({ name }) => name === "cloud")?.value ?? "") === cloud;\n'
        "}\n"
        "export default config;\n"
    )


def _points(trend: Path | None, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the points of a history file; a line that was torn by a crash is told and left out."""
    if trend is None or not trend.exists():
        return []
    points = []
    for number, line in enumerate(trend.read_text().splitlines(), 1):
        try:
            point = json.loads(line)
        except ValueError:
            point = None
        if isinstance(point, dict) and {"name", "timestamp", "testResults"} <= point.keys():
            points.append(point)
        else:
            tell(f"{trend}: line {number} is no point of a history and is left out")
    return points


def _runs_in(point: dict[str, Any]) -> list[str]:
    return str(point["name"]).split()


def _around(points: list[dict[str, Any]], shown: list[Results]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the history before and after the shown runs, without their own points."""
    runs, last = {run.run for run in shown}, max(run.started for run in shown).timestamp() * 1000
    others = [point for point in points if not runs.intersection(_runs_in(point))]
    return [p for p in others if p["timestamp"] <= last], [p for p in others if p["timestamp"] > last]
