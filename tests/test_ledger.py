"""The ledger on real files, with real processes that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from seatrial.fixtures.ledger import Ledger, Opened, TornLedger, ledgers, left_by_its_run, read

RUN = "20261121T140000Z-abcd"
WRITER = f"""
import sys
from pathlib import Path
from seatrial.fixtures.ledger import Ledger, Opened
ledger = Ledger(Path(sys.argv[1]), Opened("{RUN}", "c", "p"))
for n in range(100000):
    ledger.intend("server", f"{{sys.argv[2]}}-{{n}}")
    print(n, flush=True)
    if n % 2:
        ledger.made("server", f"{{sys.argv[2]}}-{{n}}", f"id-{{n}}")
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "evidence" / RUN / "ledger.jsonl"


@pytest.fixture
def ledger(path):
    opened = Ledger(path, Opened(RUN, "lab", "project-1"))
    yield opened
    opened.close()


def writer(path, name):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stdout=subprocess.PIPE, text=True)


def test_what_is_intended_is_read_until_it_is_gone(ledger):
    ledger.intend("server", "a")
    ledger.intend("network", "b")
    ledger.made("server", "a", "id-a")
    assert [str(belonging) for belonging in ledger.contents().belongings.values()] == ["server a (id-a)", "network b"]
    ledger.gone("server", "a")
    ledger.gone("network", "b")
    assert ledger.contents().settled


def test_the_quotas_to_restore_are_those_before_the_first_raise(ledger):
    ledger.raised("compute", {"instances": 10}, {"instances": 50})
    ledger.raised("compute", {"instances": 50, "cores": 20}, {"instances": 51, "cores": 60})
    quota = ledger.contents().quotas["compute"]
    assert (quota.before, quota.after) == ({"instances": 10, "cores": 20}, {"instances": 51, "cores": 60})
    ledger.restored("compute")
    assert ledger.contents().settled


def test_a_killed_writer_leaves_all_that_it_was_told_is_on_the_disk(path):
    for wait in (0.01, 0.05, 0.2):
        process = writer(path, f"after-{wait}")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        told = 1 + len(process.stdout.read().splitlines())
        process.wait()
        with left_by_its_run(path) as ledger:
            names = [name for _, name in ledger.contents().belongings if name.startswith(f"after-{wait}")]
            assert told <= len(names) <= told + 1
            for name in names:
                ledger.gone("server", name)
    assert read(path).settled


def test_processes_of_one_run_do_not_mix_their_lines(path):
    writers = [writer(path, name) for name in ("gw0", "gw1", "gw2")]
    told = []
    for process in writers:
        assert process.stdout is not None
        told.append([process.stdout.readline() for _ in range(200)])
    for process in writers:
        process.kill()
        process.wait()
    names = {name for _, name in read(path).belongings}
    assert all(f"gw{number}-199" in names for number in range(3))


def test_half_a_line_at_the_end_is_a_crash_and_does_not_spoil_what_is_written_next(path):
    crashed = Ledger(path, Opened(RUN, "lab", "project-1"))
    crashed.intend("server", "a")
    crashed.close()
    with path.open("a") as torn:
        torn.write('{"what":"intended","kind":"ser')
    with left_by_its_run(path) as again:
        assert [name for _, name in again.contents().belongings] == ["a"]
        again.gone("server", "a")
        assert again.contents().settled


def test_a_ledger_whose_run_is_alive_is_left_alone(path):
    process = writer(path, "alive")
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(BlockingIOError), left_by_its_run(path):
        pass
    process.kill()
    process.wait()
    with left_by_its_run(path) as ledger:
        assert not ledger.contents().settled


def test_what_is_not_a_ledger_is_named(tmp_path):
    wrong = tmp_path / "ledger.jsonl"
    for text, said in (
        ("", "empty"),
        ('{"what":"gone","kind":"server","name":"a"}\n', "ledger.jsonl:1: not the first line"),
        ('{"what":"opened","run":"r","cloud":"c","project":"p","schema":99}\n', "schema 99 is newer"),
        ('{"what":"opened","run":"r","cloud":"c","project":"p"}\nnonsense\n{}\n', "ledger.jsonl:2: "),
    ):
        wrong.write_text(text)
        with pytest.raises(TornLedger, match=said):
            read(wrong)


@pytest.mark.usefixtures("ledger")
def test_ledgers_are_found_in_the_evidence(path):
    (path.parents[1] / "lab-20261121T140000Z").mkdir()
    assert ledgers(path.parents[1]) == [path]
