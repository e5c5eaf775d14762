"""LOAD-01 to LOAD-04 on a real RabbitMQ of this machine, through the gate: Kubernetes alone is played."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import broker_cloud
import pytest
from broker_cloud import begun as begun_gate
from broker_cloud import cloud_of, executed_on, loaded, put_broker, seatrial, until, vhosts
from fake_kubernetes import FakeKubernetes
from kubernetes import client
from pika import spec
from real_broker import RealBroker
from scripted_broker import ScriptedBroker

from seatrial.fixtures.broker_trial import BrokerTrial, scenario_of
from seatrial.fixtures.ledger import begun
from seatrial.fixtures.load.broker import Outcome
from seatrial.fixtures.load.control import held, make, take_away
from seatrial.fixtures.load.histogram import Latencies
from seatrial.fixtures.load.payload import content
from seatrial.fixtures.load.scenario import Endpoint
from seatrial.fixtures.load.tally import Fate
from seatrial.fixtures.load.wire import Lost, Rejected, opened
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.rabbitmq_access import RabbitMQAccess
from seatrial.fixtures.settings import Cloud, load_profile
from seatrial.fixtures.settings import RabbitMQAccess as AccessSettings
from seatrial.fixtures.vhosts import Vhosts, found

PROFILE = """
extends = "um-cloud"
about = "a second of each, and what any machine bears"
[broker_load]
warm_up_s = 0.3
duration_s = {duration}
settle_s = 10.0
[broker_load.baseline]
messages_per_s = {least}
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
[broker_load.realistic]
messages_per_s = {least}
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
[broker_load.stress]
messages_per_s = {least}
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
[broker_load.rpc]
rate_per_s = 100.0
calls_per_s = {least}
casts_per_s = {least}
round_trip_p99_ms = 60000.0
cast_p99_ms = 60000.0
fanout_p99_ms = 60000.0
policy = '{policy}'
"""
POLICY = '{"message-ttl": 70000}'
HELD_BACK = "; the broker held publishers back for 20.0 s: low on disk"
NOBODY = dict.fromkeys(Fate.__struct_fields__, 0)


@pytest.fixture
def cloud(broker, tmp_path):
    with cloud_of(broker, tmp_path) as kubernetes:
        yield kubernetes


def gate(folder, *ids, duration=0.5, least=1.0, policy=POLICY):
    return broker_cloud.gate(folder, PROFILE.format(duration=duration, least=least, policy=policy), *ids)


def judged(folder, *ids, **wanted):
    return broker_cloud.judged(folder, gate(folder, *ids, **wanted))


@pytest.mark.parametrize(
    "ids",
    [
        ("LOAD-01",),
        # Not for the lab's sake: more than one load is for the round.
        pytest.param(("LOAD-02", "LOAD-03"), marks=[pytest.mark.lab, pytest.mark.round]),
    ],
)
@pytest.mark.usefixtures("cloud")
def test_the_gate_puts_loads_on_a_broker_and_leaves_nothing_behind(broker, tmp_path, ids):
    done, entries = judged(tmp_path, *ids)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ids:
        measured = entries[name]["measured"]
        assert entries[name]["outcome"] == "holds"
        assert measured["messages_per_s"] > 0
        assert measured["confirm_p99_ms"] > 0
        assert measured["end_to_end_p99_ms"] > 0
        assert measured["client_cpu_per_message_us"] > 0
        assert measured["lost_messages"] == measured["duplicated_messages"] == 0
        assert not {"unroutable_messages", "unconfirmed_messages", "unsent_messages"} & measured.keys()
    assert vhosts(broker) == ["/"]
    kept = json.loads(next(tmp_path.glob("evidence/*/broker-*.json")).read_text())
    assert len(Latencies(kept["end_to_end_us"])) > 0
    assert "at 127.0.0.1" in kept["by"]


@pytest.mark.usefixtures("cloud")
def test_the_gate_lets_clients_and_servers_talk_and_leaves_nothing_behind(broker, tmp_path):
    done, entries = judged(tmp_path, "LOAD-04")
    assert done.returncode == 0, done.stdout + done.stderr
    measured = entries["LOAD-04"]["measured"]
    assert entries["LOAD-04"]["outcome"] == "holds"
    for figure in ("calls_per_s", "casts_per_s", "round_trip_p99_ms", "cast_p99_ms", "client_cpu_per_message_us"):
        assert measured[figure] > 0
    assert measured["answered_calls"] == measured["made_calls"]
    for figure in ("unanswered_calls", "twice_answered_calls", "lost_casts", "missing_fanouts"):
        assert measured[figure] == 0  # told though it is nothing
    assert vhosts(broker) == ["/"]
    kept = json.loads(next(tmp_path.glob("evidence/*/broker-rpc.json")).read_text())
    assert len(Latencies(kept["round_trip_us"])) > 0
    assert "at 127.0.0.1" in kept["by"]


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
@pytest.mark.usefixtures("cloud")
def test_calls_that_are_too_few_close_the_gate_and_a_policy_that_is_refused_leaves_it_undetermined(broker, tmp_path):
    done, entries = judged(tmp_path, "LOAD-04", least=10_000.0)
    assert done.returncode == 1
    assert "a second, 10000 wanted (at 127.0.0.1" in entries["LOAD-04"]["offenders"][0]
    done, entries = judged(tmp_path, "LOAD-04", policy='{"no-such-thing": 1}')
    assert done.returncode == 10
    assert "rabbitmqctl set_policy" in entries["LOAD-04"]["reason"]
    assert vhosts(broker) == ["/"]


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
@pytest.mark.usefixtures("cloud")
def test_a_budget_that_is_not_kept_closes_the_gate_and_says_by_how_much(broker, tmp_path):
    done, entries = judged(tmp_path, "LOAD-01", least=10_000_000.0)
    assert done.returncode == 1
    assert "messages/s, 10000000 wanted (at 127.0.0.1" in entries["LOAD-01"]["offenders"][0]
    assert vhosts(broker) == ["/"]


@pytest.mark.lab  # as above
@pytest.mark.round
@pytest.mark.usefixtures("cloud")
def test_an_alarm_closes_the_gate_and_says_so(broker, tmp_path):
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        done, entries = judged(tmp_path, "LOAD-01", least=100.0)
    finally:
        broker.ctl("set_vm_memory_high_watermark", "0.4")
    assert done.returncode == 1
    assert "the broker held publishers back" in entries["LOAD-01"]["offenders"][0]
    assert "low on memory" in entries["LOAD-01"]["offenders"][0]
    assert vhosts(broker) == ["/"]


@pytest.mark.lab  # as above
@pytest.mark.round
@pytest.mark.usefixtures("cloud")
def test_a_run_that_is_killed_leaves_a_vhost_that_cleanup_takes_away(broker, tmp_path):
    run = begun_gate(tmp_path, gate(tmp_path, "LOAD-01", duration=60.0))
    try:
        until(lambda: loaded(broker))
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert len(vhosts(broker)) == 2
    until(lambda: not loaded(broker), 30)  # the processes of the load go with their parent
    left = seatrial(tmp_path, "leftovers")
    assert left.returncode == 11
    assert "vhost seatrial-" in left.stdout
    cleaned = seatrial(tmp_path, "cleanup")
    assert cleaned.returncode == 0, cleaned.stdout + cleaned.stderr
    assert vhosts(broker) == ["/"]
    assert seatrial(tmp_path, "leftovers").returncode == 0


@pytest.mark.lab  # as above
@pytest.mark.round
@pytest.mark.usefixtures("cloud")
def test_ctrl_c_leaves_nothing_behind(broker, tmp_path):
    run = begun_gate(tmp_path, gate(tmp_path, "LOAD-01", duration=60.0))
    until(lambda: loaded(broker))
    os.kill(run.pid, signal.SIGINT)
    assert run.wait(60) == 2
    assert vhosts(broker) == ["/"]


@pytest.mark.lab  # as above
@pytest.mark.round
def test_a_broker_out_of_reach_is_reached_through_the_api_server(broker, cloud, tmp_path):
    (tmp_path / "seatrial.toml").write_text('default = "test"\n[clouds.test]\nkubeconfig = "kubeconfig"\n')
    cloud.ports[5672] = broker.port
    done, entries = judged(tmp_path, "LOAD-02")
    assert done.returncode == 0, done.stdout + done.stderr
    assert entries["LOAD-02"]["measured"]["messages_per_s"] > 0
    kept = json.loads(next(tmp_path.glob("evidence/*/broker-*.json")).read_text())
    assert kept["by"] == "through the API server's port-forward"
    assert vhosts(broker) == ["/"]


@pytest.mark.lab  # as above
@pytest.mark.round
def test_a_real_broker_that_restarts_is_waited_for_and_what_was_lost_is_told(tmp_path):
    broker = RealBroker(tmp_path / "own").start()
    load = tmp_path / "scenario.json"
    wanted = load_profile("um-cloud").broker_load
    scenario = {field: getattr(wanted.realistic, field) for field in ("producers", "consumers", "queue", "persistent")}
    scenario |= {"confirm_window": 100, "prefetch": 100, "ack_every": 20, "rate_per_s": 1000.0, "size_bytes": 1024}
    scenario |= {"name": "restart", "warm_up_s": 0.5, "duration_s": 25.0, "settle_s": 40.0}
    load.write_text(json.dumps(scenario))
    environment = {**os.environ, "SEATRIAL_BROKER": f"amqp://guest:guest@127.0.0.1:{broker.port}/"}
    run = subprocess.Popen(
        [sys.executable, "-m", "seatrial.fixtures.load.broker", str(load)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(4)
        broker.stop()
        broker.start()
        out, _ = run.communicate(timeout=150)
    finally:
        run.kill()
        broker.stop()
    assert run.returncode == 0
    figures = json.loads(out)["figures"]
    assert figures["away_s"] > 1
    assert figures["repeated_messages"] > 0
    assert figures["lost_messages"] == 0  # durable and persistent: what was confirmed is there again
    assert figures["unconfirmed_messages"] == figures["unsent_messages"] == 0
    assert figures["end_to_end_max_ms"] > 1000


def reached(kubernetes, **settings):
    configuration = client.Configuration(host=kubernetes.url)
    return RabbitMQAccess(client.ApiClient(configuration), Cloud(**settings))


@pytest.fixture
def kubernetes():
    kubernetes = FakeKubernetes()
    yield kubernetes
    kubernetes.close()


def test_a_port_of_a_pod_is_carried_to_this_machine(kubernetes):
    scripted = ScriptedBroker()
    kubernetes.ports[5672] = scripted.port
    access = reached(put_broker(kubernetes, username="me", password="secret"))
    try:
        with access.endpoint("v") as (endpoint, by):
            assert by == "through the API server's port-forward"
            assert (endpoint.host, endpoint.vhost) == ("127.0.0.1", "v")
            assert (endpoint.user, endpoint.password) == ("me", "secret")
            connections = [opened(endpoint, "test") for _ in range(3)]
            body = bytes(range(256)) * 2000
            for connection in connections:
                connection.method(spec.Basic.Publish(exchange="", routing_key="q"))
                connection.send(content(body, spec.BasicProperties(), connection.frame_max))
                while connection.unsent:
                    connection.flush()
                connection.answer(spec.Basic.Ack)
        assert [kept for kept, _ in scripted.queue] == [body] * 3
        with pytest.raises(Lost):
            opened(endpoint, "test")
    finally:
        scripted.close()


def test_who_cannot_be_reached_is_told_with_what_was_tried(kubernetes):
    with pytest.raises(NotConcerned, match="no RabbitMQ: no pod is labelled application=rabbitmq"):
        reached(kubernetes)
    with pytest.raises(Unavailable, match="rabbitmq-0 is not ready"):
        reached(put_broker(kubernetes, ready="False"))
    access = reached(put_broker(kubernetes))
    with pytest.raises(Unavailable, match=r"no Secret openstack/rabbitmq-admin-user nor .*\[clouds.NAME.rabbitmq\]"):
        access.credentials()
    put_broker(kubernetes, RABBITMQ_ADMIN_USERNAME="admin")
    with pytest.raises(Unavailable, match="has no user and password"):
        access.credentials()
    kubernetes.runs = lambda _pod, _argv: ("", 64)
    with pytest.raises(Unavailable, match="rabbitmqctl list_vhosts: exit status 64"):
        access.vhosts()
    elsewhere = reached(kubernetes, rabbitmq=AccessSettings(secret="other/mine"))
    with pytest.raises(Unavailable, match="Secret other/mine"):
        elsewhere.credentials()


def test_a_vhost_of_somebody_else_stays_whatever_its_name(kubernetes, tmp_path):
    run = "20261121T140000Z-abcd"
    there = {"/": "", f"seatrial-{run}-load": f"seatrial-run {run}", f"seatrial-{run}-mine": "", "seatrial": "x"}

    def runs(_pod, argv):
        if argv[2] == "delete_vhost":
            return ("", 0) if there.pop(argv[3], None) else ("no such vhost", 65)
        table = "".join(f"{name}\t{described}\n" for name, described in there.items())
        return f"name\tdescription\n{table}" if argv[2] == "list_vhosts" else '<<"the-broker">>\n', 0

    kubernetes.runs = runs
    access = reached(put_broker(kubernetes))
    runs_found = found(access, "test")
    assert [str(b) for b in runs_found[run].belongings.values()] == [f"vhost seatrial-{run}-load (seatrial-{run}-load)"]
    ledger = begun(tmp_path / run / "vhosts.jsonl", "test", access.identity())
    ledger.intend("vhost", f"seatrial-{run}-load")
    ledger.intend("vhost", f"seatrial-{run}-never-made")
    assert Vhosts(access, ledger).clear(ledger.contents()) == []
    assert ledger.contents().settled
    ledger.close()
    assert sorted(there) == ["/", "seatrial", f"seatrial-{run}-mine"]


def test_a_vhost_gets_the_policy_that_a_service_has(broker, kubernetes, tmp_path):
    name = "seatrial-20261121T140000Z-abcd-load-rpc"
    kubernetes.runs = executed_on(broker)
    access = reached(put_broker(kubernetes, username="guest", password="guest"))
    ledger = begun(tmp_path / "20261121T140000Z-abcd" / "vhosts.jsonl", "test", access.identity())
    ours = Vhosts(access, ledger)
    ours.make(name)
    ours.rule(name, POLICY)
    told = broker.ctl("list_policies", "-p", name).splitlines()[1].split("\t")
    assert told == [name, "seatrial", r"^(?!(amq\.|reply_)).*", "all", '{"message-ttl":70000}', "0"]
    assert ours.clear(ledger.contents()) == []
    ledger.close()


def test_a_vhost_that_stays_is_told_and_stays_in_the_ledger(kubernetes, tmp_path):
    name = "seatrial-20261121T140000Z-abcd-load"
    kubernetes.runs = lambda _pod, argv: {
        "list_vhosts": (f"name\tdescription\n{name}\tx\n", 0),
        "delete_vhost": ("the node is shutting down", 69),
    }.get(argv[2], ("the-broker", 0))
    access = reached(put_broker(kubernetes))
    ledger = begun(tmp_path / "20261121T140000Z-abcd" / "vhosts.jsonl", "test", access.identity())
    ledger.intend("vhost", name)
    left = Vhosts(access, ledger).clear(ledger.contents())
    assert left == [f"vhost {name}: openstack/rabbitmq-0: rabbitmqctl delete_vhost: the node is shutting down"]
    assert not ledger.contents().settled
    ledger.close()


def test_a_queue_of_another_is_not_used(broker):
    endpoint = Endpoint(host="127.0.0.1", port=broker.port, user="guest", password="guest")
    make(endpoint, "q", "durable")
    with pytest.raises(Lost, match="PRECONDITION_FAILED"):
        make(endpoint, "q", "transient")
    assert held(endpoint, "q") == 0
    take_away(endpoint, "q")
    assert held(endpoint, "q") == 0
    for wrong in ({"password": "x"}, {"vhost": "nowhere"}):
        with pytest.raises(Rejected, match=r"ACCESS_REFUSED|NOT_ALLOWED"):
            opened(
                Endpoint(**{"host": "127.0.0.1", "port": broker.port, "user": "guest", "password": "guest", **wrong}),
                "x",
            )


def came_to(received=1000, blocked_s=0.0, closures=(), milliseconds=5, **fate):
    latencies = Latencies()
    if received:
        latencies.record(milliseconds * 1_000_000, received)
    wanted = load_profile("um-cloud").broker_load
    outcome = Outcome(
        scenario=scenario_of("baseline", wanted.baseline, wanted),
        fate=Fate(**{**NOBODY, "published": 1000, "confirmed": 1000, "received": received, **fate}),
        received_in_window=received * 1000,
        published_in_window=received * 1000,
        cpu_s=1.0,
        blocked_s=blocked_s,
        blocked_by="low on disk" if blocked_s else "",
        away_s=0.0,
        closures=list(closures),
        confirm=latencies.encoded,
        end_to_end=latencies.encoded,
    )
    return BrokerTrial(outcome, wanted.baseline, "at its address").offending


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({}, []),
        ({"received": 100}, ["throughput: 5000 messages/s, 16037 wanted (at its address)"]),
        ({"milliseconds": 24}, ["confirms: p99 24 ms, 23 ms wanted (at its address)"]),
        ({"lost": 3}, ["loss: 3 of 1000 confirmed messages never came, and no connection ended"]),
        ({"lost": 3, "closures": ["it restarted"]}, []),
        ({"duplicated": 3}, ["duplicates: 3 messages came twice, and no connection ended"]),
        ({"unconfirmed": 3, "closures": ["it left"]}, ["unconfirmed: 3 of 1000 messages (it left)"]),
        ({"refused": 3}, ["refused: 3 of 1000 messages"]),
        ({"unroutable": 3}, ["unroutable: 3 of 1000 messages"]),
        ({"unsent": 3}, ["unsent: 3 of 1003 messages"]),
        (
            {"received": 0, "blocked_s": 20.0},
            ["throughput: 0 messages/s, 16037 wanted (at its address)" + HELD_BACK],
        ),
    ],
)  # fmt: skip
def test_what_a_load_came_to_is_judged(outcome, said):
    assert came_to(**outcome) == said


def test_a_load_of_which_nothing_came_is_not_judged():
    with pytest.raises(Unavailable, match=r"no message came through.*it left"):
        came_to(received=0, closures=["it left"])


def test_a_recorded_cloud_carries_no_load(trial):
    options = ["--pyargs", "seatrial.suites", "--bundle", "um-cloud-after", "-m", "performance and rabbitmq", "--allow"]
    run = trial.judge(*options, "load")
    assert {entry["outcome"] for entry in run.verdict["invariants"]} == {"not concerned"}
    assert not (trial.folder / "evidence").exists()
