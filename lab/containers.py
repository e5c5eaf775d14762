"""The processes of containers, as their node sees them: to be frozen, ended, or cut off the network."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial.lab import nodes
from seatrial.lab.kubectl import get
from seatrial.lab.shell import LabError


@dataclass(frozen=True)
class Container:
    """The first process of a running container. `pid` counts in the node's own namespace."""

    node: str
    pid: int
    address: str
    """The pod's address."""

    def signal(self, name: str) -> None:
        """Send a signal (`STOP`, `CONT`, `KILL`, …) to the process."""
        nodes.run(self.node, ["kill", "-s", name, str(self.pid)], timeout=10)

    def in_network(self, *argv: str) -> str:
        """Run a command of the node inside the pod's network, and return what it prints."""
        return nodes.run(self.node, ["nsenter", "--target", str(self.pid), "--net", "--", *argv], timeout=10)


def running(namespace: str, selector: str, name: str) -> Container:
    """Return the container of this name in the one pod that has these labels. Raises `LabError` if none runs."""
    for pod in get("pods", "--namespace", namespace, "--selector", selector)["items"]:
        for status in pod["status"].get("containerStatuses", ()):
            if status["name"] == name and "running" in status["state"]:
                node = pod["spec"]["nodeName"]
                pid = _pid(node, status["containerID"].removeprefix("containerd://"))
                return Container(node, pid, pod["status"]["podIP"])
    raise LabError(f"no container {name} runs in a pod with {selector} in {namespace}: `seatrial lab up` brings it")


def _pid(node: str, container: str) -> int:
    for line in nodes.run(node, ["ctr", "-n", "k8s.io", "tasks", "ls"], timeout=10).splitlines():
        columns = line.split()
        if columns and columns[0] == container:
            return int(columns[1])
    raise LabError(f"containerd on {node} runs no container {container}: try again")
