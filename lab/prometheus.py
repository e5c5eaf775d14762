"""The lab's Prometheus: when it tells all there is to tell, and how it forgets."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from seatrial.lab.kubectl import get, kubectl, wait_until

NAMESPACE = "monitoring"
_SELECTOR = "app.kubernetes.io/name=prometheus,app.kubernetes.io/component=server"
_API = f"/api/v1/namespaces/{NAMESPACE}/services/prometheus-server:80/proxy/api/v1"
_PATIENCE = 180.0

# What is derived from two scrapes of the API server, at a moment that a range's steps meet.
_TELLING = "(sum(increase(apiserver_request_total[5m])))[10m:60s]"
# What is derived from two scrapes of etcd.
_TELLING_OF_ETCD = "increase(etcd_disk_wal_fsync_duration_seconds_count[5m])"


def ask(path: str) -> Any:
    """Return what Prometheus answers."""
    return json.loads(kubectl("get", "--raw", f"{_API}/{path}", timeout=30))["data"]


def wait_for_restart() -> None:
    """Wait until the newest Prometheus serves and no older one does."""

    def late() -> str | None:
        deployment = get("deployment", "prometheus-server", "--namespace", NAMESPACE)
        status = deployment["status"]
        if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
            return "not yet seen"
        pods = get("pods", "--namespace", NAMESPACE, "--selector", _SELECTOR)["items"]
        ready = status.get("readyReplicas", 0) and status.get("updatedReplicas", 0)
        return None if ready and len(pods) == 1 else f"{len(pods)} pods, {status.get('readyReplicas', 0)} ready"

    wait_until("Prometheus to restart", late, timeout=_PATIENCE)


def wait_until_told(*, down: int = 0, blind: bool = False) -> None:
    """Wait until Prometheus has scraped everything: `down` targets in vain, and `blind` no API server."""

    def missing() -> str | None:
        targets = ask("targets?state=active")["activeTargets"]
        jobs = {target["labels"]["job"] for target in targets}
        expected = {"coredns", "etcd"} | (set() if blind else {"kubernetes-apiservers"})
        late = [target["scrapeUrl"] for target in targets if target["health"] != "up"]
        if len(late) != down or not expected <= jobs:
            return f"{len(targets)} targets, not up: {' '.join(sorted(late)) or 'none'}"
        told = ask(f"query?query={quote(_TELLING)}")["result"]
        etcd_told = ask(f"query?query={quote(_TELLING_OF_ETCD)}")["result"]
        return None if bool(told) != blind and etcd_told else "too few samples"

    wait_until("Prometheus to have scraped everything", missing, timeout=_PATIENCE, interval=1)


def forget() -> None:
    """Make Prometheus forget what it has seen: it starts anew, with nothing."""
    kubectl("delete", "pod", "--namespace", NAMESPACE, "--selector", _SELECTOR, "--wait=true", timeout=60)
    wait_for_restart()
    wait_until_told()
