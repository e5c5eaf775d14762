"""`rados bench` by its script in a real shell, with a `rados` that keeps its objects as files: nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from types import SimpleNamespace

import msgspec
import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures.ceph_map import Fullness, Pool
from seatrial.fixtures.live import Live
from seatrial.fixtures.load.rados_bench import benched, pool_of, question
from seatrial.fixtures.measure_thresholds import RadosBench
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.target import connect

# What `rados bench` prints, as Ceph's documentation shows it; objects are files in a folder a pool and namespace.
RADOS = r"""#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        --client-mount-timeout) shift 2 ;;
        -p) pool=$2; shift 2 ;;
        -N) space=$2; shift 2 ;;
        *) break ;;
    esac
done
folder=$STORE/$pool/$space; mkdir -p "$folder"
report() {
    echo "Bandwidth (MB/sec):     $1"
    echo "Stddev Bandwidth:       4.1"
    echo "Max bandwidth (MB/sec): 999"
    echo "Average Latency(s):     $2"
    echo "Max latency(s):         9.9"
}
case $1-$3 in
    bench-write)
        for n in 1 2 3; do echo data > "$folder/benchmark_data_$n"; done
        [ -z "$HANGS" ] || exec sleep 60
        echo "hints = 1"; report "${WRITES:-100.5}" 0.64 ;;
    bench-rand)
        [ -z "$FAILS" ] || { echo "error during benchmark: (5) Input/output error"; exit 5; }
        report 200.25 0.32 ;;
    cleanup-*) exit 2 ;;
    ls-*) ls "$folder" ;;
    rm-*) [ -n "$KEEPS" ] || rm "$folder/$2" ;;
esac
"""
CEPH = r"""#!/bin/sh
echo look >> "$STORE/looks"
[ "$(grep -c . "$STORE/looks")" -ge "${FROM:-1}" ] || COMMITS=0 FIRST=0
echo '{"osdstats":{"osd_perf_infos":[{"id":0,"perf_stats":{"commit_latency_ms":'${FIRST:-3}',"apply_latency_ms":3}},
{"id":1,"perf_stats":{"commit_latency_ms":'${COMMITS:-4}',"apply_latency_ms":4}}]}}'
"""

# Between two looks nobody waits here.
SLEEP = """#!/bin/sh
[ "$1" = 1 ] || exec /bin/sleep "$1"
"""

WANTED = RadosBench(pool="", seconds=1.0, objects=3, write_mib_per_s=30.0, read_mib_per_s=60.0, commit_ms=100.0)
RBD = Pool("volumes", 1, 3, 2, 0, application_metadata={"rbd": {}})
OTHER = Pool(".mgr", 1, 3, 2, 0, application_metadata={"mgr": {}})
SOUND = SimpleNamespace(pools=(OTHER, RBD), fullness=(Fullness("osd.3", ()),), raw_room=1 << 40)


class Toolbox:
    """A toolbox pod whose commands run on this machine, with `rados` and `ceph` of a folder."""

    def __init__(self, folder):
        self.store = folder / "store"
        programs = folder / "bin"
        programs.mkdir()
        for name, text in (("rados", RADOS), ("ceph", CEPH), ("sleep", SLEEP)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.environment = {"PATH": f"{programs}:{os.environ['PATH']}", "STORE": str(self.store)}
        self.api = FakeKubernetes()
        self.api.pod("tools", namespace="rook-ceph", app="rook-ceph-tools")
        self.api.runs = self.run
        path = folder / "kubeconfig"
        path.write_text(KUBECONFIG % self.api.url)
        self.source = Live(Cloud(), connect(str(path), "")[0], "c")

    def run(self, _pod, argv):
        done = subprocess.run(argv, check=False, capture_output=True, env={**os.environ, **self.environment})
        return done.stdout, done.returncode

    @property
    def objects(self):
        return [str(path) for path in self.store.rglob("benchmark*")]

    def close(self):
        self.source.close()
        self.api.close()


@pytest.fixture
def toolbox(tmp_path):
    made = Toolbox(tmp_path)
    yield made
    made.close()


def test_a_fast_ceph_is_within_budget_and_nothing_is_left(toolbox):
    load = benched(toolbox.source, SOUND, WANTED, "R")
    assert load.over_budget == []
    assert load.figures() == {
        "write_mib_per_s": 100.5,
        "write_mean_ms": 640.0,
        "read_mib_per_s": 200.25,
        "read_mean_ms": 320.0,
        "commit_max_ms": 4.0,
    }
    assert toolbox.objects == []
    assert [path.name for path in (toolbox.store / "volumes").iterdir()] == ["seatrial-R"]


def test_slow_writes_and_an_osd_that_commits_late_are_told(toolbox):
    toolbox.environment |= {"WRITES": "12.5", "COMMITS": "250"}
    assert benched(toolbox.source, SOUND, WANTED, "R").over_budget == [
        "pool volumes: writes 12.5 MiB/s, 30 wanted (0.64 s an object)",
        "osd.1: commits after 250 ms, 100 wanted",
    ]


def test_an_osd_that_reports_its_commits_later_is_waited_for(toolbox):
    toolbox.environment |= {"COMMITS": "250", "FROM": "6"}
    assert benched(toolbox.source, SOUND, WANTED, "R").over_budget == ["osd.1: commits after 250 ms, 100 wanted"]


def test_commits_that_no_look_has_seen_are_not_within_budget(toolbox):
    toolbox.environment["FROM"] = "100"
    with pytest.raises(
        Unavailable, match=r"no OSD told how long its commits took in 7 looks .* took 640 ms, where 100"
    ):
        benched(toolbox.source, SOUND, WANTED, "R")
    assert toolbox.objects == []


def test_commits_shorter_than_a_millisecond_are_within_the_budget_that_whole_writes_are_within(toolbox):
    toolbox.environment["FROM"] = "100"
    load = benched(toolbox.source, SOUND, msgspec.structs.replace(WANTED, commit_ms=640.0), "R")
    assert (load.over_budget, load.figures()["commit_max_ms"]) == ([], 0.0)


def test_a_bench_that_breaks_off_has_cleaned_up_and_tells_nothing(toolbox):
    toolbox.environment["FAILS"] = "yes"
    with pytest.raises(Unavailable, match="Input/output error"):
        benched(toolbox.source, SOUND, WANTED, "R")
    assert toolbox.objects == []


def test_objects_that_cannot_be_taken_away_are_told(toolbox):
    toolbox.environment["KEEPS"] = "yes"
    with pytest.raises(Unavailable, match="3 objects of the trial are left in namespace seatrial-R"):
        benched(toolbox.source, SOUND, WANTED, "R")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_script_that_is_ended_cleans_up(toolbox, number):
    argv = question("volumes", WANTED, "seatrial-R").argv
    environment = {**os.environ, **toolbox.environment, "HANGS": "yes"}
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 20
    while len(toolbox.objects) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, number)
    process.wait(20)
    assert toolbox.objects == []


@pytest.mark.parametrize(
    ("state", "wanted", "raised", "why"),
    [
        ({"pools": (OTHER,)}, {}, NotConcerned, "no pool of application rbd"),
        ({}, {"pool": "gone"}, Unavailable, r"no pool gone, .*it has: .mgr, volumes"),
        ({"fullness": (Fullness("osd.3", ("nearfull",)),)}, {}, Unavailable, "this full: osd.3: nearfull"),
        ({"raw_room": 100 << 20}, {}, Unavailable, "100 MiB of raw space are free, 108 MiB are wanted"),
    ],
)
def test_where_there_is_no_room_nothing_is_written(state, wanted, raised, why):
    settings = {name: getattr(WANTED, name) for name in WANTED.__struct_fields__} | wanted
    with pytest.raises(raised, match=why):
        pool_of(SimpleNamespace(**{**vars(SOUND), **state}), RadosBench(**settings))


def test_a_pool_that_is_named_is_taken(toolbox):
    settings = {name: getattr(WANTED, name) for name in WANTED.__struct_fields__} | {"pool": ".mgr"}
    assert benched(toolbox.source, SOUND, RadosBench(**settings), "R").pool == ".mgr"
