"""A load on a real RabbitMQ by several pods, played by processes of this machine that run just what a pod runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest
from broker_cloud import loaded, until
from real_broker import RealBroker

from seatrial.fixtures.load.histogram import Latencies
from seatrial.fixtures.load.indexed import INDEX, Part, Told, whole
from seatrial.fixtures.load.scenario import Endpoint, Scenario, WrongScenario
from seatrial.fixtures.load.tally import Received, Share, pooled

ELSEWHERE = ("unshare", "--user", "--map-root-user", "--time", "--monotonic", "86400")
"""A machine whose monotonic clock is a day ahead, as far as a process can tell."""


def part_of(broker, pods, *, gather_s=60.0, **scenario):
    wanted = {
        "name": "pods", "producers": 4, "consumers": 4, "queue": "transient", "persistent": False, "size_bytes": 256,
        "confirm_window": 100, "rate_per_s": 1000.0, "prefetch": 100, "ack_every": 20, "warm_up_s": 0.5,
        "duration_s": 2.0, "settle_s": 10.0, "processes": 1,
    } | scenario  # fmt: skip
    endpoint = Endpoint(host="127.0.0.1", port=broker.port, user="guest", password="guest")
    return Part(endpoint=endpoint, scenario=Scenario(**wanted), queue="q", run=7_000_000, pods=pods, gather_s=gather_s)


class Pods:
    """As many as a part says, each a process; `within` is the command that its number runs in."""

    def __init__(self, folder, part, within=None, only=None):
        file = folder / "part.json"
        file.write_bytes(msgspec.json.encode(part))
        command = [sys.executable, "-m", "seatrial.fixtures.load.indexed", str(file)]
        self.processes = {
            pod: subprocess.Popen(
                [*(within or {}).get(pod, ()), *command],
                env={**os.environ, INDEX: str(pod)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for pod in (only or range(part.pods))
        }  # fmt: skip

    def ended(self, patience=90):
        """Return by pod the exit status, what was told and what was said."""
        try:
            heard = {pod: process.communicate(timeout=patience) for pod, process in self.processes.items()}
        finally:
            self.kill()
        return {pod: (self.processes[pod].returncode, *said) for pod, said in heard.items()}

    def told(self, patience=90):
        ended = self.ended(patience)
        assert {status for status, _, _ in ended.values()} == {0}, ended
        return [msgspec.json.decode(out, type=Told) for _, out, _ in ended.values()]

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


def queues(broker):
    return broker.ctl("list_queues", "name").split()[1:]


@pytest.mark.parametrize("pods", [1, 3])
def test_pods_account_for_every_message_together(broker, tmp_path, pods):
    part = part_of(broker, pods)
    told = Pods(tmp_path, part).told()
    outcome = whole(part.scenario, told)
    fate, figures = outcome.fate, outcome.figures()
    assert {each.run for each in told} == {7_000_000}
    assert fate.published == pytest.approx(2500, abs=4)  # a thousand a second, the warm-up among them
    assert fate.received == fate.confirmed == fate.published
    assert fate.lost == fate.duplicated == fate.strays == fate.unconfirmed == fate.unsent == fate.left == 0
    assert outcome.closures == []
    assert 0 < figures["messages_per_s"] < 1250  # on a machine that is slow, some come after it was measured
    # All that was sent while it was measured has its latency, whichever pod took it.
    assert len(Latencies(outcome.end_to_end)) == len(Latencies(outcome.confirm)) == pytest.approx(2000, abs=4)
    assert figures["client_cpu_per_message_us"] > 0
    assert queues(broker) == []


def test_each_pod_has_its_share_and_few_peers_are_not_in_one_pod(broker):
    part = part_of(broker, 3)
    assert [list(part.producers(pod)) for pod in range(3)] == [[0, 3], [1], [2]]
    assert [list(part.consumers(pod)) for pod in range(3)] == [[2], [1], [0, 3]]
    two = part_of(broker, 2, producers=1, consumers=1)
    assert [(list(two.producers(pod)), list(two.consumers(pod))) for pod in range(2)] == [([0], []), ([], [0])]
    with pytest.raises(WrongScenario, match="pods = 3: there are 2 peers to share"):
        part_of(broker, 3, producers=1, consumers=1).check()


def clocks_differ():
    tried = subprocess.run([*ELSEWHERE, "true"], capture_output=True, text=True, check=False)
    return tried.returncode == 0


@pytest.mark.skipif(not clocks_differ(), reason="no time namespace can be made here")
def test_a_pod_whose_clock_is_another_tells_the_same_latencies(broker, tmp_path):
    part = part_of(broker, 2, producers=1, consumers=1)
    told = Pods(tmp_path, part, within={1: ELSEWHERE}).told()
    ahead = {each.pod: each.clock.ahead_ns / 1e9 for each in told}
    assert ahead[0] == 0
    assert ahead[1] == pytest.approx(-86400, abs=0.5)
    assert told[1].clock.within_ns < 0.5e9
    figures = whole(part.scenario, told).figures()
    assert 0 < figures["messages_per_s"] < 1250
    assert 0 < figures["end_to_end_p50_ms"] < 20_000  # a day, where the clocks were trusted
    assert figures["lost_messages"] == 0


def test_an_alarm_before_the_start_is_told_by_every_pod(broker, tmp_path):
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        part = part_of(broker, 2)
        outcome = whole(part.scenario, Pods(tmp_path, part).told())
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")
    assert outcome.received_in_window == 0
    assert outcome.blocked_s >= 4 * 2.5  # four producers, for as long as the load would have lasted
    assert outcome.blocked_by == "low on memory"
    assert queues(broker) == [] or all(name.startswith("q-") for name in queues(broker))
    for name in queues(broker):
        broker.ctl("delete_queue", name)


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
def test_an_alarm_in_the_midst_ends_every_pod_and_is_told(broker, tmp_path):
    part = part_of(broker, 2, duration_s=120.0, settle_s=10.0)
    pods = Pods(tmp_path, part)
    until(lambda: flows(broker))
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        told = pods.told(patience=400)
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")
    outcome = whole(part.scenario, told)
    assert outcome.blocked_s > 1
    assert outcome.blocked_by == "low on memory"
    assert outcome.fate.published > 0
    assert outcome.fate.lost == outcome.fate.duplicated == 0
    for name in queues(broker):
        broker.ctl("delete_queue", name)


def flows(broker):
    """Whether more has come to the broker than what opens connections."""
    return sum(map(int, broker.ctl("list_connections", "recv_oct").split()[1:])) > 200_000


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
def test_a_broker_that_restarts_is_waited_for_by_every_pod(tmp_path):
    broker = RealBroker(tmp_path / "own").start(300)
    part = part_of(broker, 2, queue="durable", persistent=True, duration_s=25.0, settle_s=40.0)
    pods = Pods(tmp_path, part)
    try:
        until(lambda: flows(broker))
        broker.stop()
        broker.start(300)
        outcome = whole(part.scenario, [msgspec.json.decode(out, type=Told) for _, out, _ in pods.ended(200).values()])
        assert queues(broker) == []
    finally:
        pods.kill()
        broker.stop()
    assert outcome.away_s > 1
    assert outcome.fate.repeated > 0
    assert outcome.fate.lost == 0  # durable and persistent: what was confirmed is there again
    assert outcome.fate.unconfirmed == outcome.fate.unsent == 0
    assert outcome.figures()["end_to_end_max_ms"] > 1000


def test_pods_that_wait_in_vain_say_for_whom(broker, tmp_path):
    part = part_of(broker, 3, gather_s=3.0)
    ended = Pods(tmp_path, part, only=[0, 1]).ended()
    assert {status for status, _, _ in ended.values()} == {10}
    assert ended[0][2].splitlines()[-1] == "seatrial load: nothing was heard of pod 2 within 3 s (clocks)"
    assert "pod 1: no answer of pod 0 within 3 s" in ended[1][2]
    assert queues(broker) == []


def test_a_pod_that_is_told_to_end_takes_its_processes_along(broker, tmp_path):
    pods = Pods(tmp_path, part_of(broker, 1, duration_s=60.0))
    until(lambda: loaded(broker))
    pods.processes[0].send_signal(signal.SIGTERM)
    assert pods.processes[0].wait(30) == 2
    until(lambda: not loaded(broker))
    assert queues(broker) == []


def test_what_is_not_a_part_is_refused_before_anything_is_asked(tmp_path):
    wrong = tmp_path / "part.json"
    wrong.write_text("{}")

    def run(**environment):
        command = [sys.executable, "-m", "seatrial.fixtures.load.indexed", str(wrong)]
        clean = {key: value for key, value in os.environ.items() if key != INDEX}
        return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=False)

    missing = run(**{INDEX: "0"})
    assert missing.returncode == 4
    assert "missing required field `endpoint`" in missing.stderr
    endpoint = {"host": "h", "port": 1, "user": "u", "password": "secret"}
    scenario = {
        "name": "s", "producers": 1, "consumers": 1, "queue": "durable", "persistent": True, "size_bytes": 64,
        "confirm_window": 1, "rate_per_s": 0, "prefetch": 0, "ack_every": 0, "warm_up_s": 0, "duration_s": 1,
        "settle_s": 1,
    }  # fmt: skip
    part = {"endpoint": endpoint, "scenario": scenario, "queue": "q", "run": 1, "pods": 1, "gather_s": 1}
    wrong.write_text(json.dumps(part))
    assert "JOB_COMPLETION_INDEX is not set" in run().stderr
    assert "secret" not in repr(msgspec.json.decode(wrong.read_bytes(), type=Part))


def test_the_accounts_of_a_pods_processes_become_one():
    def consumer(*seen):
        received = Received(
            count=sum(seen), in_window=1, redelivered=0, strays=0, seen={3: bytes(seen)}, away_s=0.0, closures=["x"]
        )
        return Share(cpu_s=1.0, latencies=Latencies().encoded, received=[received])

    (one,) = pooled([consumer(1, 0, 1), consumer(0, 1, 0, 2)])
    assert one.cpu_s == 2.0
    assert one.received[0].seen == {3: bytes([1, 1, 1, 2])}
    assert one.received[0].closures == ["x", "x"]
