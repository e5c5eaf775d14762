"""The Helm releases of the lab's cloud: which there are, how they are installed, when they are up.

A part of the lab is one or more releases of the lab's own charts, and a check that the part really serves. Releases
are installed side by side; one whose chart and values are unchanged is left alone, so that a second `lab up` rolls
nothing.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from seatrial.lab import ceph, horizon, ironic, openstack, prometheus, registry
from seatrial.lab.kubectl import get, helm, kubectl
from seatrial.lab.shell import say, step, wait_until
from seatrial.lab.topology import (
    CONTROLLER_MANAGER_PORT,
    ETCD_METRICS_PORT,
    MACHINE_ADDRESS,
    ROOM,
    SCHEDULER_PORT,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CHARTS = ROOM / "charts"
PARTS = ("rabbitmq", "mariadb", "memcached", "ceph", "registry", "openstack", "horizon", "ironic", "prometheus")
"""The last one has time to scrape all others while they are looked at."""
SIZES = ("small", "full")

_CLAIMS_VOLUMES = ("rabbitmq", "mariadb", "glance")
_NEEDS = {"openstack": openstack.NEEDS, "horizon": horizon.NEEDS, "ironic": ironic.NEEDS}

_INSTALL_TIMEOUT = 120.0
"""Seconds for Helm to send one release's objects; it does not wait for pods."""
_READY_TIMEOUT = 480.0
"""Seconds for all pods to be ready, on a machine whose two cores start a hundred of them."""


@dataclass(frozen=True)
class Release:
    """One Helm release of a chart of the same name."""

    name: str
    namespace: str
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """What the release was made from: the chart's files, those of its library, and its values."""
        digest = hashlib.sha256(json.dumps(self.values, sort_keys=True).encode())
        for chart in (CHARTS / self.name, CHARTS / "helm-toolkit"):
            for path in sorted(path for path in chart.rglob("*") if path.is_file()):
                digest.update(path.relative_to(CHARTS).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()[:16]


def install(only: set[str] | None, *, rabbitmq_replicas: int = 1, size: str = "full") -> None:
    """Install the parts in `only` (all if None) and what they need, and return when each of them really serves.

    Raises what `kubectl`, `helm` and `wait_until` raise, naming the release or the workload that is not there.
    """
    parts = _with_needs(only)
    releases = [release for part in parts for release in _releases(part, rabbitmq_replicas, size)]
    if not releases:
        return
    if "ceph" in parts:
        _make_namespace(ceph.NAMESPACE)
        ceph.make_secrets()
    if "openstack" in parts:
        _make_namespace(openstack.NAMESPACE)
        openstack.make_certificate()
    claimants = [release for release in releases if release.name in _CLAIMS_VOLUMES]
    needy = {release.name for part in parts if part in _NEEDS for release in _releases(part, rabbitmq_replicas, size)}
    first = [release for release in releases if release.name not in needy and release not in claimants]
    last = [release for release in releases if release.name in needy and release not in claimants]
    if claimants:
        first.insert(0, Release("local-volumes", "kube-system", {"nodes": _nodes()}))
    with step("installing the releases"), ThreadPoolExecutor(max_workers=4) as pool:
        found = _revisions()
        list(pool.map(lambda release: _bring(release, found), first))
        if claimants:
            # The kubelet is slow to look again for a volume that was not there when it first looked.
            _wait_for_workloads({"local-volumes"})
        # Broker and database stand before those who wait for them.
        list(pool.map(lambda release: _bring(release, found), [*claimants, *last]))
    _wait_for_workloads({release.name for release in releases})
    for part in parts:
        _CHECKS.get(part, lambda: None)()


def _with_needs(only: set[str] | None) -> list[str]:
    """Return the parts to install, in the order of PARTS."""
    wanted = set(PARTS) if only is None else only | {need for part in only for need in _NEEDS.get(part, ())}
    return [part for part in PARTS if part in wanted]


def _releases(part: str, rabbitmq_replicas: int, size: str) -> list[Release]:
    if part == "rabbitmq":
        replicas = {"pod": {"replicas": {"server": rabbitmq_replicas}}}
        return [Release("rabbitmq", "openstack", replicas), Release("amqp-clients", "openstack")]
    if part == "openstack":
        count = len(_nodes())
        return [
            Release(
                chart,
                openstack.NAMESPACE,
                openstack.values(chart, size=size, rabbitmq_replicas=rabbitmq_replicas, node_count=count),
            )
            for chart in openstack.CHARTS
        ]
    if part == "ceph":
        return [Release("rook-ceph-cluster", ceph.NAMESPACE), Release("rook-ceph", ceph.NAMESPACE)]
    if part == "prometheus":
        return [Release("prometheus", "monitoring", {"controlPlane": _control_plane()})]
    if part == "registry":
        return [Release("registry", "kube-system", registry.values())]
    given = {"horizon": horizon.values(size=size), "ironic": ironic.values(rabbitmq_replicas=rabbitmq_replicas)}
    return [Release(part, "openstack", given.get(part, {}))]


def _revisions() -> dict[tuple[str, str], dict[str, str]]:
    """Return Helm's last revision of every release, by namespace and name."""
    listed = json.loads(helm("list", "--all-namespaces", "--all", "--output", "json", timeout=30))
    return {(release["namespace"], release["name"]): release for release in listed}


def _bring(release: Release, found: dict[tuple[str, str], dict[str, str]]) -> None:
    """Make the release what the lab wants it to be, whatever state an earlier run has left it in."""
    last = found.get((release.namespace, release.name))
    where = ("--namespace", release.namespace)
    if last and last["status"] == "deployed":
        shown = json.loads(helm("status", release.name, *where, "--output", "json", timeout=30))
        if shown["info"]["description"] == release.fingerprint:
            return
    if last and last["status"].startswith("pending"):
        # Helm refuses to upgrade what an interrupted run has left half done.
        undo = ("uninstall", release.name) if last["revision"] == "1" else ("rollback", release.name)
        helm(*undo, *where, timeout=_INSTALL_TIMEOUT)
    say(f"release {release.name}: installing")
    helm(
        *("upgrade", "--install", release.name, CHARTS / release.name, *where, "--create-namespace"),
        # The API server checks what it is given; that Helm asks it for its schema first costs a second a release.
        "--disable-openapi-validation",
        # Without a value of its own a release would keep those of the revision before.
        *("--description", release.fingerprint, "--reset-values", "--values", "-"),
        stdin=yaml.safe_dump(release.values),
        timeout=_INSTALL_TIMEOUT,
    )


def _make_namespace(name: str) -> None:
    if not kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name", timeout=30):
        kubectl("create", "namespace", name, timeout=30)


def _nodes() -> list[str]:
    return sorted(node["metadata"]["name"] for node in get("nodes")["items"])


def _control_plane() -> dict[str, Any]:
    """Return where the processes outside pods serve their metrics; the API server is found by its own Service."""

    def job(scheme: str, port: int) -> dict[str, Any]:
        return {"scheme": scheme, "targets": [f"{MACHINE_ADDRESS}:{port}"]}

    return {
        "etcd": job("http", ETCD_METRICS_PORT),
        "kube-controller-manager": job("https", CONTROLLER_MANAGER_PORT),
        "kube-scheduler": job("https", SCHEDULER_PORT),
    }


def _wait_for_workloads(releases: set[str]) -> None:
    """Return once every Deployment, StatefulSet and DaemonSet of these releases has all its pods ready."""

    def late() -> str | None:
        listed = get("deployments,statefulsets,daemonsets", "--all-namespaces")
        return (
            ", ".join(
                described
                for workload in listed["items"]
                if (workload["metadata"].get("annotations") or {}).get("meta.helm.sh/release-name") in releases
                if (described := _lateness(workload))
            )
            or None
        )

    # Each look costs a quarter of a second of a core, which the pods are short of.
    wait_until("pods to be ready", late, timeout=_READY_TIMEOUT, interval=3)


def _lateness(workload: dict[str, Any]) -> str:
    """Return what of a workload is not ready yet, or nothing."""
    status = workload["status"]
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        ready, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)
    else:
        wanted = workload["spec"]["replicas"]
        ready, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    observed = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
    if observed and wanted <= min(ready, updated):
        return ""
    return f"{workload['metadata']['name']} {ready}/{wanted}"


def _check_rabbitmq() -> None:
    """Return once all replicas are in one cluster; members that were scaled away are forgotten."""
    wanted = get("statefulset", "rabbitmq-rabbitmq", "--namespace", "openstack")["spec"]["replicas"]
    in_pod = ("--namespace", "openstack", "exec", "rabbitmq-rabbitmq-0", "--container", "rabbitmq", "--")

    def missing() -> str | None:
        status = json.loads(kubectl(*in_pod, "rabbitmqctl", "cluster_status", "--formatter=json", timeout=60))
        running, members = set(status["running_nodes"]), set(status["disk_nodes"])
        if len(running) == wanted:
            for gone in members - running:
                kubectl(*in_pod, "rabbitmqctl", "forget_cluster_node", gone, timeout=60)
            return None
        return f"{len(running)} of {wanted} members run"

    wait_until("RabbitMQ to be one cluster", missing, timeout=120, interval=2)


def _check_ceph() -> None:
    ceph.configure()
    ceph.wait_for_health()


def _check_mariadb() -> None:
    """Return once all members are in one primary component."""
    query = "show status where variable_name in ('wsrep_cluster_size', 'wsrep_local_state_comment')"
    argv = ["mysql", "--defaults-file=/etc/mysql/admin_user.cnf", "--host=localhost", "-Nse", query]

    def missing() -> str | None:
        answer = kubectl("-n", "openstack", "exec", "mariadb-server-0", "-c", "mariadb", "--", *argv, timeout=30)
        status = dict(line.split("\t") for line in answer.splitlines())
        synced = {"wsrep_cluster_size": "3", "wsrep_local_state_comment": "Synced"}
        return None if status == synced else ", ".join(f"{name} {value}" for name, value in status.items())

    wait_until("Galera to have three members", missing, timeout=120)


_CHECKS: dict[str, Callable[[], None]] = {
    "rabbitmq": _check_rabbitmq,
    "ceph": _check_ceph,
    "mariadb": _check_mariadb,
    "prometheus": prometheus.wait_until_told,
    "openstack": openstack.check,
    "horizon": horizon.check,
    "ironic": ironic.check,
}
