"""Scheduling on a control plane of its own with KWOK's nodes, while its API server answers the scheduler 429."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import msgspec
import pytest

from seatrial.lab import binaries
from seatrial.lab.crowd import TAINT, join
from seatrial.lab.loopback import LOADER, Loopback
from seatrial.lab.shell import LabError, wait_until

# Not for the lab's sake: KWOK is built the first time, and a control plane takes two cores for a minute.
pytestmark = [pytest.mark.lab, pytest.mark.round]

NODES = 40
LEVEL = "throttled-scheduler"
SETTINGS = """
default = "crowd"
[clouds.crowd]
profile = "quick.toml"
[clouds.crowd.scheduling]
nodes = "type=kwok"
"""
PROFILE = """
extends = "thousand-nodes"
about = "quick"
[pod_scheduling]
pods = 40
ms_a_pod = 10000.0
p50_s = 60.0
p95_s = 60.0
p99_s = 60.0
"""
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A control plane whose API server has one seat for all that the scheduler writes, and lets nobody wait for it."""
    wanted = {"etcd", "kubernetes"}
    binaries.provide((*(build for build in binaries.BUILDS if build.name in wanted), binaries.MANY_NODES))
    with Loopback(tmp_path_factory.mktemp("crowd") / "control-plane") as running:
        join(running, 1, NODES)
        running.send("POST", f"{FLOW}/prioritylevelconfigurations", {
            "metadata": {"name": LEVEL},
            "spec": {
                "type": "Limited",
                "limited": {
                    "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
                    "limitResponse": {"type": "Reject"},
                },
            },
        })  # fmt: skip
        writes = {"verbs": ["create", "update", "patch", "delete"], "apiGroups": ["*"], "resources": ["*"]}
        subject = {"kind": "User", "user": {"name": "system:kube-scheduler"}}
        running.send("POST", f"{FLOW}/flowschemas", {
            "metadata": {"name": LEVEL},
            "spec": {
                "priorityLevelConfiguration": {"name": LEVEL},
                "matchingPrecedence": 10,
                "rules": [{
                    "subjects": [subject],
                    "resourceRules": [{**writes, "namespaces": ["*"], "clusterScope": True}],
                }],
            },
        })  # fmt: skip
        yield running


def judged(crowd, folder, *ids):
    (folder / "seatrial.toml").write_text(SETTINGS)
    (folder / "quick.toml").write_text(PROFILE)
    chosen = " or ".join(f"invariant(id='{id_}')" for id_ in ids)
    command = [sys.executable, "-m", "seatrial.command", "gate", "--allow", "load", "-m", chosen]
    command += ["--kubeconfig", str(crowd.kubeconfig(LOADER)), "--verdict", "verdict.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert (folder / "verdict.json").exists(), done.stdout + done.stderr
    entries = json.loads((folder / "verdict.json").read_text())["invariants"]
    return done.stdout, {entry["id"]: entry for entry in entries}


def items(crowd, path):
    return msgspec.json.decode(crowd.send("GET", path))["items"]


def namespaces(crowd):
    return [item["metadata"]["name"] for item in items(crowd, "/api/v1/namespaces")]


def test_pods_are_kept_apart_while_the_scheduler_is_answered_429(crowd, tmp_path):
    said, entries = judged(crowd, tmp_path, "LOAD-09", "LOAD-17")
    assert [entries[name]["outcome"] for name in ("LOAD-09", "LOAD-17")] == ["holds", "holds"], said
    for name in ("LOAD-09", "LOAD-17"):
        assert entries[name]["measured"][f"{LEVEL}_429"] > 0, "nothing was throttled"
        assert entries[name]["measured"]["answered_429"] >= entries[name]["measured"][f"{LEVEL}_429"]
    assert not any(name.startswith("seatrial-") for name in namespaces(crowd))


class SecondScheduler:
    """Binds what has no node to one node, whatever it asks for: one that works with what it knew before."""

    def __init__(self, crowd):
        self._crowd = crowd
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self.bound = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _work(self):
        while not self._ended.wait(0.01):
            for pod in items(self._crowd, "/api/v1/pods?fieldSelector=spec.nodeName%3D"):
                metadata = pod["metadata"]
                path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
                target = {"apiVersion": "v1", "kind": "Node", "name": "kwok-0001"}
                try:
                    self._crowd.send("POST", path, {"metadata": {"name": metadata["name"]}, "target": target})
                except LabError:
                    continue  # the first scheduler was faster
                self.bound += 1


def test_a_second_scheduler_that_knows_nothing_of_others_is_told(crowd, tmp_path):
    with SecondScheduler(crowd) as second:
        said, entries = judged(crowd, tmp_path, "LOAD-17")
    assert second.bound > 1
    assert entries["LOAD-17"]["outcome"] == "violated", said
    assert all("shares kubernetes.io/hostname=kwok-0001" in line for line in entries["LOAD-17"]["offenders"])
    assert not any(name.startswith("seatrial-") for name in namespaces(crowd))


def apart(name, **more):
    """A pod that is kept apart from its like."""
    labels = {"app": "apart"}
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    tolerations = [{"key": TAINT["key"], "operator": "Exists"}]
    spec = {"affinity": affinity, "tolerations": tolerations, "nodeSelector": {"type": "kwok"}, **more}
    return {"metadata": {"name": name, "labels": labels}, "spec": {**spec, "containers": [{"name": "c", "image": "i"}]}}


def test_k8s_08_holds_under_429s_and_is_violated_by_a_pod_that_nobody_scheduled(crowd, tmp_path):
    path = "/api/v1/namespaces/default/pods"
    for number in range(NODES // 2):
        crowd.send("POST", path, apart(f"apart-{number:02}"))

    def waiting():
        count = sum(not pod["spec"].get("nodeName") for pod in items(crowd, path))
        return f"{count} pods have no node" if count else None

    wait_until("pods", waiting, timeout=120, interval=0.5)
    said, entries = judged(crowd, tmp_path, "K8S-04", "K8S-08")
    assert [entries[name]["outcome"] for name in ("K8S-04", "K8S-08")] == ["violated", "holds"], said
    taken = items(crowd, path)[0]["spec"]["nodeName"]
    crowd.send("POST", path, apart("forced", nodeName=taken))
    said, entries = judged(crowd, tmp_path, "K8S-04", "K8S-08")
    assert entries["K8S-08"]["outcome"] == "violated", said
    assert f"shares kubernetes.io/hostname={taken}" in entries["K8S-08"]["offenders"][0]
