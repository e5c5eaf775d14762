"""Faults of memcached.

Not broken here: MC-05 (the lab's kernel cannot delay packets), MC-06 (no service of the lab names the servers). Their
breakages change a recorded answer.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from seatrial.lab.containers import Container, running
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.upgrades import restore, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMESPACE = "openstack"
_LABELS = "application=memcached,component=server"
_PATIENCE = 90.0
_POD_NAMES = ["memcached-memcached-0", "memcached-memcached-1"]
_POD = _POD_NAMES[1]

# More than the 64 MiB that the chart gives, over and over; the items end with the fault, or by themselves.
_FLOOD = r"""
exec 3<>/dev/tcp/127.0.0.1/11211
value=$(printf '%0900000d' 0)
for ((round = 0; round < 3000; round++)); do
    printf 'set fault-%d 0 600 900000\r\n%s\r\n' $((round % 200)) "$value" >&3 && read -r _ <&3
    sleep 0.1
done
"""


def _places() -> list[str]:
    """The nodes of the replicas that are ready and stay."""
    pods = get("pods", "--namespace", _NAMESPACE, "--selector", _LABELS)["items"]
    return sorted(
        pod["spec"].get("nodeName", "")
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    )


def _wait_for_places(what: str, *, count: int, among: set[str]) -> None:
    def elsewhere() -> str | None:
        places = _places()
        return None if len(places) == count and set(places) <= among else f"replicas on {' '.join(places) or 'no node'}"

    wait_until(what, elsewhere, timeout=_PATIENCE, interval=1)


def _install_as_it_should_be() -> None:
    if not restore("memcached", _NAMESPACE) and len(set(_places()) & _workers()) < len(_POD_NAMES):
        _move(_POD_NAMES)

    def missing() -> str | None:
        places = _places()
        return None if len(places) == len(set(places) & _workers()) == 2 else f"on {' '.join(places) or 'no node'}"

    wait_until("memcached to be on both of its nodes", missing, timeout=_PATIENCE, interval=1)


@fault("one-memcached", trips="MC-01", parts="memcached", heal=_install_as_it_should_be)
def keep_one_replica() -> None:
    """Memcached has one replica."""
    upgrade("memcached", _NAMESPACE, "pod.replicas.server=1")
    _wait_for_places("one replica to be left", count=1, among=_workers() | _storage())


@contextlib.contextmanager
def _only_on(nodes: set[str]) -> Iterator[None]:
    """Let pods be scheduled on these nodes alone meanwhile."""
    others = _nodes("") - nodes
    kubectl("cordon", *others)
    try:
        yield
    finally:
        kubectl("uncordon", *others)


def _move(pods: list[str]) -> None:
    """Have replicas made anew, wherever the scheduler now puts them."""
    kubectl("-n", _NAMESPACE, "delete", "pod", *pods, timeout=_PATIENCE)


@fault("memcached-on-one-node", trips="MC-02", parts="memcached", heal=_install_as_it_should_be)
def crowd() -> None:
    """Both replicas of memcached are on one node, where they came while there was no other."""
    upgrade("memcached", _NAMESPACE, "pod.affinity.anti.type.default=preferredDuringSchedulingIgnoredDuringExecution")
    _wait_for_places("the replicas to be anew", count=2, among=_workers())
    crowded = min(_workers())
    with _only_on({crowded}):
        _move(_POD_NAMES)
        _wait_for_places(f"both replicas to be on {crowded}", count=2, among={crowded})


@fault("memcached-beside-mons", trips="MC-03", parts="memcached ceph", heal=_install_as_it_should_be)
def move_beside_mons() -> None:
    """The replicas of memcached are on nodes that hold a mon, where they came before those were told apart."""
    storage = _storage()
    with _only_on(storage):
        kubectl("label", "node", *storage, "role-")
        try:
            _move(_POD_NAMES)
            _wait_for_places("both replicas to be beside mons", count=2, among=storage)
        finally:
            kubectl("label", "node", *storage, "role=storage-node", "--overwrite")


def _nodes(selector: str) -> set[str]:
    return {node["metadata"]["name"] for node in get("nodes", "--selector", selector)["items"]}


def _storage() -> set[str]:
    return _nodes("role=storage-node")


def _workers() -> set[str]:
    return _nodes("role!=storage-node")


def _memcached() -> Container:
    return running(_NAMESPACE, f"statefulset.kubernetes.io/pod-name={_POD}", "memcached")


def _thaw() -> None:
    _memcached().signal("CONT")


@fault("hung-memcached", trips="MC-04", parts="memcached", heal=_thaw)
def freeze() -> None:
    """A replica of memcached accepts connections and answers nothing."""
    _memcached().signal("STOP")


def _stop_flooding() -> None:
    script = (
        "[ ! -e /tmp/flood ] || kill -KILL $(cat /tmp/flood) 2>/dev/null; rm -f /tmp/flood;"
        "exec 3<>/dev/tcp/127.0.0.1/11211; printf 'flush_all\\r\\nquit\\r\\n' >&3; cat <&3"
    )
    _in_pod("bash", "-c", script)


@fault("memcached-too-small", trips="MC-07", parts="memcached", heal=_stop_flooding)
def flood() -> None:
    """A replica of memcached throws items out to make room for others."""
    _in_pod("bash", "-c", 'setsid bash -c "$0" >/dev/null 2>&1 </dev/null & echo $! >/tmp/flood', _FLOOD)

    def evicted() -> int:
        script = "exec 3<>/dev/tcp/127.0.0.1/11211; printf 'stats\\r\\nquit\\r\\n' >&3; cat <&3"
        lines = [line.split() for line in _in_pod("bash", "-c", script).splitlines()]
        return next(int(words[2]) for words in lines if words[:2] == ["STAT", "evictions"])

    before = evicted()
    wait_until("items to be evicted", lambda: None if evicted() > before else "none yet", timeout=_PATIENCE)


def _in_pod(*argv: str) -> str:
    return kubectl("-n", _NAMESPACE, "exec", _POD, "-c", "memcached", "--", *argv)
