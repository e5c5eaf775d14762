"""What runs judged and measured is kept: by many at once, through crashes, and told where it cannot be read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import pytest

from seatrial.plugins import run_records
from seatrial.plugins.run_records import Judged, NotARun, Run

CLOUD = '''
import pytest

class Cloud:
    """A cloud that plugins hear of."""

    def pytest_seatrial_about(self, config):
        return {"cloud": "a/cloud", "profile": "baseline", "live": True, "settle_poll_s": 0.01, "now": None}

    def pytest_seatrial_extent(self, config, asking):
        return {"nodes": 3, "release": {"openstack": "2026.2"}}

def pytest_configure(config):
    config.pluginmanager.register(Cloud(), "cloud-of-the-test")
'''
CLAIMS = '''
@claim(1)
def test_no_pool_is_thin():
    """Data is lost.

    Remedy: raise the size.
    """
    thin = ["pool a: size 1"]
    assert thin == []

@claim(2)
def test_servers_start_in_time(record_property):
    """Nobody waits.

    Remedy: none.
    """
    record_property("measured", {"p95_s": 41.5, "servers": 40, "odd_s": float("nan")})
'''


def run_of(number, **more):
    about = {"cloud": "c", "profile": "p", "started": f"2026-11-{number:02}T00:00:00+00:00", "verdict": "open"}
    judged = [Judged("TST-01", "it holds", "normal", "holds")]
    return Run(**{"schema": 1, "run": f"run-{number}", "exit": 0, "invariants": judged, **about, **more})


@pytest.fixture
def cloud(trial):
    trial.write("conftest.py", CLOUD)
    trial.claims(CLAIMS)
    return trial


def kept(trial, folder="history"):
    path = trial.folder / folder / "a-cloud" / "runs.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_each_live_run_is_a_line_with_all_that_later_runs_compare(cloud):
    first, second = cloud.judge(), cloud.judge()
    lines = kept(cloud)
    assert [line["run"] for line in lines] == [first.verdict["run"], second.verdict["run"]]
    judged = {entry.pop("id"): entry for entry in lines[0]["invariants"]}
    assert (lines[0]["cloud"], lines[0]["profile"], lines[0]["nodes"]) == ("a/cloud", "baseline", 3)
    assert lines[0]["release"] == {"openstack": "2026.2"}
    assert (judged["TST-01"]["outcome"], judged["TST-01"]["offenders"]) == ("violated", ["pool a: size 1"])
    assert judged["TST-02"]["measured"] == {"p95_s": 41.5, "servers": 40}
    assert f"history: {run_records.Path('history/a-cloud/runs.jsonl')}" in second.text


def test_the_folder_is_chosen_and_can_be_none(cloud):
    assert "history:" not in cloud.judge("--no-history").text
    cloud.judge("--history", "elsewhere")
    assert (len(kept(cloud)), len(kept(cloud, "elsewhere"))) == (0, 1)
    cloud.judge("--collect-only")
    assert len(kept(cloud)) == 0


def test_a_recorded_cloud_has_no_history_unless_asked(cloud):
    cloud.write("conftest.py", CLOUD.replace('"live": True', '"live": False'))
    cloud.judge()
    assert kept(cloud) == []
    cloud.judge("--history", "history")
    assert len(kept(cloud)) == 1


def test_workers_of_xdist_make_one_record(cloud):
    cloud.judge("-n", "2")
    (line,) = kept(cloud)
    assert (line["workers"], line["nodes"], len(line["invariants"])) == (2, 3, 2)


def test_an_interrupted_run_is_kept_as_one(cloud):
    cloud.claims(CLAIMS + "    open('waiting', 'w').close(); import time; time.sleep(60)\n")
    command = [sys.executable, "-m", "pytest", "-p", "seatrial", "-p", "no:cacheprovider", "test_claims.py"]
    process = subprocess.Popen(command, cwd=cloud.folder, stdout=subprocess.DEVNULL)
    while not (cloud.folder / "waiting").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 2
    (run,) = run_records.read(cloud.folder / "history" / "a-cloud" / "runs.jsonl").runs
    assert (run.exit, run.whole, run.judged("TST-01").outcome) == (2, False, "violated")


def test_a_history_that_cannot_be_written_is_told_and_changes_nothing(cloud):
    cloud.claims(CLAIMS.partition("@claim(2)")[2].replace("", "@claim(2)", 1))
    run = cloud.judge("--history", "/proc/nowhere")
    assert run.status == 0
    assert "/proc/nowhere/a-cloud/runs.jsonl: No such file or directory: the run is not in the history" in run.text


def test_many_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "c" / "runs.jsonl"
    wide = {f"figure_{number}_s": 1.0 for number in range(2000)}

    def write(writer):
        for number in range(5):
            judged = [Judged("TST-01", "it holds", "normal", "holds", measured=wide)]
            run_records.append(path, run_of(1, run=f"run-{writer}-{number}", invariants=judged))

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    history = run_records.read(path)
    assert (len(history.runs), history.unread) == (40, [])


def test_processes_write_side_by_side(tmp_path):
    path = tmp_path / "runs.jsonl"
    program = (
        "import sys, pathlib, msgspec\nfrom seatrial.plugins import run_records as r\n"
        "line = msgspec.json.decode(sys.argv[2], type=r.Run)\n"
        "for n in range(20):\n"
        "    r.append(pathlib.Path(sys.argv[1]), msgspec.structs.replace(line, run=f'{sys.argv[3]}-{n}'))"
    )
    text = run_records.msgspec.json.encode(run_of(1)).decode()
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), text, name]) for name in "abc"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    history = run_records.read(path)
    assert (len(history.runs), history.unread) == (60, [])


def test_what_a_crash_cut_off_is_counted_and_named_and_spoils_no_other_line(tmp_path):
    path = tmp_path / "runs.jsonl"
    run_records.append(path, run_of(1))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    run_records.append(path, run_of(2))
    with path.open("ab") as file:
        file.write(b'{"schema": 2, "run": "x"}\n{"schema": 1}\n\xff\xfe\n')
    history = run_records.read(path)
    assert [run.run for run in history.runs] == ["run-1", "run-2"]
    assert [line.partition(": ")[0] for line in history.unread] == [f"{path}:{number}" for number in (2, 4, 5, 6)]
    assert "torn" in history.unread[0]
    assert "of schema 2, not 1: upgrade seatrial" in history.unread[1]
    assert "not the verdict of a run" in history.unread[2]


def test_a_disk_that_is_full_leaves_the_history_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"
    run_records.append(path, run_of(1))
    before, write = path.read_bytes(), run_records.os.write
    monkeypatch.setattr(run_records.os, "write", lambda file, line: write(file, line[:10]))
    with pytest.raises(OSError, match="only 10 of"):
        run_records.append(path, run_of(2))
    assert path.read_bytes() == before


def test_a_file_that_stays_locked_is_given_up(tmp_path, monkeypatch):
    path = tmp_path / "runs.jsonl"
    run_records.append(path, run_of(1))
    monkeypatch.setattr(run_records, "PATIENCE", 0.1)
    with path.open() as held:
        run_records.fcntl.flock(held, run_records.fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another run has held it"):
            run_records.append(path, run_of(2))


def test_histories_that_were_joined_have_each_run_once(tmp_path):
    path = tmp_path / "runs.jsonl"
    for run in (run_of(2), run_of(1), run_of(2, verdict="closed"), run_of(3, cloud="another")):
        run_records.append(path, run)
    assert [(run.run, run.verdict) for run in run_records.read(path, "c").runs] == [
        ("run-1", "open"),
        ("run-2", "closed"),
    ]


def test_a_run_is_found_by_its_id_in_whichever_clouds_history(tmp_path):
    run_records.append(tmp_path / "c" / "runs.jsonl", run_of(1))
    assert run_records.found("run-1", tmp_path).cloud == "c"
    with pytest.raises(NotARun, match="run-2: neither a verdict file nor a run of the history in"):
        run_records.found("run-2", tmp_path)
