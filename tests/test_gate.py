"""Outcomes and exit statuses: what each end of a test means for the gate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from seatrial.command import WHOLE

HOLDS = '''
@claim(1)
def test_it_holds():
    """Nothing is lost.

    Remedy: none is needed.
    """
    assert [] == []
'''
VIOLATED = '''
@claim(2, "{severity}")
def test_no_pool_is_thin():
    """Data is lost.

    Remedy: raise the size.
    """
    thin = ["pool a: size 1", "pool b: size 1"]
    assert thin == []
'''
UNREAD = '''
@claim(3)
def test_it_can_be_read():
    """Nobody knows.

    Remedy: look again.
    """
    raise Unavailable("toolbox pod: there is none")
'''
UNREAD_FACT = '''
@pytest.fixture
def dark():
    raise Unavailable("no answer from mon.a")

@claim(4)
def test_its_fact_can_be_read(dark):
    """Nobody knows.

    Remedy: look again.
    """
    assert dark == []
'''
ELSEWHERE = '''
@claim(5)
def test_it_concerns_this_cloud():
    """Nothing is lost.

    Remedy: none.
    """
    raise NotConcerned("no Ceph here")
'''
BROKEN_CLAIM = '''
@claim(6)
def test_it_is_written_rightly():
    """Nobody knows.

    Remedy: mend the claim.
    """
    assert {}["pools"] == []
'''


def test_an_open_gate_ends_with_0(trial):
    trial.claims(HOLDS + ELSEWHERE)
    run = trial.judge()
    assert (run.status, run.verdict["verdict"]) == (0, "open")
    assert run.outcome("TST-05") == "not concerned"
    assert run.judged("TST-05")["reason"] == "no Ceph here"


def test_a_violated_claim_closes_the_gate_with_1(trial):
    trial.claims(HOLDS + VIOLATED.format(severity="normal"))
    run = trial.judge()
    assert (run.status, run.verdict["verdict"]) == (1, "closed")
    assert run.judged("TST-02")["offenders"] == ["pool a: size 1", "pool b: size 1"]
    assert "remedy: raise the size." in run.text


def test_a_claim_less_severe_than_fail_at_only_warns(trial):
    trial.claims(HOLDS + VIOLATED.format(severity="minor"))
    assert trial.judge().status == 0
    run = trial.judge("--fail-at", "minor")
    assert run.status == 1


@pytest.mark.parametrize("body", [UNREAD, UNREAD_FACT, BROKEN_CLAIM])
def test_a_claim_that_could_not_look_leaves_the_gate_undetermined_with_10(trial, body):
    trial.claims(HOLDS + body)
    run = trial.judge()
    assert (run.status, run.verdict["verdict"]) == (10, "undetermined")
    assert run.verdict["counts"]["undetermined"] == 1


def test_a_violation_closes_the_gate_even_where_something_is_unread(trial):
    trial.claims(UNREAD + VIOLATED.format(severity="blocker"))
    assert trial.judge().status == 1


def test_a_usage_error_ends_with_4_before_anything_is_judged(trial):
    trial.claims(HOLDS)
    trial.write(
        "waivers.toml", "[[waiver]]\ninvariant = 'TST-99'\nobject='x'\nreason='r'\nowner='o'\nuntil=2099-01-01\n"
    )
    run = trial.judge()
    assert run.status == 4
    assert "TST-99: no invariant has this id" in run.errors
    assert "Traceback" not in run.text + run.errors


def test_nothing_selected_ends_with_5(trial):
    trial.claims(HOLDS)
    assert trial.judge("-m", "rabbitmq").status == 5


def test_an_ordinary_failing_test_closes_the_gate_too(trial):
    trial.claims(HOLDS + "\ndef test_of_the_operator():\n    assert 1 == 2\n")
    assert trial.judge().status == 1


def test_ctrl_c_keeps_what_was_judged_and_ends_with_2(trial):
    slow = (
        HOLDS.replace("claim(1)", "claim(7)")
        .replace("it_holds", "it_is_slow")
        .replace("assert [] == []", "open('waiting', 'w').close(); import time; time.sleep(60)")
    )
    trial.claims(HOLDS + slow)
    command = [sys.executable, "-m", "pytest", "-p", "seatrial", "--verdict", "verdict.json", "test_claims.py"]
    process = subprocess.Popen(command, cwd=trial.folder, stdout=subprocess.PIPE, text=True)
    while not (trial.folder / "waiting").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    verdict = json.loads((trial.folder / "verdict.json").read_text())
    assert process.returncode == 2
    assert {entry["id"]: entry["outcome"] for entry in verdict["invariants"]} == {
        "TST-01": "holds",
        "TST-07": "not judged",
    }
    assert "interrupted: 1 not judged" in said


def test_a_cause_stands_before_its_consequences(trial):
    caused = VIOLATED.format(severity="critical").replace("claim(2, ", "claim(1, explained_by='TST-02', severity=")
    trial.claims(caused.replace("no_pool_is_thin", "computes_are_up") + VIOLATED.format(severity="normal"))
    run = trial.judge("--tb=no")
    assert run.text.index("TST-02 normal: no pool") < run.text.index("TST-01 critical: computes")
    assert "explained by TST-02" in run.text
    assert "explains TST-01" in run.text


def test_the_verdict_file_keeps_to_its_schema(trial):
    schema = json.loads((Path(__file__).parents[1] / "docs" / "verdict.schema.json").read_text())
    trial.claims(HOLDS + VIOLATED.format(severity="normal") + UNREAD + ELSEWHERE)
    jsonschema.validate(trial.judge().verdict, schema)


def test_a_verdict_that_cannot_be_written_is_told_and_changes_nothing(trial):
    trial.claims(HOLDS)
    run = trial.judge("--verdict", "/proc/verdict.json")
    assert run.status == 0
    assert "--verdict /proc/verdict.json" in run.text


def test_junit_tells_failed_from_unread(trial):
    trial.claims(HOLDS + VIOLATED.format(severity="normal") + UNREAD)
    trial.judge("--junit-xml", "junit.xml")
    suite = ET.parse(trial.folder / "junit.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")


MANY = '''
@claim(5)
def test_no_node_is_odd():
    """Pods stay away.

    Remedy: look at it.
    """
    odd = [f"node n{number:04}: odd" for number in range(1000)]
    assert odd == []
'''


def test_a_thousand_offenders_are_shortened_where_the_verdict_names_them_all_and_nowhere_else(trial, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    trial.claims(MANY)
    run = trial.judge("--junit-xml", "junit.xml", "--tb=no", *WHOLE)
    assert "node n0019: odd" in run.text
    assert "node n0020: odd" not in run.text
    assert "… and 980 more: verdict.json names all 1000" in run.text
    assert len(run.judged("TST-05")["offenders"]) == 1000
    assert (trial.folder / "junit.xml").read_text().count(": odd") >= 1000
    monkeypatch.setenv("CI", "true")
    assert "node n0999: odd" in trial.judge("--tb=no").text


def test_a_claim_that_could_not_look_tells_its_reason_and_no_traceback(trial):
    trial.claims(UNREAD)
    run = trial.judge("--tb=long", "--junit-xml", "junit.xml")
    assert "could not be read: " in (trial.folder / "junit.xml").read_text()
    assert "test_claims.py:" not in run.text.partition("the gate is")[0].replace("test_claims.py::", "")


def test_allure_hears_of_ids_and_keeps_the_history_of_a_renamed_claim(trial):
    def results():
        for path in (trial.folder / "allure").glob("*-result.json"):
            result = json.loads(path.read_text())
            if "TST-02" in result["name"]:
                return result
        raise AssertionError

    trial.claims(VIOLATED.format(severity="critical") + UNREAD)
    trial.judge("--alluredir", "allure", "--clean-alluredir")
    first = results()
    trial.claims(VIOLATED.format(severity="critical").replace("no_pool_is_thin", "every_pool_is_thick"))
    trial.judge("--alluredir", "allure", "--clean-alluredir")
    second = results()
    assert first["historyId"] == second["historyId"]
    assert first["fullName"] != second["fullName"]
    assert {"name": "severity", "value": "critical"} in second["labels"]
    assert second["status"] == "failed"
    assert (trial.folder / "allure" / "categories.json").exists()


def test_a_summary_in_a_pipe_has_no_colours_and_one_for_github_is_markdown(trial, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(trial.folder / "summary.md"))
    trial.claims(VIOLATED.format(severity="normal"))
    run = trial.judge()
    assert "\x1b" not in run.text
    assert "| TST-02 no pool is thin | normal | violated |" in (trial.folder / "summary.md").read_text()


def test_workers_of_xdist_report_to_one_gate(trial):
    trial.claims(HOLDS + VIOLATED.format(severity="normal") + UNREAD)
    run = trial.judge("-n", "2")
    assert (run.status, run.verdict["counts"]["violated"], run.verdict["counts"]["undetermined"]) == (1, 1, 1)


def test_other_runs_are_left_alone(pytester):
    pytester.makepyfile("def test_of_somebody():\n    assert True\n")
    result = pytester.runpytest_subprocess("-p", "seatrial", "-p", "no:cacheprovider")
    assert result.ret == 0
    assert "the gate is" not in result.stdout.str()
    assert not (pytester.path / "evidence").exists()
