"""What Tempest 47 and Rally 4.1 really wrote (`reported/`, against OpenStack 2026.2) becomes part of the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seatrial import suites
from seatrial.fixtures.imported import read_junit, read_rally
from seatrial.fixtures.question import Unavailable

REPORTED = Path(__file__).parent / "reported"
SUITE = str(Path(suites.__file__).parent / "imported")


@pytest.fixture
def judge(pytester):
    def run(*options):
        verdict = pytester.path / "verdict.json"
        quiet = ["-p", "no:cacheprovider", "-c", "/dev/null", "--import-mode=importlib"]
        cloud = ["--bundle", "um-cloud-after", "--profile", "lab", "--verdict", str(verdict)]
        done = pytester.runpytest_subprocess("-p", "seatrial", *quiet, *cloud, *options, SUITE)
        entries = json.loads(verdict.read_text())["invariants"] if verdict.exists() else []
        return done, {entry["id"]: entry for entry in entries}

    return run


def test_reports_without_a_failure_hold(judge):
    done, judged = judge(
        "--import-junit", str(REPORTED / "tempest.xml"), "--import-rally", str(REPORTED / "rally.json")
    )
    assert {id_: entry["outcome"] for id_, entry in judged.items()} == {"EXT-01": "holds", "EXT-02": "holds"}
    assert done.ret == 0


def test_a_failed_test_closes_the_gate_and_is_named_as_a_waiver_would_name_it(judge):
    done, judged = judge("--import-junit", str(REPORTED / "tempest-failed.xml"))
    setup, create = judged["EXT-01"]["offenders"]
    assert setup.startswith("tempest.api.compute.servers.test_create_server.ServersTestJSON.setUpClass: ")
    assert create.startswith(
        "tempest.api.network.test_routers.RoutersTest.test_create_show_list_update_delete_router: "
    )
    assert "is not an external network" in create
    assert done.ret == 1


def test_a_failed_test_may_be_waived_by_its_name(judge, pytester):
    (pytester.path / "waivers.toml").write_text(
        '[[waiver]]\ninvariant = "EXT-01"\nobject = "tempest.api.*"\nreason = "no external network"\n'
        'owner = "net"\nuntil = 2099-01-01\n'
    )
    done, judged = judge("--import-junit", str(REPORTED / "tempest-failed.xml"))
    assert (judged["EXT-01"]["outcome"], done.ret) == ("waived", 0)


def test_a_load_that_missed_its_criterion_says_which(judge):
    done, judged = judge("--import-rally", str(REPORTED / "rally-failed.json"))
    (missed,) = judged["EXT-02"]["offenders"]
    assert missed.startswith("NovaServers.boot_and_delete_server#0: max_seconds_per_iteration: ")
    assert "7.79s <= 2.00s - Failed" in missed
    assert done.ret == 1


def test_the_operator_says_how_severe_a_failure_is(judge):
    done, judged = judge("--import-junit", str(REPORTED / "tempest-failed.xml"), "--import-severity", "minor")
    assert (judged["EXT-01"]["severity"], judged["EXT-01"]["outcome"], done.ret) == ("minor", "violated", 0)


def test_only_what_was_given_is_judged(judge):
    _, judged = judge("--import-rally", str(REPORTED / "rally.json"))
    assert set(judged) == {"EXT-02"}


def test_a_report_that_is_not_there_is_a_usage_error(judge):
    done, judged = judge("--import-junit", "nowhere.xml")
    assert (done.ret, judged) == (4, {})
    done.stderr.fnmatch_lines(["*nowhere.xml: there is no such report to import"])


@pytest.mark.parametrize("length", [0, 100, 2000])
def test_a_torn_report_is_undetermined(judge, tmp_path, length):
    torn = tmp_path / "torn.xml"
    torn.write_bytes((REPORTED / "tempest.xml").read_bytes()[:length])
    done, judged = judge("--import-junit", str(torn))
    assert (judged["EXT-01"]["outcome"], done.ret) == ("undetermined", 10)
    assert judged["EXT-01"]["reason"].startswith(f"{torn}: torn")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<testsuite/>", "none of its 0 tests ran"),
        ("<testsuite><testcase name='a'><skipped/></testcase></testsuite>", "none of its 1 tests ran"),
        ("<html/>", "not a JUnit report: its root is <html>"),
    ],
)
def test_a_report_in_which_nothing_ran_does_not_pass(tmp_path, text, reason):
    path = tmp_path / "empty.xml"
    path.write_text(text)
    with pytest.raises(Unavailable, match=reason):
        read_junit(path)


def test_a_rally_report_in_which_nothing_ran_does_not_pass(tmp_path):
    path = tmp_path / "rally.json"
    path.write_text('{"info": {}, "tasks": []}')
    with pytest.raises(Unavailable, match="no iteration ran"):
        read_rally(path)


def test_a_rally_task_that_was_aborted_fails(tmp_path):
    report = json.loads((REPORTED / "rally.json").read_text())
    report["tasks"][0]["status"] = "aborted"
    path = tmp_path / "rally.json"
    path.write_text(json.dumps(report))
    assert [str(failure) for failure in read_rally(path).failures] == [
        f"task {report['tasks'][0]['uuid']}: aborted, not finished"
    ]
