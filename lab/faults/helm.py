"""Faults of Helm's releases: what an upgrade left halfway, and what it will undo or do unasked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from seatrial.lab.binaries import binary
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, helm, kubectl, wait_until
from seatrial.lab.topology import ADMIN_KUBECONFIG
from seatrial.lab.upgrades import restore, upgrade

_CLIENTS = ("amqp-clients", "openstack")
_INTERRUPTED = "interrupted"
_PATIENCE = 60.0

_CHART = {
    "Chart.yaml": "apiVersion: v2\nname: interrupted\nversion: 1.0.0\n",
    "templates/hook.yaml": """
apiVersion: v1
kind: Pod
metadata:
  name: interrupted
  annotations: {helm.sh/hook: pre-upgrade, helm.sh/hook-delete-policy: before-hook-creation}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  containers:
    - name: never-ends
      image: registry.k8s.io/pause:3.10
      resources: {requests: {cpu: 1m, memory: 4Mi}}
""",
    "templates/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: interrupted}\ndata: {kept: here}\n",
}


def _forget_the_release() -> None:
    helm("uninstall", _INTERRUPTED, "--namespace", "openstack", "--ignore-not-found", timeout=60)
    kubectl("delete", "pod", _INTERRUPTED, "--namespace", "openstack", "--ignore-not-found", timeout=60)


@fault("pending-release", trips="HELM-01", parts="kubernetes", heal=_forget_the_release)
def interrupt_an_upgrade() -> None:
    """An upgrade was ended by force while its hook ran."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _CHART.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        helm("upgrade", "--install", _INTERRUPTED, folder, "--namespace", "openstack", "--create-namespace")
        with subprocess.Popen(
            [binary("helm"), "upgrade", _INTERRUPTED, folder, "--namespace", "openstack"],
            env={"PATH": os.environ.get("PATH", ""), "HOME": folder, "KUBECONFIG": str(ADMIN_KUBECONFIG)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as upgrading:
            try:
                wait_until("the upgrade to be underway", _not_underway, timeout=_PATIENCE)
            finally:
                upgrading.send_signal(signal.SIGKILL)


def _not_underway() -> str | None:
    pods = get("pods", "--namespace", "openstack", "--field-selector", f"metadata.name={_INTERRUPTED}")["items"]
    phase = pods[0]["status"].get("phase", "") if pods else ""
    return None if phase == "Running" else f"its hook is {phase or 'not there'}"


def _wait_for_clients() -> None:
    def late() -> str | None:
        deployment: dict[str, Any] = get("deployment", "amqp-clients", "--namespace", "openstack")
        status, wanted = deployment["status"], deployment["spec"]["replicas"]
        seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        counts = {key: status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")}
        return None if seen and set(counts.values()) == {wanted} else f"{counts} of {wanted}"

    wait_until("the clients to roll out", late, timeout=_PATIENCE)


def _patch_limit(limit: str) -> None:
    where = ("deployment/amqp-clients", "--namespace", "openstack", "--containers=amqp-clients")
    kubectl("set", "resources", *where, f"--limits=memory={limit}")
    _wait_for_clients()


def _unpatch() -> None:
    _patch_limit("256Mi")


@fault("live-patch", trips="HELM-02", parts="rabbitmq", heal=_unpatch)
def patch() -> None:
    """A memory limit was raised with kubectl and in no values: the next upgrade undoes it."""
    _patch_limit("320Mi")


def _scale(replicas: int) -> None:
    kubectl("scale", "deployment/amqp-clients", "--namespace", "openstack", f"--replicas={replicas}")
    _wait_for_clients()


def _scale_back() -> None:
    _scale(1)


@fault("scaled-by-hand", trips="HELM-03", parts="rabbitmq", heal=_scale_back)
def scale() -> None:
    """A Deployment was scaled with kubectl and in no values: the next upgrade scales it back."""
    _scale(2)


def _own_values() -> None:
    restore(*_CLIENTS)
    _wait_for_clients()


@fault("memcache-key-not-pinned", trips="HELM-04", parts="rabbitmq", heal=_own_values)
def draw_the_key_anew() -> None:
    """Each upgrade draws a new memcache_secret_key, and so rolls every pod that has it."""
    upgrade(*_CLIENTS, "endpoints.oslo_cache.auth.memcache_secret_key=null")
    _wait_for_clients()


@fault("shared-values", trips="HELM-05", parts="rabbitmq", heal=_own_values)
def share_values() -> None:
    """Values with another chart's roles were given to several releases, and set replicas in each."""
    broker = helm("get", "values", "rabbitmq", "--namespace", "openstack", "--output", "json")
    replicas = json.loads(broker)["pod"]["replicas"]["server"]
    upgrade(*_CLIENTS, f"pod.replicas.server={replicas}", "pod.replicas.osapi=4")
    _wait_for_clients()
