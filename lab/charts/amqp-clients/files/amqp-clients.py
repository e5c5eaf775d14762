# ruff: noqa: INP001 - a file of a ConfigMap, of no package
"""Hold one connection to RabbitMQ for each vhost: consume its queues, and send a message to each regularly."""

from __future__ import annotations

import json
import pathlib
import threading
import time

import pika
import pika.exceptions

CONF = json.loads(pathlib.Path("/etc/amqp-clients/amqp-clients.json").read_text(encoding="utf-8"))
READY = pathlib.Path("/tmp/ready")  # noqa: S108 - the pod has a /tmp of its own
connected: set[str] = set()


def mark(vhost: str, *, up: bool) -> None:
    """Note whether the client of `vhost` is connected; the pod is ready while all of them are."""
    (connected.add if up else connected.discard)(vhost)
    if connected == set(CONF["vhosts"]):
        READY.touch()
    else:
        READY.unlink(missing_ok=True)


def serve(vhost: str, password: str, queues: list[str]) -> None:
    """Consume and feed the queues of `vhost` until the connection ends."""
    parameters = pika.ConnectionParameters(
        host=CONF["host"],
        port=CONF["port"],
        virtual_host=vhost,
        credentials=pika.PlainCredentials(vhost, password),
        heartbeat=CONF["heartbeat"],
        socket_timeout=5,
        blocked_connection_timeout=300,
        client_properties={"connection_name": f"amqp-clients:{vhost}"},
    )
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_declare(queue, durable=CONF["durable"])
            channel.basic_consume(queue, lambda *_: None, auto_ack=True)
        mark(vhost, up=True)
        print(f"{vhost}: connected, consuming {', '.join(queues)}\n", end="", flush=True)
        while True:
            for queue in queues:
                channel.basic_publish("", queue, b"{}")
            due = time.monotonic() + CONF["interval"]
            while (left := due - time.monotonic()) > 0:  # it returns with each message that it delivers
                connection.process_data_events(time_limit=left)


def keep_serving(vhost: str, password: str, queues: list[str]) -> None:
    """Serve `vhost`, and connect anew whenever the broker goes away."""
    while True:
        try:
            serve(vhost, password, queues)
        except (pika.exceptions.AMQPError, OSError) as error:
            print(f"{vhost}: {error!r}; connecting again\n", end="", flush=True)
        mark(vhost, up=False)
        time.sleep(2)


READY.unlink(missing_ok=True)
for name, vhost in CONF["vhosts"].items():
    threading.Thread(target=keep_serving, args=(name, vhost["password"], vhost["queues"])).start()
