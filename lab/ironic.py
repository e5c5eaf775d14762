"""Ironic in the lab: what its release is given, and when it really serves."""

from __future__ import annotations

from typing import Any

from seatrial.lab import openstack
from seatrial.lab.shell import wait_until
from seatrial.lab.topology import STATE_FOLDER

NEEDS = openstack.NEEDS | {"openstack"}
"""The parts of the lab that it cannot run without."""

CONDUCTORS = 2
_SHARED = STATE_FOLDER / "shared"
"""A folder of the machine, which every node sees: what a file system of Ceph's would be elsewhere."""


def values(*, rabbitmq_replicas: int) -> dict[str, Any]:
    """Return the Helm values of the release that are not the chart's own."""
    given: dict[str, Any] = {"volume": {"directory": str(_SHARED)}}
    if rabbitmq_replicas != 1:
        given["endpoints"] = {"oslo_messaging": {"statefulset": {"replicas": rabbitmq_replicas}}}
    return given


def system() -> openstack.Cloud:
    """Return the lab's OpenStack as who may see conductors: no project's, but the system's administrator."""
    return openstack.Cloud(project="")


def alive(cloud: openstack.Cloud) -> list[str]:
    """Return the hosts of the conductors that Ironic says are alive."""
    conductors = cloud.ask("GET", "baremetal", "/v1/conductors", microversion="1.49")["conductors"]
    return sorted(conductor["hostname"] for conductor in conductors if conductor["alive"])


def check() -> None:
    """Return once every conductor is alive and every node of the fake hardware is available."""
    cloud = system()

    def missing() -> str | None:
        hosts = alive(cloud)
        nodes = cloud.ask("GET", "baremetal", "/v1/nodes", microversion="1.49")["nodes"]
        states = {node["name"] or node["uuid"]: node["provision_state"] for node in nodes}
        others = [f"{name} {state}" for name, state in sorted(states.items()) if state != "available"]
        if len(hosts) >= CONDUCTORS and states and not others:
            return None
        return f"{len(hosts)} conductors, {', '.join(others) or f'{len(states)} nodes available'}"

    wait_until("Ironic's conductors and nodes", missing, timeout=180, interval=1)
