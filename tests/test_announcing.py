"""What is said while a run goes on stands on a line of its own, whatever the run prints."""

from __future__ import annotations

import pytest

CLAIMS = """
@claim(1)
def test_nothing_is_said():
    \'\'\'It would cost something. Remedy: none.\'\'\'
    print("of the claim")

@claim(2)
def test_something_is_said(request):
    \'\'\'It would cost something. Remedy: none.\'\'\'
    print("of the claim")
    announce = request.config.hook.pytest_seatrial_announce
    announce(config=request.config, line="first", passing=True)
    announce(config=request.config, line="second", passing=False)
    print("of the claim")

@claim(3)
def test_nothing_is_said_any_more():
    \'\'\'It would cost something. Remedy: none.\'\'\'
    pass
"""


@pytest.mark.parametrize("options", [(), ("-q",), ("-v",)])
def test_each_line_is_one_of_its_own(trial, options):
    trial.claims(CLAIMS)
    lines = trial.judge(*options).text.splitlines()
    assert lines[lines.index("first") + 1] == "second"
    assert "of the claim" not in lines, "what claims print stays captured"


def test_a_worker_of_xdist_says_nothing(trial):
    trial.claims(CLAIMS)
    run = trial.judge("-n", "1")
    assert run.status == 0
    assert "first" not in run.text
