"""A connection to RabbitMQ from an address that no pod and no node of the cluster has."""

from __future__ import annotations

import re

from seatrial.lab import nodes
from seatrial.lab.fault import fault
from seatrial.lab.faults.rabbitmq_broker import NAMESPACE, wait_for
from seatrial.lab.kubectl import get

_NODE = "lab-5"
_ADDRESS = "10.240.0.250"
"""On the nodes' network, beyond the addresses that nodes have."""
_PID = "/run/seatrial-stranger.pid"

# AMQP 0-9-1 by hand, since the node has no client library: the handshake, then a heartbeat whenever it is quiet.
_CLIENT = """
import os, socket, struct, sys
host, source, secret, pid = sys.argv[1:]
open(pid, "w").write(str(os.getpid()))
connection = socket.create_connection((host, 5672), timeout=10, source_address=(source, 0))
def read(size):
    body = b""
    while len(body) < size:
        piece = connection.recv(size - len(body))
        if not piece: raise SystemExit("closed")
        body += piece
    return body
def method():
    while True:
        kind, _, size = struct.unpack(">BHI", read(7))
        body = read(size + 1)
        if kind == 1: return body
def say(name, arguments):
    body = struct.pack(">HH", *name) + arguments
    connection.sendall(struct.pack(">BHI", 1, 0, len(body)) + body + bytes([206]))
def short(text): return bytes([len(text)]) + text
def long(text): return struct.pack(">I", len(text)) + text
connection.sendall(b"AMQP" + bytes([0, 0, 9, 1])); method()
say((10, 11), long(b"") + short(b"PLAIN") + long(bytes(1) + b"nova" + bytes(1) + secret.encode()) + short(b"en_US"))
channels, frame, _ = struct.unpack(">HIH", method()[4:12])
say((10, 31), struct.pack(">HIH", channels, frame, 60))
say((10, 40), short(b"nova") + short(b"") + bytes(1)); method()
connection.settimeout(10)
while True:
    try:
        if not connection.recv(65536): break
    except TimeoutError: pass
    connection.sendall(bytes([8, 0, 0, 0, 0, 0, 0, 206]))
"""


def _no_stranger() -> None:
    script = f"""
      if [ -e {_PID} ] && grep -q {_ADDRESS} "/proc/$(cat {_PID})/cmdline" 2>/dev/null; then kill "$(cat {_PID})"; fi
      rm -f {_PID}
      ip address del {_ADDRESS}/32 dev "{_device()}" 2>/dev/null || true"""
    nodes.run(_NODE, ["sh", "-c", script])
    wait_for("the stranger's connection to end", f"{_connections()} =:= []")


@fault("rabbitmq-stale-connection", trips="RMQ-14", parts="rabbitmq", heal=_no_stranger)
def stranger() -> None:
    """RabbitMQ holds a connection to an address that nobody in the cluster has."""
    _no_stranger()
    broker = get("pod", "rabbitmq-rabbitmq-0", "-n", NAMESPACE)["status"]["podIP"]
    nodes.run(_NODE, ["ip", "address", "replace", f"{_ADDRESS}/32", "dev", _device()])
    script = 'setsid python3 -c "$0" "$@" >/dev/null 2>&1 </dev/null &'
    nodes.run(_NODE, ["sh", "-c", script, _CLIENT, broker, _ADDRESS, "password", _PID])
    wait_for("the stranger to be connected", f"{_connections()} =/= []")


def _device() -> str:
    """Return the name of the node's link to the others."""
    found = re.search(r"dev (\S+)", nodes.run(_NODE, ["ip", "route", "get", "10.240.0.1"]))
    return found[1] if found else "eth0"


def _connections() -> str:
    words = ",".join(_ADDRESS.split("."))
    mapped = "0,0,0,0,0,16#ffff,16#{:02x}{:02x},16#{:02x}{:02x}".format(*map(int, _ADDRESS.split(".")))
    return (
        "[x || {_, Known} <- ets:tab2list(connection_created), "
        f"lists:member(proplists:get_value(peer_host, Known), [{{{words}}}, {{{mapped}}}])]"
    )
