"""`--on-sick-cloud`: load waits for what reads, and does not start where a blocking claim is violated."""

from __future__ import annotations

import pytest

from conftest import CLAIMS

READS = '''
@claim(1, "{severity}")
def test_the_quorum_is_complete():
    """Nothing works.

    Remedy: start the mon.
    """
    {body}
'''
LOADS = '''
@claim(2)
def test_servers_start():
    """Nobody waits.

    Remedy: none.
    """
    open("loaded", "w").close()
'''
VIOLATED = 'away = ["mon.b: away"]; assert away == []'


def judge(trial, body, *options, severity="blocker", allow=True):
    """Judge a claim that reads and stands after one that loads."""
    for kind, text in (("acceptance", LOADS), ("conformance", READS.format(severity=severity, body=body))):
        folder = trial.folder / "suites" / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"test_{kind}_claims.py").write_text(CLAIMS.format(body=text))
    return trial.judge(*(["--allow", "load"] if allow else []), "--import-mode=importlib", *options)


def loaded(trial):
    return (trial.folder / "loaded").exists()


def test_load_starts_on_a_sound_cloud_and_after_what_reads(trial):
    run = judge(trial, "assert not __import__('pathlib').Path('loaded').exists()")
    assert (run.status, loaded(trial)) == (0, True), run.text


def test_load_does_not_start_where_a_blocking_claim_is_violated(trial):
    run = judge(trial, VIOLATED)
    assert (run.status, run.outcome("TST-02"), loaded(trial)) == (1, "undetermined", False)
    assert run.judged("TST-02")["reason"].startswith("not started: blocking claims are violated: TST-01 (")
    assert "TST-02: not started: blocking claims are violated: TST-01" in run.text


def test_load_starts_all_the_same_when_told_to(trial):
    run = judge(trial, VIOLATED, "--on-sick-cloud=go")
    assert (run.status, run.outcome("TST-02"), loaded(trial)) == (1, "holds", True)


@pytest.mark.parametrize(("body", "severity"), [(VIOLATED, "critical"), ('raise Unavailable("no answer")', "blocker")])
def test_what_is_critical_or_unread_does_not_block(trial, body, severity):
    judge(trial, body, severity=severity)
    assert loaded(trial)


def test_what_somebody_answers_for_does_not_block(trial):
    trial.write(
        "waivers.toml",
        '[[waiver]]\ninvariant = "TST-01"\nobject = "mon.b"\nreason = "r"\nowner = "o"\nuntil = 2099-12-31\n',
    )
    assert judge(trial, VIOLATED).status == 0
    assert loaded(trial)


def test_what_is_only_known_from_before_blocks(trial):
    judge(trial, VIOLATED, "--verdict", "before.json", allow=False)
    run = judge(trial, VIOLATED, "--baseline", "before.json")
    assert (run.status, run.outcome("TST-01"), run.outcome("TST-02")) == (10, "known", "undetermined")
    assert not loaded(trial)


def test_workers_of_xdist_refuse_what_they_cannot_know_in_time(trial):
    run = judge(trial, "pass", "-n", "2")
    assert (run.status, run.outcome("TST-02"), loaded(trial)) == (10, "undetermined", False)
    assert "with -n nobody knows in time whether blocking claims are violated (TST-01)" in run.text
    assert judge(trial, "pass", "-n", "2", "-m", "acceptance").status == 0
    assert loaded(trial)


def test_load_waits_until_the_cloud_has_settled(trial):
    about = '{"cloud": "c", "profile": "p", "live": True, "settle_poll_s": 0.01, "now": None}'
    trial.write(
        "conftest.py",
        "import pytest\npytest.looks = 0\n"
        f"def pytest_seatrial_about(config):\n    return {about}\n"
        "def pytest_seatrial_reread(config, items):\n    pytest.looks += 1\n",
    )
    body = 'away = ["mon.b: away"] if pytest.looks < 2 else []; assert away == []'
    run = judge(trial, body, "--settle", "1m")
    assert (run.status, run.outcome("TST-02"), loaded(trial)) == (0, "holds", True), run.text
