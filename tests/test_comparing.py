"""`seatrial compare`: what turned between two runs, and which figures moved beyond what is usual."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from seatrial.command import main
from seatrial.plugins import run_records
from seatrial.plugins.run_records import Judged, Run


def run_of(number, *judged, **more):
    about = {"cloud": "c", "profile": "baseline", "verdict": "open", "exit": 0, "nodes": 3}
    started = f"2026-11-01T00:{number:02}:00+00:00"
    return Run(**{"schema": 1, "run": f"r{number}", "started": started, "invariants": list(judged), **about, **more})


def claim(number, outcome, *offenders, **more):
    return Judged(f"TST-{number:02}", f"claim {number} is true", "normal", outcome, list(offenders), **more)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, run):
        (tmp_path / name).write_bytes(msgspec.json.encode(run))
        return name

    return write


def compare(*arguments):
    return CliRunner().invoke(main, ["compare", *arguments])


BEFORE = run_of(
    1,
    claim(1, "holds"),
    claim(2, "violated", "pool a: size 1"),
    claim(3, "holds"),
    claim(4, "violated", "osd 1: down 3 s", "osd 2: down"),
    claim(5, "holds", measured={"p95_s": 40.0, "servers": 40}),
    claim(6, "violated", "x: y"),
    release={"openstack": "2026.1", "chart openstack/nova": "nova-1"},
)
AFTER = run_of(
    2,
    claim(1, "violated", "pool b: size 1"),
    claim(2, "holds"),
    claim(3, "undetermined"),
    claim(4, "violated", "osd 1: down 9 s", "osd 3: down"),
    claim(5, "holds", measured={"p95_s": 57.0, "servers": 40}),
    verdict="closed",
    release={"openstack": "2026.2", "chart openstack/nova": "nova-1"},
)


def test_what_turned_is_told_and_ends_with_1(files):
    said = compare(files("a.json", BEFORE), files("b.json", AFTER), "--format", "json")
    assert said.exit_code == 1, said.output
    told = json.loads(said.output)
    assert {one["id"]: one["offenders"] for one in told["newly_violated"]} == {
        "TST-01": ["pool b: size 1"],
        "TST-04": ["osd 3: down"],
    }
    assert [one["id"] for one in told["newly_held"]] == ["TST-02"]
    assert [one["id"] for one in told["newly_unreadable"]] == ["TST-03"]
    assert [one["id"] for one in told["not_judged_any_more"]] == ["TST-06"]
    assert told["changed"] == [{"name": "openstack", "before": "2026.1", "after": "2026.2"}]
    (moved,) = [figure for figure in told["measured"] if figure["name"] == "p95_s"]
    assert (moved["before"], moved["after"], round(moved["share"], 3)) == (40.0, 57.0, 0.425)
    assert moved["standing"] == "not known: 0 comparable runs of the 10 needed"


def test_the_table_and_the_markdown_read_well(files):
    a, b = files("a.json", BEFORE), files("b.json", AFTER)
    told = compare(a, b).output
    assert "newly violated: 2\n  TST-01 normal: claim 1 is true (was holds)\n      pool b: size 1\n" in told
    assert "TST-05  p95_s    40 -> 57  +42.5%  not known" in told
    assert "  openstack: 2026.1 -> 2026.2" in told
    told = compare(a, b, "--format", "markdown").output
    assert "| TST-01 claim 1 is true | normal | holds | pool b: size 1 |" in told
    assert "| TST-05 | p95_s | 40 | 57 | +42.5% | not known" in told


def test_runs_are_named_by_their_ids_and_figures_are_held_against_the_history(files, tmp_path):
    path = tmp_path / "history" / "c" / "runs.jsonl"
    for number in range(1, 13):
        run_records.append(path, run_of(number, claim(5, "holds", measured={"p95_s": 40.0 + number / 10})))
    run_records.append(path, run_of(13, claim(5, "holds", measured={"p95_s": 57.0})))
    said = compare("r1", "r13")
    assert said.exit_code == 0, said.output
    assert "40.1 -> 57  +42.1%  worse than usual in 12 runs" in said.output
    assert "within the usual spread of 12 runs" in compare("r13", "r5").output
    assert "better than usual in" in compare("r1", files("b.json", run_of(9, *fast()))).output


@pytest.mark.usefixtures("files")
def test_figures_are_held_against_the_limits_of_the_profile_that_is_named(tmp_path):
    path = tmp_path / "history" / "c" / "runs.jsonl"
    for number, figure in enumerate((40.0, 40.1, 40.2, 57.0), 1):
        judged = claim(5, "holds", measured={"p95_s": figure})
        run_records.append(path, run_of(number, judged, profile="ours"))
    (tmp_path / "ours.toml").write_text('extends = "baseline"\nabout = "ours"\n[regressions]\nruns_min = 3\n')
    unnamed = compare("r1", "r4")
    assert "profile ours is not at hand" in unnamed.output
    assert "not known: 3 comparable runs of the 10 needed" in unnamed.output
    assert "worse than usual in 3 runs" in compare("r1", "r4", "--profile", "ours.toml").output
    wrong = compare("r1", "r4", "--profile", "theirs.toml")
    assert (wrong.exit_code, "profile theirs.toml: no such file" in wrong.output) == (4, True)


def fast():
    return [claim(5, "holds", measured={"p95_s": 20.0})]


@pytest.mark.parametrize(("after", "status"), [("holds", 0), ("undetermined", 10), ("violated", 1)])
def test_the_exit_status_says_what_became_worse(files, after, status):
    a, b = files("a.json", run_of(1, claim(1, "holds"))), files("b.json", run_of(2, claim(1, after, "x: y")))
    assert compare(a, b).exit_code == status


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"schema": 1, "run"', "b.json: torn: "),
        ('{"schema": 2}', "b.json: of schema 2, not 1: upgrade seatrial"),
        ('{"schema": 1}', "b.json: not the verdict of a run: "),
        ("[]", "b.json: not the verdict of a run: "),
    ],
)
def test_bad_input_gets_one_clear_line(files, tmp_path, text, complaint):
    (tmp_path / "b.json").write_text(text)
    said = compare(files("a.json", BEFORE), "b.json")
    assert said.exit_code == 4
    assert complaint in said.output
    assert len(said.output.splitlines()) == 1


def test_runs_of_another_cloud_are_compared_only_on_request(files):
    a, b = files("a.json", BEFORE), files("b.json", run_of(2, cloud="d"))
    said = compare(a, b)
    assert said.exit_code == 4
    assert "a.json and b.json are of different clouds, c and d: --across-clouds" in said.output
    assert "of different clouds: c and d" in compare(a, b, "--across-clouds").output


def test_what_is_nowhere_is_said(files):
    said = compare(files("a.json", BEFORE), "20261121T000000Z-abcd")
    assert said.exit_code == 4
    assert "20261121T000000Z-abcd: neither a verdict file nor a run of the history in history" in said.output
    assert "nowhere.json: no such file" in compare("nowhere.json", "a.json").output
