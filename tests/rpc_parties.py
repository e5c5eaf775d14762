"""Clients and servers of the load of RPC in this process, and what spoils their talk."""

from __future__ import annotations

import os
import threading
import time
from typing import ClassVar

import pika

from seatrial.fixtures.load.rpc.run import outcome
from seatrial.fixtures.load.rpc.worker import RpcWorker
from seatrial.fixtures.load.scenario import Endpoint, Rpc, Scenario
from seatrial.fixtures.load.worker import READY, Task

NAME = "load-rpc"
RUN = 7
PATIENCE = 60

RPC = {
    "callers": 2,
    "connections": 2,
    "cast_share": 0.3,
    "fanout_share": 0.2,
    "own_queues": "transient",
    "expires_s": 1800,
    "timeout_s": 60.0,
    "heartbeat_s": 60,
}
PLAIN = {
    "name": "rpc",
    "producers": 1,
    "consumers": 1,
    "queue": "transient",
    "persistent": True,
    "size_bytes": 1024,
    "confirm_window": 1,
    "rate_per_s": 0,
    "prefetch": 0,
    "ack_every": 1,
    "warm_up_s": 0,
    "duration_s": 0.5,
    "settle_s": 10,
}


def scenario(**changes):
    assert not changes.keys() - RPC.keys() - PLAIN.keys()
    rpc = Rpc(**{key: changes.get(key, value) for key, value in RPC.items()})
    return Scenario(**{key: changes.get(key, value) for key, value in PLAIN.items()}, rpc=rpc).check()


def at(broker, vhost="/"):
    return Endpoint(host="127.0.0.1", port=broker.port, user="guest", password="guest", vhost=vhost)


class Ours(threading.Thread):
    """Clients or servers in a thread, told by a pipe as they are by their parent."""

    running: ClassVar[list] = []

    def __init__(self, endpoint, wanted, *, consumes):
        super().__init__(daemon=True)
        self.ears, self.mouth = os.pipe()
        self.ready, self.share = threading.Event(), None
        numbers = list(range(wanted.consumers if consumes else wanted.producers))
        task = Task(endpoint=endpoint, scenario=wanted, queue=NAME, run=RUN, numbers=numbers, consumes=consumes)
        self.worker = RpcWorker(task, self.ears, lambda kind, _: self.ready.set() if kind == READY else None)
        self.start()
        self.running.append(self)
        assert self.ready.wait(PATIENCE)
        assert self.share is None, self.share.failed

    def drop(self):
        """End it whatever it is at, as its parent's end would."""
        self.running.remove(self)
        os.close(self.mouth)
        self.join(PATIENCE)
        os.close(self.ears)

    def run(self):
        self.share = self.worker.run()
        self.ready.set()

    def tell(self, word):
        os.write(self.mouth, f"{word}\n".encode())

    def end(self):
        self.running.remove(self)
        self.join(PATIENCE)
        os.close(self.mouth)
        os.close(self.ears)
        assert self.share is not None, "the worker did not end"
        return self.share


def talk(endpoint, wanted, spoil=lambda: None, *, left=0, more=lambda: 0):
    """Let clients and servers talk, `spoil` them meanwhile, and wait until all came and what the spoiler made `more`.

    Without the latter, servers were told to stop when the last copy of a message was still on its way to one.
    """
    servers, clients = (Ours(endpoint, wanted, consumes=consumes) for consumes in (True, False))
    start = time.monotonic_ns()
    for each in (servers, clients):
        each.tell(start)
    spoil()
    asked = clients.end()
    deadline = time.monotonic() + PATIENCE / 4
    while (
        sum(server.received for server in servers.worker.servers) < asked.expected + more()
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    servers.tell("stop")
    return outcome(wanted, [asked, servers.end()], left)


def on_a_channel(endpoint, does):
    """Return what somebody else does at the broker."""
    with pika.BlockingConnection(pika.ConnectionParameters(endpoint.host, endpoint.port, endpoint.vhost)) as connection:
        return does(connection.channel())


class Meddler(threading.Thread):
    """Somebody else who consumes a queue and `does` something with each message."""

    def __init__(self, endpoint, queue, does):
        super().__init__(daemon=True)
        parameters = pika.ConnectionParameters(endpoint.host, endpoint.port, endpoint.vhost)
        self.connection = pika.BlockingConnection(parameters)
        self.channel = self.connection.channel()
        self.queue, self.does, self.met = queue, does, 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        for method, properties, body in self.channel.consume(self.queue, inactivity_timeout=0.05):
            if self.ended.is_set():
                break
            if method is not None:
                self.channel.basic_ack(method.delivery_tag)
                self.met += 1  # before a copy can have come: who waits for all copies asks in between
                self.does(self.channel, properties, body)
        self.connection.close()

    def end(self):
        self.ended.set()
        self.join(PATIENCE)
