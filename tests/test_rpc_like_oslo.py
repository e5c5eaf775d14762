"""The load of RPC beside the real oslo.messaging on one broker: what both declare and send, and whether they talk.

`SEATRIAL_OSLO_PYTHON` names another Python whose oslo.messaging is to be compared with, of an older release.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pika
import pytest
from rpc_parties import PATIENCE, Ours, at, scenario

from seatrial.fixtures.load.rpc import envelope
from seatrial.fixtures.load.rpc.run import outcome
from seatrial.fixtures.load.scenario import LEAST_RPC_BYTES

PYTHON = os.environ.get("SEATRIAL_OSLO_PYTHON", sys.executable)
CAPABLE = r'"(authentication_failure_close|connection.blocked|consumer_cancel_notify)",true'
SETTINGS = {
    "defaults": (("transient", "transient"), ()),
    "durable": (("durable", "transient"), ("amqp_durable_queues=true",)),
    "quorum": (("quorum", "quorum"), ("rabbit_quorum_queue=true", "rabbit_transient_quorum_queue=true")),
}


pytestmark = pytest.mark.skipif(
    sys.executable == PYTHON and importlib.util.find_spec("oslo_messaging") is None,
    reason="oslo.messaging is not installed here: pip install 'seatrial[dev]'",
)


@pytest.fixture
def vhost(broker, request):
    name = re.sub(r"\W+", "-", request.node.name)
    broker.ctl("add_vhost", name)
    broker.ctl("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
    yield name
    broker.ctl("delete_vhost", name)


def our_scenario(queue, own):
    return scenario(queue=queue, own_queues=own, callers=1, connections=1, rate_per_s=100)


class Real:
    """A client or server of oslo.messaging."""

    def __init__(self, sort, broker, vhost, *options):
        url = f"rabbit://guest:guest@127.0.0.1:{broker.port}/{vhost}"
        script = Path(__file__).with_name("oslo_party.py")
        self.process = subprocess.Popen(
            [PYTHON, str(script), sort, url, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.told = []
        while not self.told or "ready" not in self.told[-1]:
            line = self.process.stdout.readline()
            assert line, f"oslo.messaging's {sort} ended: {self.process.wait(PATIENCE)}"
            self.told.append(json.loads(line))

    def end(self):
        out, _ = self.process.communicate(timeout=PATIENCE)
        self.told += [json.loads(line) for line in out.splitlines()]
        return self.told


class Tapped:
    """All that is published in a vhost, told by RabbitMQ's own trace."""

    def __init__(self, broker, vhost):
        broker.ctl("trace_on", "-p", vhost)
        parameters = pika.ConnectionParameters("127.0.0.1", broker.port, vhost)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.queue = self.channel.queue_declare("", exclusive=True).method.queue
        self.channel.queue_bind(self.queue, "amq.rabbitmq.trace", "publish.#")

    def heard(self, wanted):
        """Return a message of each sort as soon as there are so many sorts."""
        sorts, deadline = {}, time.monotonic() + PATIENCE
        for method, properties, body in self.channel.consume(self.queue, inactivity_timeout=0.2):
            if method is not None:
                told = properties.headers
                key = (told["exchange_name"], nameless(told["routing_keys"][0]), "_msg_id" in body.decode())
                sorts[key] = (told["properties"], shape(json.loads(body)))
            if len(sorts) == wanted or time.monotonic() > deadline:
                break
        self.connection.close()
        return sorts


def nameless(text):
    return re.sub(r"[0-9a-f]{32}", "ID", text)


def shape(body):
    """Return the names and sorts of what stands in an envelope, in their order."""
    message = json.loads(body["oslo.message"])
    return body["oslo.version"], list(body), [(key, type(value).__name__) for key, value in message.items()]


def declared(broker, vhost):
    """Return what stands in a vhost, but for what is always there and for what listens to the trace."""
    columns = {
        "list_exchanges": ("name", "type", "durable", "auto_delete", "internal", "arguments"),
        "list_queues": ("name", "durable", "auto_delete", "exclusive", "arguments", "type"),
        "list_bindings": ("source_name", "destination_name", "destination_kind", "routing_key", "arguments"),
        "list_consumers": ("queue_name", "ack_required", "prefetch_count", "arguments"),
        "list_connections": ("timeout", "vhost", "client_properties"),
    }
    told = {}
    for what, names in columns.items():
        within = () if what == "list_connections" else ("-p", vhost)
        lines = broker.ctl(what, *within, *names).splitlines()[1:]
        told[what] = sorted(nameless(line) for line in lines if "amq." not in line and "Pika" not in line)
    known = [(line.split("\t")[:2], sorted(re.findall(CAPABLE, line))) for line in told["list_connections"]]
    told["list_connections"] = [each for each in known if each[0][1] == vhost]
    return told


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
@pytest.mark.parametrize("named", SETTINGS)
def test_what_ours_declares_and_sends_is_what_oslo_messaging_declares_and_sends(broker, vhost, named):
    (queue, own), options = SETTINGS[named]
    wanted = our_scenario(queue, own)
    tapped = Tapped(broker, vhost)
    server = Real("server", broker, vhost, *options)
    client = Real("client", broker, vhost, *options)
    theirs = declared(broker, vhost)
    sent = tapped.heard(6)
    client.end()
    server.end()
    broker.ctl("delete_vhost", vhost)
    broker.ctl("add_vhost", vhost)
    broker.ctl("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*")

    tapped = Tapped(broker, vhost)
    parties = [Ours(at(broker, vhost), wanted, consumes=consumes) for consumes in (True, False)]
    ours = declared(broker, vhost)
    for party in parties:
        party.tell(time.monotonic_ns())
    ours_sent = tapped.heard(6)
    parties[1].end()
    parties[0].tell("stop")
    parties[0].end()
    assert len(sent) == 6, sorted(sent)
    assert [len(lines) for lines in theirs.values()] == [3, 4, 7, 4, 4]
    assert ours == theirs
    assert ours_sent == sent


@pytest.mark.parametrize(
    "named",
    ["defaults", pytest.param("quorum", marks=[pytest.mark.lab, pytest.mark.round])],
)
def test_a_real_server_answers_our_clients(broker, vhost, named):
    (queue, own), options = SETTINGS[named]
    server = Real("server", broker, vhost, *options)
    client = Ours(at(broker, vhost), our_scenario(queue, own), consumes=False)
    client.tell(time.monotonic_ns())
    share = client.end()
    served = server.end()[-1]["served"]
    fate = outcome(our_scenario(queue, own), [share], 0).fate
    assert fate.made_calls == fate.answered_calls == 25
    assert fate.unanswered_calls == fate.twice_answered_calls == fate.stray_messages == 0
    assert served == fate.made_calls + fate.made_casts + fate.made_fanouts == 50


@pytest.mark.parametrize(
    "named",
    ["defaults", pytest.param("quorum", marks=[pytest.mark.lab, pytest.mark.round])],
)
def test_our_servers_answer_a_real_client(broker, vhost, named):
    (queue, own), options = SETTINGS[named]
    server = Ours(at(broker, vhost), our_scenario(queue, own), consumes=True)
    client = Real("client", broker, vhost, *options)
    told = client.end()
    ours = server.worker.servers[0]
    deadline = time.monotonic() + PATIENCE
    while ours.received < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    server.tell("stop")
    server.end()
    assert len([line["result"] for line in told if set(line.get("result", "")) == {"x"}]) == 2
    assert (ours.received, ours.strays, ours.replies) == (5, 5, 2)


def test_a_message_is_as_large_as_it_is_wanted():
    for size in (LEAST_RPC_BYTES, 1024, 300_000):
        for kind in (envelope.CALL, envelope.CAST, envelope.FANOUT):
            text = envelope.Identity(2**32 - 1, 2**16 - 1, kind, 2**60).text
            body = envelope.request(kind, "reply_" + "0" * 32, size) % (2**63, *envelope.ids(kind, text))
            assert len(body) == size
            message = envelope.understood(body)
            assert envelope.identified(message.unique_id) == (2**32 - 1, 2**16 - 1, kind, 2**60)
            assert int(message.args.stamp) == 2**63
        assert len(envelope.reply(size) % (text, text)) == size
    assert envelope.understood(b"{}") is envelope.understood(b"x") is envelope.identified("no id") is None
