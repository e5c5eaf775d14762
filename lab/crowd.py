"""Many nodes that no machine stands behind, and pods on them: KWOK says that they run.

Their taint keeps everybody else's pods off them, and their pods' selector keeps these off everybody else's nodes.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from multiprocessing.pool import ThreadPool
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.lab import binaries
from seatrial.lab.loopback import LOADER, READER, Loopback
from seatrial.lab.shell import LabError, step, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL = {"type": "kwok"}
"""What KWOK, and pods that want such a node, tell them by."""

TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}

IMAGES = 30
"""Images that a node says it has, and of which each Deployment takes one."""

NAMESPACE = "openstack"
REPLICAS = 30

_AT_ONCE = 8
_ROLES = (
    {"application": "rabbitmq", "component": "server"},
    {"application": "mariadb", "component": "server"},
    {"application": "memcached", "component": "server"},
    {"application": "horizon", "component": "server"},
    {"application": "nova", "component": "os-api"},
    {"application": "nova", "component": "compute"},
    {"application": "neutron", "component": "server"},
    {"application": "keystone", "component": "api"},
    {"app": "rook-ceph-tools"},
    {"app": "csi-rbdplugin"},
)
"""Labels by which claims find the pods of services: there is nobody in these who could answer."""


class _Part(msgspec.Struct):
    status: dict[str, Any] = {}
    spec: dict[str, Any] = {}


class _Page(msgspec.Struct):
    items: list[_Part]
    metadata: dict[str, Any] = {}


def run_in(argv: Sequence[str], nodes: int, deployments: int, folder: str | None, *, load: bool) -> int:
    """Run a command, its KUBECONFIG that of a control plane with many nodes, and return its exit status."""
    binaries.provide((*(b for b in binaries.BUILDS if b.name in {"etcd", "kubernetes"}), binaries.MANY_NODES))
    with ExitStack() as stack:
        kept = Path(folder) if folder else Path(stack.enter_context(TemporaryDirectory(prefix="seatrial-crowd-")))
        if kept.exists() and any(kept.iterdir()):
            raise LabError(f"--folder {kept}: it is not empty")
        control_plane = stack.enter_context(Loopback(kept))
        join(control_plane, 1, nodes)
        if deployments:
            deploy(control_plane, 1, deployments)
        environment = {**os.environ, "KUBECONFIG": str(control_plane.kubeconfig(LOADER if load else READER))}
        try:
            return subprocess.run(argv, env=environment, check=False).returncode
        except FileNotFoundError:
            raise LabError(f"`{argv[0]}` is not installed") from None


def join(control_plane: Loopback, first: int, last: int) -> None:
    """Join the nodes of these numbers, and wait until they are ready."""
    with step(f"joining {last - first + 1} nodes"):
        with ThreadPool(_AT_ONCE) as pool:
            pool.map(lambda number: control_plane.send("POST", "/api/v1/nodes", _node(number)), range(first, last + 1))
        wait_until("nodes", lambda: _missing(control_plane, "nodes", last), timeout=300, interval=1)


def deploy(control_plane: Loopback, first: int, last: int, replicas: int = REPLICAS) -> None:
    """Make the Deployments of these numbers, and wait until their pods are ready."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    with step(f"starting {(last - first + 1) * replicas} pods"):
        if first == 1:
            control_plane.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        with ThreadPool(_AT_ONCE) as pool:
            pool.map(
                lambda number: control_plane.send("POST", path, _deployment(number, replicas)), range(first, last + 1)
            )
        wait_until("pods", lambda: _missing(control_plane, "pods", last * replicas), timeout=900, interval=2)


def _missing(control_plane: Loopback, kind: str, wanted: int) -> str | None:
    ready, token = 0, ""
    while True:
        said = control_plane.send("GET", f"/api/v1/{kind}?limit=500&continue={token}")
        page = msgspec.json.decode(said, type=_Page)
        ready += sum(_ready(item) for item in page.items)
        token = page.metadata.get("continue") or ""
        if not token:
            return None if ready >= wanted else f"{ready} of {wanted} {kind} are ready"


def _ready(item: _Part) -> bool:
    if any(taint["key"] == "node.kubernetes.io/not-ready" for taint in item.spec.get("taints") or []):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in item.status.get("conditions") or [])


def _node(number: int) -> dict[str, Any]:
    name = f"kwok-{number:04}"
    size = {"cpu": "64", "memory": "512Gi", "pods": "250"}
    return {
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {
                **LABEL,
                "kubernetes.io/hostname": name,
                "openstack-compute-node": "enabled",
                "openvswitch": "enabled",
                "topology.kubernetes.io/zone": f"az{number % 3 + 1}",
            },
        },
        "spec": {"taints": [TAINT]},
        "status": {
            "addresses": [
                # On loopback, where nobody listens: what would ask a kubelet does not leave the machine.
                {"type": "InternalIP", "address": f"127.1.{number // 250}.{number % 250 + 1}"},
                {"type": "Hostname", "address": name},
            ],
            "allocatable": size,
            "capacity": size,
            "nodeInfo": {
                "architecture": "amd64", "bootID": "", "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12.0", "kubeProxyVersion": "", "kubeletVersion": "v1.35.4", "machineID": "",
                "operatingSystem": "linux", "osImage": "", "systemUUID": "",
            },
            "images": [{"names": [_image(n)], "sizeBytes": 500_000_000 + n} for n in range(IMAGES)],
        },
    }  # fmt: skip


def _image(number: int) -> str:
    # A registry on loopback, where nobody listens: what would ask for manifests does not leave the machine either.
    return f"127.0.0.1:9/airshipit/image-{number:02}:2026.2"


def _deployment(number: int, replicas: int) -> dict[str, Any]:
    labels = dict(_ROLES[number % len(_ROLES)]) if number <= len(_ROLES) else {"application": f"app-{number:03}"}
    labels |= {"release_group": f"crowd-{number:03}"}
    environment = [{"name": f"OPTION_{n}", "value": "x" * 40} for n in range(8)]
    requests = {"cpu": "100m", "memory": "256Mi"}
    return {
        "metadata": {"name": f"app-{number:03}", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": LABEL,
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [
                        {
                            "name": "main", "image": _image(number % IMAGES), "env": environment,
                            "resources": {"requests": requests, "limits": requests},
                        }
                    ],
                },
            },
        },
    }  # fmt: skip
