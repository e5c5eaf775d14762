"""How faults reach RabbitMQ: rabbitmqctl in its pod, and clients of their own in the pod of the lab's clients."""

from __future__ import annotations

import json
from dataclasses import dataclass

from seatrial.lab.kubectl import kubectl
from seatrial.lab.shell import wait_until

NAMESPACE = "openstack"
POD = "pod/rabbitmq-rabbitmq-0"

# What a client does: declare a queue, publish to it, perhaps consume it without acknowledging, and stay or go.
_CLIENT = """
import json, sys, pika
name, heartbeat, durable, messages, consume, stay = json.loads(sys.argv[1])
conf = json.load(open("/etc/amqp-clients/amqp-clients.json"))
connection = pika.BlockingConnection(pika.ConnectionParameters(
    host=conf["host"], port=conf["port"], virtual_host="nova", heartbeat=heartbeat,
    credentials=pika.PlainCredentials("nova", conf["vhosts"]["nova"]["password"]),
    client_properties={"connection_name": name}))
channel = connection.channel()
if durable or messages:
    channel.queue_declare(name, durable=durable)
if consume:
    channel.basic_consume(name, lambda *_: None, auto_ack=False)
for _ in range(messages):
    channel.basic_publish("", name, b"{}")
while stay:
    connection.process_data_events(time_limit=5)
connection.close()
"""


def in_pod(pod: str, *argv: str, timeout: float = 30) -> str:
    """Run a command in a pod of the cloud and return what it prints; `timeout` is in seconds."""
    return kubectl("-n", NAMESPACE, "exec", pod, "--", *argv, timeout=timeout)


def ctl(*argv: str) -> str:
    """Run rabbitmqctl in RabbitMQ's pod and return what it prints."""
    return in_pod(POD, "rabbitmqctl", "--quiet", *argv, timeout=60)


def evaluate(expression: str) -> str:
    """Return the value of an Erlang expression in RabbitMQ's node, as Erlang prints it."""
    return ctl("eval", f"{expression}.").strip()


def wait_for(describe: str, expression: str, *, timeout: float = 60) -> None:
    """Wait until an Erlang expression is true; `timeout` is in seconds."""

    def missing() -> str | None:
        said = evaluate(expression)
        return None if said == "true" else f"it says {said}"

    wait_until(describe, missing, timeout=timeout)


@dataclass(frozen=True)
class Clients:
    """Clients that a fault adds to those of the lab; each has a name, which is its connection's and its queue's."""

    pod: str

    def run(self, name: str, *, durable: bool = False, messages: int = 0) -> None:
        """Declare the queue, publish to it and go."""
        in_pod(self.pod, "python3", "-c", _CLIENT, _arguments(name, durable=durable, messages=messages))

    def start(self, name: str, *, heartbeat: int = 60, messages: int = 0, consume: bool = False) -> None:
        """Connect and stay, and return when RabbitMQ knows the connection; harmless where it stays already."""
        self.end(name)
        arguments = _arguments(name, heartbeat=heartbeat, messages=messages, consume=consume, stay=True)
        script = 'setsid python3 -c "$0" "$1" >/tmp/$2.log 2>&1 & echo $! > /tmp/$2.pid'
        in_pod(self.pod, "sh", "-c", script, _CLIENT, arguments, name)
        wait_for(f"{name} to be connected", f"{_named(name)} =/= []")

    def end(self, name: str) -> None:
        """End a client that stays, and return when RabbitMQ has forgotten it."""
        script = 'if [ -e /tmp/$0.pid ]; then kill "$(cat /tmp/$0.pid)" 2>/dev/null; rm -f /tmp/$0.pid; fi'
        in_pod(self.pod, "sh", "-c", script, name)
        wait_for(f"{name} to be gone", f"{_named(name)} =:= []")


CLIENTS = Clients("deployment/amqp-clients")


def _named(name: str) -> str:
    """Return the Erlang expression for the connections of that name."""
    return (
        "[x || {_, Known} <- ets:tab2list(connection_created), "
        f'{{_, _, <<"{name}">>}} <- proplists:get_value(client_properties, Known, [])]'
    )


def _arguments(
    name: str,
    *,
    heartbeat: int = 60,
    durable: bool = False,
    messages: int = 0,
    consume: bool = False,
    stay: bool = False,
) -> str:
    return json.dumps([name, heartbeat, durable, messages, consume, stay])
