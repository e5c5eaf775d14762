"""Faults of Horizon, all by Helm upgrades.

A paused Deployment keeps its pods as they are while the Secret changes: so the reports' cloud ran on for weeks on a
site file that was gone.
"""

from __future__ import annotations

from seatrial.lab import horizon
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, wait_until
from seatrial.lab.openstack import NAMESPACE
from seatrial.lab.upgrades import restore, upgrade

_RELEASE = ("horizon", NAMESPACE)
_PAUSED = "pod.lifecycle.upgrades.deployments.paused=true"
_ROLLED_OUT_S = 240


def _roll_out() -> None:
    def late() -> str | None:
        deployment = get("deployment", "horizon", "--namespace", NAMESPACE)
        wanted, status = deployment["spec"]["replicas"], deployment["status"]
        if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
            return "not yet seen"
        counts = {count: status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")}
        behind = [f"{name} {count}/{wanted}" for name, count in counts.items() if count != wanted]
        return ", ".join(behind) or None

    wait_until("Horizon to be rolled out", late, timeout=_ROLLED_OUT_S, interval=1)


def _own_values() -> None:
    if restore(*_RELEASE):
        _roll_out()
        horizon.check()


def _upgrade(*settings: str) -> None:
    upgrade(*_RELEASE, *settings)
    _roll_out()


@fault("few-horizon-threads", trips="HZN-01", parts="horizon", heal=_own_values)
def serve_few() -> None:
    """Horizon serves five requests a pod at once, as openstack-helm's chart has it."""
    _upgrade("conf.horizon.wsgi.processes=5", "conf.horizon.wsgi.threads=1")


@fault("empty-apache-site", trips="HZN-02", parts="horizon", heal=_own_values)
def empty_the_site() -> None:
    """Apache's site file in horizon-etc is empty, and the pods that serve have not noticed."""
    upgrade(*_RELEASE, _PAUSED, "conf.horizon.apache=")


@fault("hasty-horizon-probe", trips="HZN-03", parts="horizon", heal=_own_values)
def probe_hastily() -> None:
    """Horizon's readiness probe gives up after a second."""
    _upgrade("pod.probes.horizon.horizon.readiness.timeoutSeconds=1")


@fault("sessions-in-the-cache", trips="HZN-04", parts="horizon", heal=_own_values)
def forget_sessions() -> None:
    """Horizon keeps its sessions in memcached alone."""
    _upgrade("conf.horizon.local_settings.config.session_engine=django.contrib.sessions.backends.cache")


@fault("horizon-requests-little", trips="HZN-05", parts="horizon", heal=_own_values)
def request_little() -> None:
    """Horizon's pods request less than they need."""
    _upgrade("pod.resources.server.requests.cpu=10m", "pod.resources.server.requests.memory=64Mi")


@fault("horizon-restart-owed", trips="HZN-06", parts="horizon", heal=_own_values)
def owe_a_restart() -> None:
    """The Secret horizon-etc is newer than the pods that mount it."""
    upgrade(*_RELEASE, _PAUSED, "conf.horizon.local_settings.config.session_timeout=1800")
