"""The end of a run: what its ledgers still tell of is taken away, or told, whatever goes wrong."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from seatrial.fixtures import run_ledgers
from seatrial.fixtures.ledger import VHOSTS, begun
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.run_ledgers import cleaned_up, ledger_path

RUN = "20261121T140000Z-abcd"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(run_ledgers, "Target", lambda config: config)
    hook = SimpleNamespace(pytest_seatrial_run=lambda **_: RUN)
    return SimpleNamespace(hook=hook, getoption=lambda _: str(tmp_path))


@pytest.fixture
def ledger(config):
    made = begun(ledger_path(config, VHOSTS), "test", "the-broker")
    yield made
    made.close()


def never(*_):
    raise AssertionError("contacted for nothing")


def test_without_a_ledger_or_with_a_settled_one_nothing_is_contacted(config, tmp_path):
    assert cleaned_up(config, VHOSTS, never) == []
    assert list(tmp_path.iterdir()) == []
    ledger = begun(ledger_path(config, VHOSTS), "test", "the-broker")
    ledger.intend("vhost", "a")
    ledger.gone("vhost", "a")
    ledger.close()
    assert cleaned_up(config, VHOSTS, never) == []


def test_a_ledger_that_cannot_be_read_is_told(config):
    path = ledger_path(config, VHOSTS)
    path.parent.mkdir()
    path.write_text("no ledger\n")
    (line,) = cleaned_up(config, VHOSTS, never)
    assert line.startswith(f"ledger: {path}")


@pytest.mark.parametrize("why", [Unavailable, NotConcerned])
def test_where_nobody_can_be_asked_all_that_is_left_is_told(config, ledger, why):
    ledger.intend("vhost", "a")
    ledger.intend("vhost", "b")

    def clear(_chosen, ledger, _contents):
        ledger.gone("vhost", "a")
        raise why("the broker is away")

    assert cleaned_up(config, VHOSTS, clear) == ["vhost b: the broker is away"]


def test_quotas_that_stay_raised_are_told(config, ledger):
    ledger.raised("compute", {"cores": 1}, {"cores": 2})

    def clear(*_):
        raise Unavailable("nobody can log in")

    assert cleaned_up(config, VHOSTS, clear) == ["quotas: nobody can log in"]


def test_what_was_judged_is_not_lost_to_an_answer_that_nobody_expected(config, ledger):
    ledger.intend("vhost", "a")

    def clear(*_):
        raise KeyError("metadata")

    (line,) = cleaned_up(config, VHOSTS, clear)
    assert line == "cleaning up broke off (KeyError: 'metadata'); `seatrial cleanup` of this run goes on"


def test_nothing_is_made_without_a_ledger(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"vhosts\.jsonl: .*: nothing is made without a ledger$"):
        begun(tmp_path / "file" / VHOSTS, "test", "the-broker")


def test_what_is_not_on_the_disk_is_not_intended(ledger, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seatrial.fixtures.synced_lines.append", full)
    with pytest.raises(Unavailable, match="No space left on device: nothing is made without a ledger"):
        ledger.intend("vhost", "a")
