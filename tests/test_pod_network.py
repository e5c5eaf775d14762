"""The network between nodes, by real iperf3 in namespaces of the test's own; Kubernetes and kubelets are the fake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import msgspec
import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes
from network_namespaces import Switch, needs_namespaces

from seatrial.fixtures import run_pods
from seatrial.fixtures.kubernetes_api import KubernetesApi
from seatrial.fixtures.ledger import Ledger, Opened
from seatrial.fixtures.live import Live
from seatrial.fixtures.load import iperf3, pod_network
from seatrial.fixtures.load.pod_network import Leg, chosen, pairs
from seatrial.fixtures.measure_thresholds import PodNetwork
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.run_pods import RunPods, found
from seatrial.fixtures.settings import Cloud, Iperf3
from seatrial.fixtures.target import connect

RUN = "20261121T140000Z-abcd"
IMAGE = Iperf3(image="registry.example/iperf3:3.12", namespace="trials")
# So little that a machine whose processors have other work carries it as well: what a test is about, it demands itself.
WANTED = PodNetwork(
    nodes="",
    nodes_max=10,
    pairs="ring",
    seconds=1,
    mbit_per_s=10.0,
    mbit_per_s_min=4.0,
    rtt_ms=2000.0,
    retransmitted_max=0.03,
    mtu=1500,
    start_s=20.0,
)


class Nodes:
    """A cluster whose kubelets run a pod's command in a namespace on a switch."""

    def __init__(self, folder, *names):
        self.folder = folder
        self.api = FakeKubernetes()
        self.api.put("namespaces", {"metadata": {"name": "kube-system"}})
        for name in names:
            self.api.node(name)
        self.switch = Switch()
        self.spaces, self.servers = {}, []
        self.late = {}
        """By node: what the kubelet says in place of starting the pod."""
        self.prepare = lambda _node, _space: None
        """What is done to a node's namespace before its server starts."""
        self.starting = threading.Event()
        self.starting.set()
        self.api.after_write.append(self.kubelet)
        self.api.runs = self.run
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(KUBECONFIG % self.api.url)
        self.source = Live(Cloud(), connect(str(self.kubeconfig), "")[0], "c")
        kubernetes = KubernetesApi(connect(str(self.kubeconfig), "")[0])
        self.ledger = Ledger(folder / RUN / "pods.jsonl", Opened(RUN, "test", kubernetes.identity()))
        self.pods = RunPods(kubernetes, self.ledger, IMAGE.namespace)

    def kubelet(self, verb, path):
        if verb != "POST" or not path.endswith("/pods"):
            return
        for key, pod in list(self.api.objects.items()):
            if key.startswith(f"{path}/") and "status" not in pod:
                terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
                node = terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0]
                pod["status"] = self.late.get(node) or self.started(node, pod)

    def started(self, node, pod):
        space, address = self.switch.connect()
        self.spaces[pod["metadata"]["name"]] = space
        self.prepare(node, space)
        said = subprocess.DEVNULL
        argv = space.enter(*pod["spec"]["containers"][0]["command"])
        self.servers.append(subprocess.Popen(argv, stdout=said, stderr=said))
        deadline = time.monotonic() + 20
        while f":{iperf3.PORT:04X} " not in space.run("cat", f"/proc/{space.process.pid}/net/tcp6"):
            assert time.monotonic() < deadline, "the kubelet's probe"
            time.sleep(0.02)
        return {"phase": "Running", "podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}

    def run(self, pod, argv):
        argv = self.spaces[pod].enter(*argv)
        try:
            done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return "", 1
        return done.stdout, done.returncode

    def load(self, **wanted):
        try:
            return pod_network.network_load(self.source, IMAGE, msgspec.structs.replace(WANTED, **wanted), self.pods)
        finally:
            self.left = self.pods.clear(self.ledger.contents())

    @property
    def there(self):
        return [path for path in self.api.objects if "/pods/" in path]

    def close(self):
        for server in self.servers:
            server.kill()
            server.wait(10)
        for space in self.spaces.values():
            space.close()
        self.switch.close()
        self.ledger.close()
        self.source.close()
        self.api.close()


@pytest.fixture
def farm(tmp_path):
    made = Nodes(tmp_path, "n1", "n2", "n3")
    yield made
    made.close()


@needs_namespaces
def test_a_sound_network_carries_its_rate_around_the_ring_and_no_pod_is_left(farm):
    load = farm.load()
    assert load.over_budget == []
    assert [str(leg) for leg in load.legs] == ["nodes n1 to n2", "nodes n2 to n3", "nodes n3 to n1"]
    figures = load.figures()
    assert (figures["pairs"], figures["measured"], figures["mtu"]) == (3, 3, 1500)
    assert 4 < figures["slowest_mbit_per_s"] < 12, "no more than the rate, whatever the link carries"
    assert figures["rtt_max_ms"] >= figures["rtt_median_ms"] > 0
    assert (farm.there, farm.left, farm.ledger.contents().settled) == ([], [], True)


def test_a_pod_has_no_rights_stands_on_its_node_and_ends_by_itself():
    spec = pod_network.pod_spec(IMAGE, "n1", 100.5, 20.0)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["activeDeadlineSeconds"] == 101
    assert spec["imagePullSecrets"] == []
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert '"values": ["n1"]' in json.dumps(spec["affinity"])


@needs_namespaces
def test_a_node_that_drops_large_packets_is_named_by_both_its_pairs_and_the_size_that_passes(farm):
    farm.prepare = lambda node, space: node == "n2" and space.run("ip", "link", "set", "eth0", "mtu", "1400")
    over = farm.load().over_budget
    hole = next(line for line in over if "do not arrive" in line)
    assert hole.startswith("nodes n1 to n2: packets of 1500 bytes, which the sender thinks the path takes")
    assert hole.rpartition("those of ")[2] in {f"{size} do" for size in range(1400, 1405)}
    assert "nodes n2 to n3: the path takes packets of 1400 bytes, 1500 wanted" in over
    assert not any(line.startswith("nodes n3 to n1") for line in over)


@needs_namespaces
def test_a_path_that_takes_no_more_and_says_so_is_no_hole_where_no_more_is_wanted(farm):
    farm.prepare = lambda _, space: space.run("ip", "link", "set", "eth0", "mtu", "1400")
    load = farm.load(mtu=1400)
    assert load.over_budget == []
    assert load.figures()["mtu"] == 1400


@needs_namespaces
def test_a_slow_link_is_told_with_what_came_through(farm):
    shape = ("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "1mbit", "burst", "32kbit", "latency", "400ms")
    farm.prepare = lambda node, space: node == "n3" and space.run(*shape)
    over = farm.load(rtt_ms=60_000.0).over_budget  # its kernel's queue waits as well
    assert {line.partition(":")[0] for line in over} == {"nodes n3 to n1"}
    assert any("Mbit/s of 10 that were sent, 4 wanted" in line for line in over)


@needs_namespaces
def test_a_round_trip_that_takes_too_long_is_told_of_each_pair(farm):
    over = farm.load(rtt_ms=0.0001).over_budget
    assert len(over) == 3
    assert all("a round trip takes" in line and "0.0001 wanted" in line for line in over)


@needs_namespaces
def test_loss_is_told_by_what_was_sent_again(farm):
    # Every tenth, not any: of the few that a second of a busy machine sends, chance may spare all. And a budget that
    # holds where a processor is late, and what was only delayed is sent again.
    farm.switch.rule("ip daddr 192.0.2.2 tcp dport 5201 numgen inc mod 10 == 0 drop")
    over = farm.load().over_budget
    assert {line.partition(":")[0] for line in over} == {"nodes n1 to n2"}
    assert any("segments were sent again, 3.00% wanted at most" in line for line in over)


@needs_namespaces
def test_a_node_that_nobody_reaches_is_a_violation_and_the_others_are_measured(farm, monkeypatch):
    monkeypatch.setattr(iperf3, "_CONNECT_MS", 500)
    farm.switch.rule("ip daddr 192.0.2.2 drop")
    load = farm.load()
    why = "nothing is carried: unable to connect to server: Connection timed out"
    assert load.over_budget == [f"nodes n1 to n2: {why}", f"nodes n2 to n3: {why}"]
    assert load.figures()["measured"] == 1


@needs_namespaces
def test_datagrams_that_are_not_let_through_leave_the_size_unread(farm, monkeypatch):
    monkeypatch.setattr(pod_network, "_OVERHEAD_S", 2.0)
    farm.switch.rule("ip protocol udp drop")
    with pytest.raises(
        Unavailable, match=r"not measured: nodes n1 to n2: packets of the full size: .*no end within 2 s"
    ):
        assert farm.load().over_budget == []


@needs_namespaces
def test_an_image_that_cannot_be_pulled_leaves_its_node_unmeasured_and_the_claim_undetermined(farm):
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    statuses = [
        {
            "name": "iperf3",
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"waiting": waiting},
        }
    ]
    farm.late["n3"] = {"phase": "Pending", "containerStatuses": statuses}
    load = farm.load(start_s=1.0)
    assert [str(leg) for leg in load.legs] == ["nodes n1 to n2", "nodes n2 to n1"]
    why = r"not measured: node n3: pod trials/seatrial-\S+-iperf3-3: ImagePullBackOff: Back-off pulling image"
    with pytest.raises(Unavailable, match=why):
        assert load.over_budget == []
    assert farm.there == []


@needs_namespaces
def test_pods_that_stay_pending_are_told_with_the_schedulers_reason_and_taken_away(farm):
    said = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes: Too many pods.",
    }
    farm.late = {name: {"phase": "Pending", "conditions": [said]} for name in ("n1", "n2", "n3")}
    with pytest.raises(
        Unavailable, match=r"0 of 3 pods are ready after 1 s; node n1: .*Unschedulable: 0/3 nodes: Too many"
    ):
        farm.load(start_s=1.0)
    assert farm.there == []


@needs_namespaces
def test_missing_rights_are_told_in_one_line_before_anything_is_made(farm):
    farm.api.refused = {"create pods", "delete pods"}
    why = "without these rights in namespace trials: create pods, delete pods, create pods/exec$"
    with pytest.raises(Unavailable, match=why):
        farm.load()
    assert [path for verb, path in farm.api.written() if verb == "POST"] == []
    assert farm.ledger.contents().settled


@needs_namespaces
def test_a_node_that_is_not_ready_is_not_passed_over(farm):
    farm.api.objects["/api/v1/nodes/n2"]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    load = farm.load()
    assert [str(leg) for leg in load.legs] == ["nodes n1 to n3", "nodes n3 to n1"]
    with pytest.raises(Unavailable, match="not measured: node n2: the node is not Ready"):
        assert load.over_budget == []


def node(name, **labels):
    return SimpleNamespace(name=name, labelled=lambda label: label in labels)


def test_of_many_nodes_a_sample_is_taken_evenly_and_one_alone_has_no_network():
    many = [node(f"n{number:03}") for number in range(100)]
    sample = chosen(many, msgspec.structs.replace(WANTED, nodes_max=4))
    assert [one.name for one in sample] == ["n000", "n025", "n050", "n075"]
    labelled = [node("a", rack=1), node("b"), node("c", rack=1)]
    assert [one.name for one in chosen(labelled, msgspec.structs.replace(WANTED, nodes="rack"))] == ["a", "c"]
    with pytest.raises(NotConcerned, match="1 nodes in the cluster"):
        chosen(many[:1], WANTED)
    assert pairs(["a", "b"], "ring") == [("a", "b"), ("b", "a")]
    assert len(pairs(["a", "b", "c", "d"], "all")) == 12


def test_an_iperf3_that_does_not_tell_the_size_of_packets_could_not_look():
    old = {"start": {"version": "iperf 3.1.3", "tcp_mss_default": 1448}, "intervals": [{"streams": [{"rtt": 1}]}]}
    end = {"streams": [{"sender": {"retransmits": 0, "bytes": 1, "mean_rtt": 1, "min_rtt": 1}}]}
    leg = pod_network.measured(
        Leg("a", "b"),
        "192.0.2.1",
        WANTED,
        lambda *_: json.dumps({**old, "end": {**end, "sum_received": {"bits_per_second": 1e9}}}),
    )
    assert (
        leg.unread
        == "a stream: iperf 3.1.3 does not tell what is measured (KeyError('pmtu')): 3.10 or newer on Linux does"
    )
    with pytest.raises(Unavailable, match="not measured: nodes a to b"):
        assert pod_network.NetworkLoad(WANTED, [leg]).over_budget == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("exec: no such file", "iperf3 answered with no JSON: exec: no such file"),
        ('{"error": "the server is busy running a test. try again later"}', "the server is busy"),
        ('{"error": "unable to connect to server: Connection refused"}', "Connection refused"),
        ('{"start": {"version": "iperf 3.12"}, "end": {}, "intervals": []}', "iperf 3.12 does not tell"),
    ],
)
def test_what_does_not_tell_what_the_network_carries_leaves_a_pair_unread(said, why):
    leg = pod_network.measured(Leg("a", "b"), "192.0.2.1", WANTED, lambda *_: said)
    assert (why in leg.unread, leg.broken) == (True, "")


def test_a_stream_that_is_never_acknowledged_is_not_carried():
    said = '{"error": "error - unable to write to stream socket: Connection timed out"}'
    leg = pod_network.measured(Leg("a", "b"), "192.0.2.1", WANTED, lambda *_: said)
    assert leg.over(WANTED) == [
        "nodes a to b: nothing is carried: unable to write to stream socket: Connection timed out"
    ]


def test_datagrams_that_are_all_lost_have_not_passed_although_none_is_counted_as_lost():
    end = {"sum": {"packets": 20, "lost_packets": 0}, "sum_received": {"bytes": 0, "packets": 0, "lost_packets": 0}}
    assert iperf3.passed(json.dumps({"end": end})) is False
    assert iperf3.passed('{"error": "unable to write to stream socket: Message too long"}') is False


@pytest.fixture
def kube(tmp_path):
    api = FakeKubernetes()
    api.put("namespaces", {"metadata": {"name": "kube-system"}})
    (tmp_path / "kubeconfig").write_text(KUBECONFIG % api.url)
    kubernetes = KubernetesApi(connect(str(tmp_path / "kubeconfig"), "")[0])
    ledger = Ledger(tmp_path / RUN / "pods.jsonl", Opened(RUN, "test", kubernetes.identity()))
    yield SimpleNamespace(api=api, pods=RunPods(kubernetes, ledger, "trials"), ledger=ledger)
    ledger.close()
    api.close()


SPEC = {"containers": [{"name": "c", "image": "i"}]}


def test_the_ledger_has_a_pod_before_kubernetes_does(kube):
    seen = []
    kube.api.around_write.append(lambda _, done: done or seen.extend(kube.ledger.contents().belongings))
    kube.pods.make(kube.pods.name("a"), SPEC)
    assert seen == [("pod", f"trials/seatrial-{RUN.lower()}-a")]


def test_a_pod_of_somebody_else_stays_whatever_its_name_or_mark(kube):
    mine, marked, namesake = kube.pods.name("a"), "web", kube.pods.name("b")
    kube.pods.make(mine, SPEC)
    kube.pods.make(namesake, SPEC)
    put = {"namespace": "trials", "labels": {"seatrial-run": RUN}}
    kube.api.put("pods", {"metadata": {**put, "name": marked, "uid": "theirs"}, "spec": SPEC})
    kube.api.put("pods", {"metadata": {**put, "name": namesake, "uid": "made-since"}, "spec": SPEC})
    assert set(found(kube.pods.api, "test")[RUN].belongings) == {
        ("pod", f"trials/{mine}"),
        ("pod", f"trials/{namesake}"),
    }
    assert kube.pods.clear(kube.ledger.contents()) == []
    assert {path.rpartition("/")[2] for path in kube.api.objects} == {"kube-system", marked, namesake}
    assert kube.ledger.contents().settled


def test_a_pod_that_does_not_go_is_told_and_stays_in_the_ledger(kube, monkeypatch):
    monkeypatch.setattr(run_pods, "PATIENCE_S", 0.2)
    name = kube.pods.name("a")
    kube.pods.make(name, SPEC)
    kube.api.after_write.append(lambda verb, _: verb == "DELETE" and kube.api.put("pods", {**pod}))
    pod = dict(kube.api.get("pods", name, "trials"))
    left = kube.pods.clear(kube.ledger.contents())
    assert left == [f"pod trials/{name}: still there: its node may not answer"]
    assert not kube.ledger.contents().settled


SETTINGS = """
[clouds.x]
kubeconfig = "kubeconfig"
profile = "quick.toml"
[clouds.x.iperf3]
image = "registry.example/iperf3:3.12"
namespace = "trials"
"""
PROFILE = """
extends = "baseline"
about = "quick"
[pod_network]
seconds = {seconds}
mbit_per_s = 10.0
mbit_per_s_min = 4.0
rtt_ms = 2000.0
retransmitted_max = 0.03
"""
GATE = ("--cloud", "x", "--allow", "load", "-m", "performance", "-k", "network", "--no-history")


def settled(trial, seconds=1, settings=SETTINGS):
    trial.write("seatrial.toml", settings)
    trial.write("quick.toml", PROFILE.format(seconds=seconds))


@needs_namespaces
def test_the_gate_closes_for_a_network_that_is_slow_and_leaves_no_pod(trial, pytester):
    cluster = Nodes(pytester.path, "n1", "n2")
    settled(trial)
    try:
        sound = trial.judge("--pyargs", "seatrial.suites", *GATE)
        cluster.switch.rule("ip daddr 192.0.2.4 tcp dport 5201 numgen inc mod 10 == 0 drop")
        lossy = trial.judge("--pyargs", "seatrial.suites", *GATE)
    finally:
        cluster.close()
    assert sound.outcome("LOAD-13") == "holds", sound.text
    assert sound.judged("LOAD-13")["measured"]["mtu"] == 1500
    kept = [json.loads(file.read_text()) for file in sorted(pytester.path.glob("evidence/*/pod-network.json"))]
    assert {(pair["sender"], pair["receiver"]) for one in kept for pair in one["pairs"]} == {("n1", "n2"), ("n2", "n1")}
    assert (lossy.outcome("LOAD-13"), lossy.status) == ("violated", 1), lossy.text
    assert all(line.startswith("nodes n1 to n2: ") for line in lossy.judged("LOAD-13")["offenders"])
    assert cluster.there == []


def test_a_cloud_that_names_no_image_is_not_concerned_and_no_pod_is_made(trial, pytester):
    api = FakeKubernetes()
    (pytester.path / "kubeconfig").write_text(KUBECONFIG % api.url)
    settled(trial, settings=SETTINGS.partition("[clouds.x.iperf3]")[0])
    run = trial.judge("--pyargs", "seatrial.suites", *GATE)
    api.close()
    assert run.outcome("LOAD-13") == "not concerned"
    assert "no image with iperf3 is named: image = '…' in [clouds.NAME.iperf3]" in run.judged("LOAD-13")["reason"]
    assert api.written() == []


def test_pods_of_a_run_without_a_ledger_are_found_by_its_id_and_nobody_elses(trial, pytester):
    api = FakeKubernetes()
    api.put("namespaces", {"metadata": {"name": "kube-system"}})
    (pytester.path / "kubeconfig").write_text(KUBECONFIG % api.url)
    settled(trial)
    theirs, mine = "web", f"seatrial-{RUN.lower()}-iperf3-1"
    for name in (theirs, mine):
        metadata = {"name": name, "namespace": "trials", "labels": {"seatrial-run": RUN}}
        api.put("pods", {"metadata": metadata, "spec": SPEC})
    command = [sys.executable, "-m", "seatrial.command", "cleanup", "--cloud", "x", RUN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    there = [path.rpartition("/")[2] for path in api.objects if "/pods/" in path]
    api.close()
    assert there == [theirs], done.stdout + done.stderr
    assert f"run {RUN}: pod trials/{mine}" in done.stdout


@pytest.fixture
def begun(trial, pytester):
    """A cluster of two nodes, and a gate that measures the network between them for a minute."""
    farm = Nodes(pytester.path, "n1", "n2")
    settled(trial, seconds=60)
    gate = [sys.executable, "-m", "seatrial.command", "gate", *GATE]
    process = subprocess.Popen(gate, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 100
    while not farm.api.commands:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield farm, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    farm.close()


@needs_namespaces
def test_after_kill_9_the_pods_are_found_and_taken_away(begun):
    farm, process = begun

    def seatrial(*words):
        command = [sys.executable, "-m", "seatrial.command", *words, "--cloud", "x"]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    assert len(farm.there) == 2
    left = seatrial("leftovers")
    assert (left.returncode, left.stdout.count(": pod trials/seatrial-")) == (11, 2), left.stdout + left.stderr
    cleaned = seatrial("cleanup")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert farm.there == []
    assert seatrial("leftovers").returncode == 0


@needs_namespaces
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_takes_its_pods_away(begun, how):
    farm, process = begun
    assert len(farm.there) == 2
    process.send_signal(how)
    assert process.wait(120) == 2
    assert farm.there == []
