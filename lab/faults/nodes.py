"""Faults of the nodes.

Not broken here, since all nodes share one machine: NODE-03 and NODE-04 (its kernel has no ZFS), NODE-08 (one set of
Kubernetes' binaries), NODE-10 (one clock). Their breakages change a recorded answer.
"""

from __future__ import annotations

import json
from typing import Any

from seatrial.lab import nodes
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.shell import LabError
from seatrial.lab.topology import SERVICE_NETWORK

_NODE = "lab-4"
"""It holds no mon, and neither the registry nor Prometheus has to run there."""
_MONS_NODE = "lab-2"
_PATIENCE = 90.0
_BUSY = 600
_LOADED = 130.0
"""Above what the profile `lab` allows for two cores."""
_RELAXED = 60.0
_SILENT_S = 12

# Each child of vfork() keeps its parent in an uninterruptible sleep, as a hung disk would: a load that costs no CPU.
_LOAD = f"""
import ctypes, os, time
libc = ctypes.CDLL(None)
for _ in range({_BUSY}):
    if os.fork() == 0:
        if libc.vfork() == 0:
            time.sleep(600)
        os._exit(0)
time.sleep(600)
"""
_ZFS = "printf zfs >/proc/$$/comm; while :; do :; done"


def start(name: str, *argv: str) -> None:
    """Start a process on the node that outlives this command; `name` finds it again."""
    script = f'exec setsid env SEATRIAL_FAULT={name} "$@" >/dev/null 2>&1 </dev/null & :'
    nodes.run(_NODE, ["sh", "-c", script, "sh", *argv], timeout=10)


def end(name: str) -> None:
    """End what was started under this name, and all that came of it."""
    script = f"""for process in /proc/[0-9]*; do
        if tr '\\0' '\\n' <$process/environ 2>/dev/null | grep -qx SEATRIAL_FAULT={name}; then
            kill -KILL ${{process#/proc/}} 2>/dev/null
        fi
    done; :"""
    nodes.run(_NODE, ["sh", "-c", script], timeout=60)


def _patch_network_condition(condition: dict[str, Any]) -> None:
    patch = json.dumps({"status": {"conditions": [{"type": "NetworkUnavailable", **condition}]}})
    kubectl("patch", "node", _NODE, "--subresource=status", "--type=strategic", "--patch", patch)


def _report_a_network() -> None:
    _patch_network_condition({"$patch": "delete"})


@fault("node-without-network", trips="NODE-01", parts="kubernetes", heal=_report_a_network)
def report_no_network() -> None:
    """A node's network plugin reports that it has no network."""
    said = {"reason": "CalicoIsDown", "message": "Calico is shutting down on this node"}
    _patch_network_condition({"status": "True", **said})


def _uncordon() -> None:
    kubectl("uncordon", _MONS_NODE)


@fault("cordoned-node", trips="NODE-02", parts="ceph", heal=_uncordon)
def cordon() -> None:
    """A node with a mon was cordoned and forgotten."""
    kubectl("cordon", _MONS_NODE)


def _end_the_load() -> None:
    end("load")
    wait_until("the load to fall", lambda: _above(_RELAXED), timeout=180, interval=2)


@fault("overloaded-node", trips="NODE-05", parts="kubernetes", heal=_end_the_load)
def load() -> None:
    """A node has far more to do than it has cores."""
    start("load", "python3", "-c", _LOAD)
    wait_until("the load to rise", lambda: None if _above(_LOADED) else f"{_load():.1f}", timeout=_PATIENCE, interval=1)


def _load() -> float:
    return float(nodes.run(_NODE, ["cat", "/proc/loadavg"], timeout=10).split()[0])


def _above(most: float) -> str | None:
    now = _load()
    return f"load {now:.1f}" if now > most else None


def _end_zfs() -> None:
    end("zfs")


@fault("zfs-list-in-a-loop", trips="NODE-09", parts="ceph", heal=_end_zfs)
def burn_a_core() -> None:
    """A process called zfs burns a core of a node."""
    start("zfs", "sh", "-c", _ZFS)


def _thaw_the_runtime() -> None:
    _signal_containerd("CONT")

    def missing() -> str | None:
        ready = {c["type"]: c["status"] for c in get("node", _NODE)["status"]["conditions"]}["Ready"]
        pods = get("pods", "--all-namespaces", "--field-selector", f"spec.nodeName={_NODE},status.phase=Running")
        late = [pod["metadata"]["name"] for pod in pods["items"] if not _serves(pod)]
        return None if ready == "True" and not late else f"Ready is {ready}, pods not ready: {' '.join(late) or 'none'}"

    wait_until(f"{_NODE} to be Ready", missing, timeout=_PATIENCE, interval=1)


def _serves(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


@fault("hung-runtime", trips="NODE-06", parts="kubernetes", heal=_thaw_the_runtime)
def freeze_the_runtime() -> None:
    """A node's container runtime hangs."""
    _signal_containerd("STOP")

    def answers() -> str | None:
        # The kubelet gathers its metrics from the runtime, and hangs with it.
        try:
            kubectl("get", "--raw", f"/api/v1/nodes/{_NODE}/proxy/metrics", timeout=_SILENT_S)
        except LabError:
            return None
        return "it still answers"

    wait_until("the kubelet to miss its runtime", answers, timeout=_PATIENCE, interval=1)


def _signal_containerd(signal: str) -> None:
    script = """for process in /proc/[0-9]*; do
        read -r name 2>/dev/null <$process/comm
        [ "$name" != containerd ] || kill -s "$1" ${process#/proc/}
    done"""
    nodes.run(_NODE, ["sh", "-c", script, "sh", signal], timeout=10)


def _route_to_services() -> None:
    nodes.run(_NODE, ["sh", "-c", f"ip route del unreachable {SERVICE_NETWORK} 2>/dev/null; :"], timeout=10)
    nodes.run(_NODE, ["ip", "route", "replace", SERVICE_NETWORK, "dev", "eth0", "scope", "link"], timeout=10)


@fault("no-route-to-services", trips="NODE-07", parts="ceph", heal=_route_to_services)
def lose_the_route() -> None:
    """A node has no route to the ClusterIPs: EHOSTUNREACH."""
    nodes.run(_NODE, ["sh", "-c", f"ip route del {SERVICE_NETWORK} dev eth0 2>/dev/null; :"], timeout=10)
    nodes.run(_NODE, ["ip", "route", "replace", "unreachable", SERVICE_NETWORK], timeout=10)
