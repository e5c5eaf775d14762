"""Faults of the network between the nodes, each at one node's own link or in its own routes.

What is broken is a queue, a size or a route: the kernel of a small machine has no netem to delay packets by.
"""

from __future__ import annotations

from seatrial.lab import nodes
from seatrial.lab.fault import fault
from seatrial.lab.topology import Node

_NODE = Node(4)
"""It holds no mon, and neither the registry nor Prometheus has to run there."""
_NEXT = Node(5)
_LINK = "eth0"
_ETHERNET, _SMALLER = 1500, 1400
_SLOW = ("rate", "20mbit", "burst", "64kbit", "latency", "200ms")


def _inside(*argv: str) -> None:
    nodes.run(_NODE.name, argv, timeout=10)


def _take_whole_packets() -> None:
    _inside("ip", "link", "set", _LINK, "mtu", str(_ETHERNET))


@fault("node-with-smaller-mtu", trips="LOAD-13", parts="kubernetes", heal=_take_whole_packets)
def take_smaller_packets() -> None:
    """A node's link takes smaller packets than those that are sent to it, and drops the others without a word."""
    _inside("ip", "link", "set", _LINK, "mtu", str(_SMALLER))


def _send_fast() -> None:
    _inside("sh", "-c", f"tc qdisc del dev {_LINK} root 2>/dev/null; :")


@fault("node-with-slow-link", trips="LOAD-13", parts="kubernetes", heal=_send_fast)
def send_slowly() -> None:
    """A node's link has negotiated a fraction of its rate."""
    _inside("tc", "qdisc", "replace", "dev", _LINK, "root", "tbf", *_SLOW)


def _route_to_the_next() -> None:
    _inside("sh", "-c", f"ip route del blackhole {_NEXT.pod_network} 2>/dev/null; :")
    _inside("ip", "route", "replace", _NEXT.pod_network, "via", _NEXT.address)


@fault("no-route-between-two-nodes", trips="LOAD-13", parts="kubernetes", heal=_route_to_the_next)
def lose_the_route_to_the_next() -> None:
    """The pods of one node do not reach those of another, which everybody else reaches."""
    _inside("ip", "route", "del", _NEXT.pod_network)
    _inside("ip", "route", "add", "blackhole", _NEXT.pod_network)
