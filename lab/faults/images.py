"""Faults of the images, each by a workload of its own."""

from __future__ import annotations

from datetime import UTC, datetime

from seatrial.lab import nodes
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import apply, get, kubectl, wait_until
from seatrial.lab.registry import OCI, SCHEMA1

_HOST = "quay.io"
_NAMESPACE = "default"
_SOURCE = f"{_HOST}/airshipit/kubernetes-entrypoint:v1.0.0"
_GONE = f"{_HOST}/airshipit/kubernetes-entrypoint:v0.9.0"
"""The registry has never heard of it: a node that has it has it from before."""
_LACKING = "lab-2"
_HOLDING = "lab-4"
_PATIENCE = 120.0
_PULL_GRACE_S = 20.0
"""What the profile `lab` forgives."""


def _deploy(name: str, image: str, policy: str = "IfNotPresent") -> None:
    apply(f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {_NAMESPACE}}}
spec:
  selector: {{matchLabels: {{fault: {name}}}}}
  template:
    metadata: {{labels: {{fault: {name}}}}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 0
      nodeSelector: {{kubernetes.io/hostname: {_HOLDING}}}
      initContainers: [{{name: init, image: "{image}", imagePullPolicy: {policy}, command: ["true"]}}]
      containers: [{{name: pause, image: "registry.k8s.io/pause:3.10", imagePullPolicy: IfNotPresent}}]
""")


def _remove(name: str) -> None:
    kubectl("-n", _NAMESPACE, "delete", "deployment", name, "--ignore-not-found", "--cascade=foreground", timeout=60)


def _pods(name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = get("pods", "--namespace", _NAMESPACE, "--selector", f"fault={name}")["items"]
    return found


def _names() -> list[str]:
    return [node["metadata"]["name"] for node in get("nodes")["items"]]


def _give(names: list[str]) -> None:
    for name in names:
        nodes.run(name, ["ctr", "-n", "k8s.io", "images", "tag", "--force", _SOURCE, _GONE], timeout=20)


def _take() -> None:
    for name in _names():
        nodes.run(name, ["ctr", "-n", "k8s.io", "images", "rm", _GONE], timeout=20)


def _wait_for_holders(wanted: set[str]) -> None:
    """Return once exactly these nodes report the image; a kubelet looks through its images twice a minute."""

    def late() -> str | None:
        listed = get("nodes")["items"]
        holders = {
            node["metadata"]["name"]
            for node in listed
            if any(_GONE in image.get("names", ()) for image in node["status"].get("images", ()))
        }
        return None if holders == wanted else f"reported by {' '.join(sorted(holders)) or 'no node'}"

    wait_until("the nodes to report their images", late, timeout=_PATIENCE, interval=2)


def _remove_outdated() -> None:
    _remove("fault-outdated")


@fault("schema-v1-image", trips="IMG-01", parts="registry", heal=_remove_outdated)
def name_an_outdated_image() -> None:
    """A pod's init container names an image that its registry serves as schema v1."""
    _deploy("fault-outdated", f"{_HOST}/{SCHEMA1}")
    wait_until("its pod to be there", lambda: None if _pods("fault-outdated") else "no pod", timeout=_PATIENCE)


def _remove_gone() -> None:
    _remove("fault-gone")
    _take()


@fault("missing-dep-check-image", trips="IMG-02", parts="registry", heal=_remove_gone)
def lose_an_image() -> None:
    """An image that cannot be pulled any more is missing on one of the nodes."""
    others = [name for name in _names() if name != _LACKING]
    _give(others)
    _deploy("fault-gone", _GONE)
    _wait_for_holders(set(others))


def _remove_unpulled() -> None:
    _remove("fault-unpulled")


@fault("image-pull-backoff", trips="IMG-03", parts="registry", heal=_remove_unpulled)
def wait_for_an_image() -> None:
    """A pod is in ImagePullBackOff."""
    _deploy("fault-unpulled", f"{_HOST}/{OCI}")

    def early() -> str | None:
        pods = get("pods", "--namespace", _NAMESPACE, "--selector", "fault=fault-unpulled")["items"]
        if not pods or "startTime" not in pods[0]["status"]:
            return "no pod"
        # The API server's clock is this machine's.
        age = (datetime.now(UTC) - datetime.fromisoformat(pods[0]["status"]["startTime"])).total_seconds()
        return None if age > _PULL_GRACE_S + 1 else f"{age:.0f} s old"

    wait_until("the pod to be late", early, timeout=_PATIENCE, interval=1)


def _remove_stranded() -> None:
    _remove("fault-stranded")
    _take()


@fault("gone-image-always-pulled", trips="IMG-04", parts="registry", heal=_remove_stranded)
def pull_what_is_gone() -> None:
    """An image that cannot be pulled any more is pulled at each start."""
    _give(_names())
    _wait_for_holders(set(_names()))
    _deploy("fault-stranded", _GONE, policy="Always")
    wait_until("its pod to be there", lambda: None if _pods("fault-stranded") else "no pod", timeout=_PATIENCE)
