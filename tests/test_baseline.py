"""`--baseline`: what offended before is known and told; what is new closes the gate."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

VIOLATED = '''
@claim(1)
def test_no_pool_is_thin():
    """Data is lost.

    Remedy: raise the size.
    """
    thin = {thin}
    assert thin == []
'''


@pytest.fixture
def before(trial):
    """The verdict of an earlier run, in which two pools were thin."""
    trial.claims(VIOLATED.format(thin=["pool a: size 1", "pool b: size 1"]))
    trial.judge("--verdict", "before.json")
    return "before.json"


def judge(trial, thin, *options):
    trial.claims(VIOLATED.format(thin=thin))
    return trial.judge(*options)


def test_what_offended_before_is_told_as_known_and_closes_nothing(trial, before):
    run = judge(trial, ["pool a: size 1"], "--baseline", before)
    assert (run.status, run.outcome("TST-01")) == (0, "known")
    (line,) = run.judged("TST-01")["known"]
    told = json.loads((trial.folder / before).read_text())["run"]
    assert line == f"pool a: size 1 [known: in {told}]"
    assert line in run.text
    assert run.verdict["counts"]["known"] == 1
    schema = json.loads((Path(__file__).parents[1] / "docs" / "verdict.schema.json").read_text())
    jsonschema.validate(run.verdict, schema)


def test_an_offender_that_is_new_closes_the_gate_and_the_others_are_told_with_it(trial, before):
    run = judge(trial, ["pool a: size 1", "pool c: size 1"], "--baseline", before)
    assert (run.status, run.outcome("TST-01")) == (1, "violated")
    assert run.judged("TST-01")["offenders"] == ["pool c: size 1"]
    assert run.judged("TST-01")["known"][0].startswith("pool a: size 1 [known: in ")
    assert "pool a: size 1 [known: in " in run.text


def test_the_same_object_with_another_figure_is_known_with_what_was_said_of_it(trial, before):
    run = judge(trial, ["pool a: size 0"], "--baseline", before)
    assert run.status == 0
    assert run.judged("TST-01")["known"][0].endswith(", as pool a: size 1]")


def test_what_was_known_stays_known_over_several_runs(trial, before):
    judge(trial, ["pool a: size 0"], "--baseline", before, "--verdict", "second.json")
    run = judge(trial, ["pool a: size 0"], "--baseline", "second.json")
    assert run.outcome("TST-01") == "known"


def test_what_was_only_waived_is_not_known(trial):
    trial.write(
        "waivers.toml",
        '[[waiver]]\ninvariant = "TST-01"\nobject = "*"\nreason = "r"\nowner = "o"\nuntil = 2099-12-31\n',
    )
    judge(trial, ["pool a: size 1"], "--verdict", "before.json")
    run = judge(trial, ["pool a: size 1"], "--baseline", "before.json", "--no-waivers")
    assert run.status == 1


def test_workers_of_xdist_know_it_too(trial, before):
    assert judge(trial, ["pool a: size 1"], "--baseline", before, "-n", "1").outcome("TST-01") == "known"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("half a", "before.json: torn"),
        ('{"schema": 2}', "before.json: of schema 2, not 1"),
        (None, "before.json: no such file"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_a_usage_error(trial, text, complaint):
    if text is not None:
        trial.write("before.json", text)
    run = judge(trial, [], "--baseline", "before.json")
    assert run.status == 4
    assert f"--baseline: {complaint}" in run.errors


def test_a_baseline_of_another_cloud_is_a_usage_error(trial, before):
    path = trial.folder / before
    path.write_text(path.read_text().replace('"cloud": ""', '"cloud": "another"'))
    run = judge(trial, [], "--baseline", before)
    assert run.status == 4
    assert "it is of the cloud 'another'" in run.errors


def test_a_run_of_the_history_is_named_by_its_id(trial):
    about = '{"cloud": "c", "profile": "p", "live": True}'
    trial.write("conftest.py", f"def pytest_seatrial_about(config):\n    return {about}\n")
    first = judge(trial, ["pool a: size 1"])
    assert judge(trial, ["pool a: size 1"], "--baseline", first.verdict["run"]).outcome("TST-01") == "known"
    run = judge(trial, [], "--baseline", "20261121T000000Z-abcd")
    assert "--baseline: 20261121T000000Z-abcd: neither a verdict file nor a run of the history" in run.errors
