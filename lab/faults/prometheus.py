"""Faults of the monitoring. All of them come by an upgrade of its release, and each restarts Prometheus."""

from __future__ import annotations

from seatrial.lab import prometheus
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import wait_until
from seatrial.lab.topology import MACHINE_ADDRESS
from seatrial.lab.upgrades import restore, upgrade

_RELEASE = ("prometheus", prometheus.NAMESPACE)
_NOBODY = f"{MACHINE_ADDRESS}:9"
"""The discard service's port, where nothing listens."""


def _own_values() -> None:
    if restore(*_RELEASE):
        prometheus.wait_for_restart()
    prometheus.wait_until_told()


def _own_values_and_no_memory() -> None:
    """Restore the values; what was lost meanwhile must not be counted any longer."""
    if restore(*_RELEASE):
        prometheus.wait_for_restart()
        prometheus.forget()
    prometheus.wait_until_told()


@fault("prometheus-short-memory", trips="PROM-01", parts="prometheus", heal=_own_values)
def forget_early() -> None:
    """Prometheus keeps two days instead of fifteen."""
    upgrade(*_RELEASE, "server.retention=2d")
    prometheus.wait_for_restart()
    prometheus.wait_until_told()


@fault("prometheus-dead-target", trips="PROM-02", parts="prometheus", heal=_own_values)
def lose_a_target() -> None:
    """Prometheus scrapes the scheduler where it does not listen."""
    upgrade(*_RELEASE, f"controlPlane.kube-scheduler.targets={{{_NOBODY}}}")
    prometheus.wait_for_restart()
    prometheus.wait_until_told(down=1)


@fault("prometheus-blind", trips="PROM-03", parts="prometheus", heal=_own_values)
def go_blind() -> None:
    """Prometheus does not scrape the API server, so nothing of the window is kept."""
    upgrade(*_RELEASE, "discovered.kubernetes-apiservers=null")
    prometheus.wait_for_restart()
    prometheus.wait_until_told(blind=True)


@fault("prometheus-long-term-deaf", trips="PROM-04", parts="prometheus", heal=_own_values_and_no_memory)
def turn_deaf() -> None:
    """The long-term storage refuses what Prometheus sends."""
    upgrade(*_RELEASE, "longTerm.receives=false")
    query = "query?query=sum(increase(prometheus_remote_storage_samples_failed_total[1m]))>0"

    def none_yet() -> str | None:
        return None if prometheus.ask(query)["result"] else "none yet"

    wait_until("samples to be refused", none_yet, timeout=120, interval=1)
    prometheus.wait_until_told()
