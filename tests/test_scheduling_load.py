"""LOAD-09 and LOAD-17 on an API server of this machine whose scheduler is played: slow, stuck, wrong, and well."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures.kubernetes_api import KubernetesApi
from seatrial.fixtures.load.pod_ground import ground_of
from seatrial.fixtures.load.pod_scheduling import APART, FREE, Scheduled
from seatrial.fixtures.measure_thresholds import PodScheduling
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.settings import SchedulingGround
from seatrial.fixtures.target import connect

NODES = [f"n{number:02}" for number in range(12)]
SPACE = "trial"
GENEROUS = {"ms_a_pod": 60_000.0, "p50_s": 60.0, "p95_s": 60.0, "p99_s": 60.0, "clean_up_s": 20.0}
RUN = "20261127T210000Z-0a1b"


class Scheduler:
    """Gives pods nodes, one after the other: a node of its own each, unless `choose` says otherwise."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.takes_s = 0.0
        self.choose = lambda _pod, free: free[0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self):
        while not self._ended.wait(0.005):
            with self.cloud.lock:
                pods = [item for path, item in self.cloud.objects.items() if "/pods/" in path]
            waiting = [pod for pod in pods if not pod["spec"].get("nodeName") and not pod.get("status")]
            for pod in waiting[:1]:
                labels = pod["metadata"]["labels"]
                taken = {other["spec"].get("nodeName") for other in pods if other["metadata"]["labels"] == labels}
                node = self.choose(pod, [node for node in NODES if node not in taken])
                time.sleep(self.takes_s)
                why = {"type": "PodScheduled", "status": "False", "message": "0/12 nodes are available"}
                found = {"spec": {**pod["spec"], "nodeName": node}} if node else {"status": {"conditions": [why]}}
                with self.cloud.lock:
                    if FakeKubernetes.path("pods", pod["metadata"]) in self.cloud.objects:
                        self.cloud.put("pods", {**pod, **found})

    def close(self):
        self._ended.set()
        self._thread.join()


@pytest.fixture
def cloud():
    kubernetes = FakeKubernetes()
    for name in NODES:
        node = kubernetes.node(name, type="kwok", **{"kubernetes.io/hostname": name})
        node["spec"]["taints"] = [
            {"key": "kwok.x-k8s.io/node", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
        ]
    kubernetes.node("storage", **{"kubernetes.io/hostname": "storage"})
    kubernetes.node("cordoned", cordoned=True, type="kwok", **{"kubernetes.io/hostname": "cordoned"})
    kubernetes.put("namespaces", {"metadata": {"name": "kube-system"}})
    yield kubernetes
    kubernetes.close()


@pytest.fixture
def scheduler(cloud):
    played = Scheduler(cloud)
    yield played
    played.close()


@pytest.fixture
def calls(cloud, tmp_path):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG % cloud.url)
    return KubernetesApi(connect(str(tmp_path / "kubeconfig"), "")[0])


def tried(calls, sorts=(FREE, APART), at_once=4, **wanted):
    limits = PodScheduling(**{"pods": 10, "at_once": at_once, "patience_s": 10.0, **GENEROUS, **wanted})
    ground = ground_of(calls, SchedulingGround(nodes="type=kwok"))
    return Scheduled(calls, SPACE, ground, limits).run(sorts, at_once)


@pytest.mark.usefixtures("scheduler")
def test_pods_are_measured_and_put_on_no_other_nodes_than_those_that_are_named(cloud, calls):
    trial = tried(calls)
    assert trial.over_budget == []
    assert trial.together == ()
    figures = trial.figures()
    assert figures["pods"] == 20
    assert figures["answered_429"] == 0
    for sort in (FREE, APART):
        assert figures[f"{sort}_per_pod_ms"] > 0
        assert figures[f"{sort}_pods_per_s"] == pytest.approx(1000 / figures[f"{sort}_per_pod_ms"], rel=0.1)
        assert figures[f"{sort}_p50_ms"] <= figures[f"{sort}_p95_ms"] <= figures[f"{sort}_p99_ms"]
    pods = [item["spec"] for path, item in cloud.objects.items() if "/pods/" in path]
    assert all(pod["nodeSelector"] == {"type": "kwok"} for pod in pods)
    assert all(pod["tolerations"] == [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}] for pod in pods)
    assert sum("affinity" in pod for pod in pods) == 10


def test_a_slow_scheduler_is_over_budget_by_as_much_as_it_is_slow(scheduler, calls):
    scheduler.takes_s = 0.05
    trial = tried(calls, sorts=(FREE,), ms_a_pod=20.0, p99_s=0.06)
    assert trial.sorts[0].per_pod_ms >= 50
    assert trial.over_budget[0].startswith("free pods: ")
    assert "ms a pod, 20 wanted" in trial.over_budget[0]
    assert "p99 took" in trial.over_budget[1], "four wait for one another"


def test_a_scheduler_that_stands_still_leaves_no_more_than_so_many_pods_waiting(scheduler, cloud, calls):
    scheduler.choose = lambda _pod, _free: ""
    trial = tried(calls, sorts=(FREE,), at_once=3, patience_s=0.5)
    assert sum("/pods/" in path for path in cloud.objects) == 3
    assert trial.over_budget == ["free pods: 3 of 3 refused: no node within 0.5 s: 0/12 nodes are available"]


def test_pods_of_the_first_sort_make_no_room_for_more_of_the_second(scheduler, cloud, calls):
    scheduler.choose = lambda pod, free: free[0] if pod["metadata"]["name"].startswith(FREE) else ""
    trial = tried(calls, at_once=3, patience_s=0.5)
    assert [len(sort.waits.answered) for sort in trial.sorts] == [10, 0]
    assert sum("/pods/apart" in path for path in cloud.objects) == 3


def test_pods_that_share_a_node_against_their_anti_affinity_are_told(scheduler, calls):
    scheduler.choose = lambda pod, free: (
        "n00" if pod["metadata"]["name"] in {"apart-00002", "apart-00005"} else free[-1]
    )
    trial = tried(calls, sorts=(APART,))
    (one,) = trial.together
    shared = f"shares kubernetes.io/hostname=n00 with {SPACE}/apart-00002 against a required anti-affinity"
    assert str(one) == f"pod {SPACE}/apart-00005: {shared}"


@pytest.mark.parametrize(("bound", "why"), [(0, "got a node: nothing could come"), (3, "not all pods got a node")])
def test_pods_that_got_no_node_are_not_taken_for_kept_apart(scheduler, calls, bound, why):
    scheduler.choose = lambda pod, free: free[0] if int(pod["metadata"]["name"][-5:]) < bound else ""
    trial = tried(calls, sorts=(APART,), patience_s=0.5)
    with pytest.raises(Unavailable, match=why):
        _ = trial.together


@pytest.mark.usefixtures("scheduler")
def test_429s_are_obeyed_and_counted(cloud, calls):
    turns = iter(range(1000))
    cloud.busy = lambda verb, path: verb == "POST" and path.endswith("/pods") and next(turns) % 3 == 1
    trial = tried(calls, ms_a_pod=0.0)
    assert trial.together == ()
    assert trial.figures()["own_429"] == trial.figures()["answered_429"] >= 5
    assert trial.figures()["pods"] == 20
    assert "requests were answered 429 meanwhile" in trial.over_budget[0]


@pytest.mark.usefixtures("scheduler")
def test_a_watch_that_breaks_off_loses_no_pod(calls, monkeypatch):
    whole = calls.events
    broken = iter([True, True, False, True])

    def events(*asked):
        for number, line in enumerate(whole(*asked)):
            if number > 2 and next(broken, False):
                raise Unavailable("broken off")
            yield line

    monkeypatch.setattr(calls, "events", events)
    trial = tried(calls)
    assert [len(sort.waits.answered) for sort in trial.sorts] == [10, 10]


def test_without_nodes_that_are_named_for_it_nothing_is_made(cloud, calls):
    with pytest.raises(NotConcerned, match=r"set nodes = 'LABEL=VALUE' in \[clouds.NAME.scheduling\]"):
        ground_of(calls, SchedulingGround())
    with pytest.raises(Unavailable, match="of 14 nodes 0 are labelled type=gpu, none of them is ready"):
        ground_of(calls, SchedulingGround(nodes="type=gpu"))
    with pytest.raises(Unavailable, match="not of the form LABEL=VALUE"):
        ground_of(calls, SchedulingGround(nodes="kwok"))
    assert cloud.written() == []


def test_what_may_not_be_done_is_told_before_anything_is_loaded(cloud, calls):
    cloud.failing["GET /metrics"] = 403, {"message": 'User "u" cannot get path "/metrics"'}
    with pytest.raises(Unavailable, match=r'^/metrics .* tell of 429s: User "u" cannot get path'):
        tried(calls)
    assert [path for path in cloud.objects if "/pods/" in path] == []


# Through the gate, and what a run leaves.

SETTINGS = """
default = "x"
[clouds.x]
kubeconfig = "kubeconfig"
profile = "quick.toml"
[clouds.x.scheduling]
nodes = "type=kwok"
"""
PROFILE = """
extends = "baseline"
about = "quick"
[pod_scheduling]
pods = 8
at_once = 4
ms_a_pod = {ms_a_pod}
p50_s = 60.0
p95_s = 60.0
p99_s = 60.0
clean_up_s = 20.0
"""
COMMAND = [sys.executable, "-m", "seatrial.command"]


def environment(tmp_path, cloud, ms_a_pod=60_000.0):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG % cloud.url)
    (tmp_path / "seatrial.toml").write_text(SETTINGS)
    (tmp_path / "quick.toml").write_text(PROFILE.format(ms_a_pod=ms_a_pod))


def gate(*more):
    chosen = "invariant(id='LOAD-09') or invariant(id='LOAD-17')"
    return [
        *COMMAND,
        "gate",
        "--allow",
        "load",
        "-p",
        "no:cacheprovider",
        "--verdict",
        "verdict.json",
        "-m",
        chosen,
        *more,
    ]


def namespaces(cloud):
    return [path.rpartition("/")[2] for path in cloud.objects if path.startswith("/api/v1/namespaces/")
            and path.count("/") == 4]  # fmt: skip


def judged(tmp_path):
    done = subprocess.run(gate(), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (tmp_path / "verdict.json").exists(), done.stdout + done.stderr
    entries = json.loads((tmp_path / "verdict.json").read_text())["invariants"]
    return done, {entry["id"]: entry for entry in entries}


@pytest.mark.usefixtures("scheduler")
def test_the_gate_measures_in_namespaces_of_its_own_and_takes_them_away(cloud, tmp_path):
    environment(tmp_path, cloud)
    done, entries = judged(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert entries["LOAD-09"]["measured"]["pods"] == 16
    assert entries["LOAD-17"]["measured"]["pods"] == 8
    assert namespaces(cloud) == ["kube-system"]
    (ledger,) = tmp_path.glob("evidence/*/namespaces.jsonl")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["opened", *2 * ["intended", "made", "gone"]]
    assert lines[1]["name"] == f"seatrial-{ledger.parent.name.lower()}-scheduling"


def test_a_budget_that_is_not_kept_closes_the_gate_and_so_do_pods_that_share_a_node(scheduler, cloud, tmp_path):
    environment(tmp_path, cloud, ms_a_pod=0.0)
    scheduler.choose = lambda _pod, _free: "n03"
    done, entries = judged(tmp_path)
    assert done.returncode == 1
    assert [entries[name]["outcome"] for name in ("LOAD-09", "LOAD-17")] == ["violated", "violated"]
    assert "ms a pod, 0 wanted" in entries["LOAD-09"]["offenders"][0]
    assert len(entries["LOAD-17"]["offenders"]) == 7
    assert namespaces(cloud) == ["kube-system"]


@pytest.mark.parametrize("ended", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_end_takes_its_namespace_away(scheduler, cloud, tmp_path, ended):
    environment(tmp_path, cloud)
    scheduler.takes_s = 0.5
    run = begun(cloud, tmp_path)
    run.send_signal(ended)
    assert run.wait(60) == 2
    assert namespaces(cloud) == ["kube-system"]


def begun(cloud, tmp_path):
    """Start a run, and return it when it has begun to make pods."""
    run = subprocess.Popen(gate(), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any("/pods/" in path for path in list(cloud.objects)):
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return run


def command(tmp_path, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("without_ledger", [False, True])
def test_what_a_killed_run_leaves_is_found_and_taken_away(scheduler, cloud, tmp_path, without_ledger):
    environment(tmp_path, cloud)
    scheduler.takes_s = 0.5
    run = begun(cloud, tmp_path)
    run.kill()
    run.wait(10)
    (left,) = set(namespaces(cloud)) - {"kube-system"}
    stranger = {"name": f"{left}-not", "labels": {"seatrial-run": RUN}}
    cloud.put("namespaces", {"metadata": stranger})
    (ledger,) = tmp_path.glob("evidence/*/namespaces.jsonl")
    if without_ledger:
        ledger.rename(tmp_path / "elsewhere")
        status, said = command(tmp_path, "cleanup", ledger.parent.name)
        assert status == 10, "nobody could log in to OpenStack"
    else:
        status, said = command(tmp_path, "leftovers")
        assert (status, f"{ledger.parent.name}: namespace {left}" in said) == (11, True), said
        status, said = command(tmp_path, "cleanup")
        assert status == 0, said
    assert namespaces(cloud) == ["kube-system", stranger["name"]]


def test_a_namespace_of_that_name_without_the_label_is_left_alone(cloud, tmp_path):
    environment(tmp_path, cloud)
    name = f"seatrial-{RUN.lower()}-scheduling"
    cloud.put("namespaces", {"metadata": {"name": name}})
    uid = cloud.get("namespaces", "kube-system")["metadata"]["uid"]
    folder = tmp_path / "evidence" / RUN
    folder.mkdir(parents=True)
    lines = [
        {"what": "opened", "run": RUN, "cloud": "x", "project": uid, "schema": 1, "at": ""},
        {"what": "intended", "kind": "namespace", "name": name, "at": "2026-11-27T21:00:00+00:00"},
    ]
    (folder / "namespaces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, said = command(tmp_path, "cleanup", RUN)
    assert (status, f"namespace {name}: left alone" in said) == (11, True), said
    assert name in namespaces(cloud)
    lines[0]["project"] = "another"
    (folder / "namespaces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert command(tmp_path, "cleanup", RUN)[0] == 12
