"""Waivers: scoped to objects, dated, and never a blanket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

VIOLATED = '''
@claim(1)
def test_no_pool_is_thin():
    """Data is lost.

    Remedy: raise the size.
    """
    thin = ["pool a: size 1", "pool b: size 1"]
    assert thin == []
'''
HOLDS = VIOLATED.replace('["pool a: size 1", "pool b: size 1"]', "[]")
UNREAD = VIOLATED.replace("assert thin == []", 'raise Unavailable("no answer")')


def waiver(object_="pool *", until="2099-12-31", invariant="TST-01"):
    return (
        f'[[waiver]]\ninvariant = "{invariant}"\nobject = "{object_}"\nreason = "being replaced"\n'
        f'owner = "OPS-7"\nuntil = {until}\n'
    )


def test_a_waiver_covers_the_objects_it_names_and_opens_the_gate(trial):
    trial.claims(VIOLATED)
    trial.write("waivers.toml", waiver())
    run = trial.judge()
    assert (run.status, run.outcome("TST-01")) == (0, "waived")
    assert "being replaced (OPS-7), until 2099-12-31" in run.text


def test_a_waiver_covers_no_other_object(trial):
    trial.claims(VIOLATED)
    trial.write("waivers.toml", waiver("pool a"))
    run = trial.judge()
    assert run.status == 1
    assert run.judged("TST-01")["offenders"] == ["pool b: size 1"]
    assert len(run.judged("TST-01")["waived"]) == 1


def test_an_expired_waiver_covers_nothing_and_is_told(trial):
    trial.claims(VIOLATED)
    trial.write("waivers.toml", waiver(until="2020-01-31"))
    run = trial.judge()
    assert run.status == 1
    assert "waiver expired on 2020-01-31" in run.text


def test_a_waiver_near_its_last_day_is_announced(trial):
    trial.claims(VIOLATED)
    trial.write("waivers.toml", waiver(until=(datetime.now(UTC) + timedelta(days=3)).date().isoformat()))
    run = trial.judge()
    assert run.status == 0
    assert "waiver ends soon" in run.text


def test_a_waiver_never_hides_what_could_not_be_read(trial):
    trial.claims(UNREAD)
    trial.write("waivers.toml", waiver())
    assert trial.judge().status == 10


def test_a_stale_waiver_warns_and_closes_the_gate_under_strict_waivers(trial):
    trial.claims(HOLDS)
    trial.write("waivers.toml", waiver())
    run = trial.judge()
    assert (run.status, run.outcome("TST-01")) == (0, "stale waiver")
    assert trial.judge("--strict-waivers").status == 1


def test_no_waivers_audits(trial):
    trial.claims(VIOLATED)
    trial.write("waivers.toml", waiver())
    assert trial.judge("--no-waivers").status == 1


def test_a_waiver_for_a_deselected_invariant_is_no_mistake(trial):
    trial.claims(VIOLATED + VIOLATED.replace("claim(1)", "claim(2)").replace("no_pool", "no_bucket"))
    trial.write("waivers.toml", waiver())
    assert trial.judge("-k", "bucket").status == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (waiver(invariant="TST-77"), "TST-77: no invariant has this id"),
        (waiver(until='"31.12.2026"'), "waiver 1: until: expected a date without quotes"),
        (waiver().replace("reason", "because"), "waiver 1: because: unknown key"),
        (waiver().replace('owner = "OPS-7"\n', ""), "waiver 1: owner: missing"),
        ("[[waiver]\n", "not TOML"),
        ("[waivers]\n", "waivers: unknown key"),
    ],
)
def test_a_wrong_waiver_is_a_usage_error(trial, text, complaint):
    trial.claims(VIOLATED)
    trial.write("waivers.toml", text)
    run = trial.judge()
    assert run.status == 4
    assert complaint in run.errors
    assert "Traceback" not in run.errors
