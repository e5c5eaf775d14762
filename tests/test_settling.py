"""`--settle`: what converges is waited for, what is stuck is called so."""

from __future__ import annotations

LIVE = '''
import pytest

class Cloud:
    """A cloud that plugins hear of and that changes at each look."""

    looks = 0

    def pytest_seatrial_about(self, config):
        return {"cloud": "changing", "profile": "baseline", "live": True, "settle_poll_s": 0.01, "now": None}

    def pytest_seatrial_reread(self, config, items):
        Cloud.looks += 1

def pytest_configure(config):
    config.pluginmanager.register(Cloud(), "changing-cloud")
    pytest.cloud = Cloud
'''
CLAIM = '''
@claim(1)
def test_every_object_is_in_its_place():
    """Data is thin while objects are misplaced.

    Remedy: wait.
    """
    misplaced = {misplaced}
    assert misplaced == []

@claim(2)
def test_it_holds():
    """Nothing.

    Remedy: none.
    """
'''


def judge(trial, misplaced, *options):
    trial.write("conftest.py", LIVE)
    trial.claims(CLAIM.format(misplaced=misplaced))
    return trial.judge(*options)


def test_what_converges_in_time_opens_the_gate(trial):
    run = judge(
        trial, '[f"pg 1.0: {3 - pytest.cloud.looks} objects"] if pytest.cloud.looks < 3 else []', "--settle", "1m"
    )
    assert (run.status, run.outcome("TST-01")) == (0, "holds")
    assert run.judged("TST-01")["settling"].startswith("settled after")
    assert run.judged("TST-02")["settling"] == ""


def test_each_look_is_told_on_a_line_of_its_own(trial):
    run = judge(trial, '["x: y"] if pytest.cloud.looks < 2 else []', "--settle", "1m", "--quiet", "--no-header")
    told = [line for line in run.text.splitlines() if "settling: TST-01" in line]
    assert len(told) == 2
    assert all(line.startswith("settling: ") for line in told)


def test_what_still_changes_when_the_time_is_up_is_converging(trial):
    run = judge(trial, '[f"pg 1.0: {9999 - pytest.cloud.looks} objects"]', "--settle", "1s")
    assert run.status == 1
    assert run.judged("TST-01")["settling"].startswith("converging")


def test_what_does_not_change_is_stuck(trial):
    run = judge(trial, '["pg 1.0: 12 objects"]', "--settle", "1s")
    assert run.status == 1
    assert run.judged("TST-01")["settling"].startswith("stuck: unchanged")


def test_without_settle_nothing_is_waited_for(trial):
    run = judge(trial, '["pg 1.0: 12 objects"]')
    assert (run.status, run.judged("TST-01")["settling"]) == (1, "")


def test_a_wrong_length_of_time_is_a_usage_error(trial):
    run = judge(trial, "[]", "--settle", "soon")
    assert run.status == 4
    assert "--settle soon: expected a length of time" in run.errors
