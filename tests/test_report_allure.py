"""The Allure report: what a run writes for it, and the page that is built from it, seen in a browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import browser
import pytest

from seatrial.reports.allure_report import sealed

CLAIMS = '''
@claim(1, "critical")
def test_no_pool_is_thin():
    """Data is lost with the first disk.

    Remedy: raise the size.
    """
    thin = ["pool a: size 1", "pool b: size 1"]
    assert thin == []

@claim(2)
def test_every_osd_is_up():
    """Copies are missing.

    Remedy: bring it up.
    """
    down = ["osd 3: down"]
    assert down == []

@claim(3)
def test_servers_start_in_time(record_property):
    """Users wait.

    Remedy: find out why.
    """
    record_property("measured", {"boot_p95_s": %s, "publish_per_s": 900.0, "servers": 40})
    late = []
    assert late == []
'''
WAIVER = """
[[waiver]]
invariant = "TST-02"
object = "osd 3"
reason = "disk on order"
owner = "OPS-1234"
until = 2999-12-31
"""

CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
"""Where Allure is installed once: pytester gives each test a home of its own, and each would install it again."""


def report(*arguments, cwd, **environment):
    command = [sys.executable, "-m", "seatrial.command", "report", *map(str, arguments)]
    env = {**os.environ, "XDG_CACHE_HOME": CACHE, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=900, check=False)


def judged(trial, boot_s, *options):
    trial.write("waivers.toml", WAIVER)
    trial.claims(CLAIMS % boot_s)
    return trial.judge("--alluredir", "allure", *options)


def results(trial):
    found = [json.loads(path.read_text()) for path in (trial.folder / "allure").glob("*-result.json")]
    return {result["name"].partition(" ")[0]: result for result in found}


def test_allure_is_told_who_offends_and_what_to_do(trial):
    judged(trial, 30)
    violated = results(trial)["TST-01"]
    attached = {entry["name"]: (trial.folder / "allure" / entry["source"]) for entry in violated["attachments"]}
    assert violated["statusDetails"]["message"] == "pool a: size 1\npool b: size 1"
    assert attached["offenders"].read_text() == "pool a: size 1\npool b: size 1\n"
    assert attached["remedy"].read_text() == "raise the size.\n"
    labels = {label["name"]: label["value"] for label in violated["labels"]}
    told = ("epic", "feature", "severity", "source")
    assert [labels[name] for name in told] == ["conformance", "ceph", "critical", "own"]


def test_what_pytest_says_of_the_process_is_left_out(trial):
    judged(trial, 30)
    names = {label["name"] for label in results(trial)["TST-01"]["labels"]}
    assert names == {"run", "severity", "epic", "feature", "story", "source"}


def test_what_is_waived_is_a_known_failure_for_allure(trial):
    judged(trial, 30)
    waived = results(trial)["TST-02"]
    assert (waived["status"], waived["statusDetails"]["known"]) == ("failed", True)
    assert "OPS-1234" in waived["statusDetails"]["message"]


def test_figures_become_metrics_with_their_units_and_directions(trial):
    judged(trial, 30)
    (path,) = (trial.folder / "allure").glob("*-perf.json")
    told = {
        metric["key"]: (metric["value"], metric["unit"], metric["better"]) for metric in json.loads(path.read_text())
    }
    assert told == {
        "/TST-03/boot_p95_s": (30, "s", "lower"),
        "/TST-03/publish_per_s": (900.0, "1/s", "higher"),
        "/TST-03/servers": (40, "", "neutral"),
    }


def test_allure_hears_on_what_and_by_whom(trial, monkeypatch):
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("CI_PIPELINE_IID", "17")
    monkeypatch.setenv("CI_JOB_URL", "https://gitlab.example.org/job/17")
    run = judged(trial, 30)
    executor = json.loads((trial.folder / "allure" / "executor.json").read_text())
    assert (executor["type"], executor["buildOrder"], executor["buildName"]) == ("gitlab", 17, run.verdict["run"])
    assert "verdict=closed\n" in (trial.folder / "allure" / "environment.properties").read_text()
    assert json.loads((trial.folder / "allure" / f"{run.verdict['run']}-verdict.json").read_text()) == run.verdict


def test_workers_of_xdist_tell_allure_the_same_run(trial):
    run = judged(trial, 30, "-n", "2")
    runs = {label["value"] for entry in results(trial).values() for label in entry["labels"] if label["name"] == "run"}
    assert runs == {run.verdict["run"]}


def test_where_node_is_missing_one_line_says_what_to_install(trial, tmp_path):
    judged(trial, 30)
    done = report("allure", cwd=trial.folder, PATH=str(tmp_path))
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "needs Node.js" in done.stderr


def test_a_folder_without_a_run_is_no_report(tmp_path):
    done = report(tmp_path, cwd=tmp_path)
    assert (done.returncode, "no finished run of seatrial" in done.stderr) == (4, True)


def test_a_page_that_would_load_from_outside_is_refused():
    with pytest.raises(ValueError, match="would load from outside"):
        sealed('<head></head><script defer src="https://cdn.example.org/x.js"></script>')


@pytest.mark.skipif(browser.missing() != "", reason=browser.missing() or "never")
def test_the_report_shows_trend_metrics_and_failures_and_asks_nobody(trial, tmp_path):
    runs = []
    for boot_s in (30, 61):
        runs.append(judged(trial, boot_s).verdict["run"])
        built = report("allure", "-o", "report.html", "--trend", "trend.jsonl", cwd=trial.folder)
        assert built.returncode == 0, built.stderr
    assert "older runs" not in built.stderr  # the first is in the trend already
    assert [json.loads(line)["name"] for line in (trial.folder / "trend.jsonl").read_text().splitlines()] == runs
    page = trial.folder / "report.html"
    with browser.browser(tmp_path / "chromium") as opened:
        opened.page = page.read_bytes()
        results, metrics = opened.shown(browser.ORIGIN), opened.shown(browser.ORIGIN + "#metrics")
        charts = opened.shown(f"file://{page}#charts")
        asked = list(opened.asked)
        opened.page = b'<script async src="https://www.googletagmanager.com/gtag/js"></script>'
        opened.shown(browser.ORIGIN)
        noticed = [address for address in opened.asked if "googletagmanager" in address]
    assert "TST-01 no pool is thin" in results
    assert runs[1] in results
    assert "+31 s" in metrics
    assert "Claims by outcome, run by run" in charts
    assert asked == []
    assert noticed != []
