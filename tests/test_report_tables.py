"""What is made from verdict files: the headline, its plot, Prometheus metrics and their dashboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana-dashboard.json"


def entry(id_, outcome, *offenders, **more):
    told = {
        "id": id_,
        "title": "pools are thick",
        "severity": "critical",
        "outcome": outcome,
        "waived": [],
        "reason": "",
    }
    return {**told, "offenders": list(offenders), "mended": "", "first": [], "measured": {}, "duration": 0.1, **more}


def verdict(path, word, *entries, cloud="prod", status=0):
    told = {"schema": 1, "run": "20261121T120000Z-ab12", "cloud": cloud, "profile": "um-cloud", "exit": status}
    told |= {"started": "2026-11-21T12:00:00+00:00", "duration": 10.4, "verdict": word, "invariants": list(entries)}
    outcomes = [one["outcome"] for one in entries]
    path.write_text(json.dumps(told | {"counts": {outcome: outcomes.count(outcome) for outcome in set(outcomes)}}))
    return path


@pytest.fixture
def before(tmp_path):
    thin = [f"pool {letter}|x: size 1" for letter in "abcde"]
    entries = [entry("CEPH-01", "violated", *thin), entry("RMQ-01", "violated", "q: lost"), entry("DB-01", "holds")]
    return verdict(tmp_path / "before.json", "closed", *entries, status=1)


@pytest.fixture
def after(tmp_path):
    mended = entry("CEPH-01", "mended", mended="ceph osd pool set a size 2", first=["pool a: size 1"])
    broken = entry("DB-01", "violated", 'node "x\\y": <down>')
    measured = entry("LOAD-05", "holds", measured={"p95_s": 31.5})
    return verdict(tmp_path / "after.json", "closed", mended, entry("RMQ-01", "holds"), broken, measured, status=1)


def report(*arguments):
    command = [sys.executable, "-m", "seatrial.command", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_headline_says_what_was_violated_and_what_mended_it(before, after):
    said = report(before, after, "--headline", "md").stdout
    assert "prod: the gate was closed and is closed; 2 violated before, 0 of them still, 1 newly" in said
    (line,) = [line for line in said.splitlines() if "CEPH-01" in line]
    assert "`pool a\\|x: size 1`" in line
    assert "… and 2 more | holds | `ceph osd pool set a size 2` |" in line


def test_the_headline_as_json_leaves_nothing_out(before, after):
    told = json.loads(report(before, after, "--headline", "json").stdout)
    assert [row["id"] for row in told["violated"]] == ["CEPH-01", "RMQ-01"]
    assert len(told["violated"][0]["before"]["said"]) == 5
    assert [row["id"] for row in told["broken"]] == ["DB-01"]


def test_one_mending_run_is_its_own_before_and_after(after):
    told = json.loads(report(after, "--headline", "json").stdout)
    rows = {row["id"]: row for row in told["violated"]}
    assert rows["CEPH-01"]["before"] == {"outcome": "violated", "said": ["pool a: size 1"]}
    assert rows["CEPH-01"]["now"]["outcome"] == "holds"
    assert told["broken"] == []


def test_a_claim_that_was_not_judged_again_is_not_called_mended(before, tmp_path):
    now = verdict(tmp_path / "now.json", "open", entry("DB-01", "holds"))
    told = json.loads(report(before, now, "--headline", "json").stdout)
    assert {row["now"]["outcome"] for row in told["violated"]} == {"not judged"}


def test_the_plot_is_an_svg_for_light_and_dark(before, after, tmp_path):
    assert report(before, after, "--headline", "svg", "-o", tmp_path / "plot.svg").returncode == 0
    drawn = ET.parse(tmp_path / "plot.svg").getroot()
    text = " ".join(node.text or "" for node in drawn.iter())
    assert "CEPH-01 pools are thick" in text
    assert "<down>" in text
    assert "prefers-color-scheme: dark" in text


def metrics(path):
    return {family.name: family.samples for family in text_string_to_metric_families(path.read_text())}


def test_metrics_are_read_back_by_prometheus_own_client(after, tmp_path):
    done = report(after, "--textfile", tmp_path / "seatrial.prom")
    assert done.returncode == 0, done.stderr
    read = metrics(tmp_path / "seatrial.prom")
    assert [sample.value for sample in read["seatrial_gate_open"]] == [0]
    violated = {sample.labels["invariant"]: sample.value for sample in read["seatrial_invariant_violated"]}
    assert violated == {"CEPH-01": 0, "RMQ-01": 0, "DB-01": 1, "LOAD-05": 0}
    assert read["seatrial_figure"][0].labels == {"cloud": "prod", "invariant": "LOAD-05", "figure": "p95_s"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_claim_that_was_not_judged_has_no_metric_of_being_violated(tmp_path):
    given = verdict(tmp_path / "v.json", "undetermined", entry("DB-01", "undetermined", reason="no answer"), status=10)
    report(given, "--textfile", tmp_path / "seatrial.prom")
    read = metrics(tmp_path / "seatrial.prom")
    assert "seatrial_invariant_violated" not in read
    assert [sample.value for sample in read["seatrial_gate_open"]] == [0]


def test_files_that_the_collector_would_not_read_and_two_of_one_cloud_are_refused(before, after, tmp_path):
    assert "end in .prom" in report(after, "--textfile", tmp_path / "seatrial.txt").stderr
    twice = report(before, after, "--textfile", tmp_path / "seatrial.prom")
    assert (twice.returncode, "two verdicts of cloud prod" in twice.stderr) == (4, True)


def test_the_dashboard_asks_for_metrics_that_are_written(after, tmp_path):
    report(after, "--textfile", tmp_path / "seatrial.prom")
    written = metrics(tmp_path / "seatrial.prom")
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"]["query"] for variable in dashboard["templating"]["list"][1:]]
    named = {name for expression in asked for name in re.findall(r"\bseatrial_\w+", expression)}
    assert named - written.keys() == set()
    labels = {name: set(samples[0].labels) for name, samples in written.items()}
    for expression in asked:
        for name, selected in re.findall(r"\b(seatrial_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)[!=]~?\"", selected)) <= labels[name], expression
    assert named == written.keys()


def test_every_metric_is_documented(after, tmp_path):
    report(after, "--textfile", tmp_path / "seatrial.prom")
    page = (DASHBOARD.parent / "reports.md").read_text()
    assert [name for name in metrics(tmp_path / "seatrial.prom") if f"`{name}`" not in page] == []


def test_what_is_no_verdict_is_told_with_its_file(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    done = report(tmp_path / "x.json", "--headline", "md")
    assert (done.returncode, "x.json: not a verdict" in done.stderr) == (4, True)
