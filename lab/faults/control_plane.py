"""Faults of OpenStack's control plane as its charts and Kubernetes make it.

Most come by a Helm upgrade, as they came to the clouds of the reports, and go by the next one.

Not broken here: OS-29 (one RPC worker is all that the lab has, and neutron's server ends itself where it has none).
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from seatrial.lab import nodes, openstack
from seatrial.lab.containers import running
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.openstack import NAMESPACE, Cloud
from seatrial.lab.shell import LabError
from seatrial.lab.upgrades import restore, upgrade

_PARTS = "openstack"
_COMPUTES = "application=nova,component=compute"
_SCHEDULERS = "application=cinder,component=scheduler"
_CROWDED_NODE = "lab-5"
_CUT_OFF_NODE = "lab-3"
_POD_GRACE_S = 30.0
"""What the profile `lab` forgives."""
_PATIENCE = 300.0
_ROLE = "reader"


def _rolled_out(release: str) -> None:
    """Return when every pod of a release is of its newest revision and ready, and OpenStack's services are up."""
    labels = ("--namespace", NAMESPACE, "--selector", f"release_group={release}")
    for workload in get("deployments,statefulsets,daemonsets", *labels)["items"]:
        name = f"{workload['kind'].lower()}/{workload['metadata']['name']}"
        kubectl("-n", NAMESPACE, "rollout", "status", name, f"--timeout={_PATIENCE:g}s", timeout=_PATIENCE)
    openstack.check()


def _upgrade(release: str, *settings: str) -> None:
    upgrade(release, NAMESPACE, *settings)
    _rolled_out(release)


def _restore(release: str) -> None:
    if restore(release, NAMESPACE):
        _rolled_out(release)


_restore_nova = partial(_restore, "nova")
_restore_placement = partial(_restore, "placement")
_restore_cinder = partial(_restore, "cinder")
_restore_memcached = partial(_restore, "memcached")


@fault("few-nova-apis", trips="OS-01", parts=_PARTS, heal=_restore_nova)
def take_a_nova_api() -> None:
    """Nova's API has one replica less."""
    _upgrade("nova", "pod.replicas.osapi=3")


@fault("few-nova-schedulers", trips="OS-24", parts=_PARTS, heal=_restore_nova)
def take_a_nova_scheduler() -> None:
    """Nova's scheduler has one replica less."""
    _upgrade("nova", "pod.replicas.scheduler=2")


@fault("few-nova-conductors", trips="OS-25", parts=_PARTS, heal=_restore_nova)
def take_a_nova_conductor() -> None:
    """Nova's conductor has one replica less."""
    _upgrade("nova", "pod.replicas.conductor=1")


@fault("few-placements", trips="OS-26", parts=_PARTS, heal=_restore_placement)
def take_a_placement() -> None:
    """Placement has one replica less."""
    _upgrade("placement", "pod.replicas.api=1")


@fault("few-cinder-volumes", trips="OS-27", parts=_PARTS, heal=_restore_cinder)
def take_a_cinder_volume() -> None:
    """Cinder's volume service has one replica less."""
    _upgrade("cinder", "pod.replicas.volume=1")


@fault("few-cinder-schedulers", trips="OS-28", parts=_PARTS, heal=_restore_cinder)
def take_a_cinder_scheduler() -> None:
    """Cinder's scheduler has one replica less."""
    _upgrade("cinder", "pod.replicas.scheduler=1")


def _places() -> list[str]:
    """The nodes of cinder's schedulers that are ready and stay."""
    pods = get("pods", "--namespace", NAMESPACE, "--selector", _SCHEDULERS)["items"]
    return [
        pod["spec"].get("nodeName", "")
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    ]


def _wait_for_places(count: int) -> None:
    """Return when both schedulers are ready, and on so many nodes."""

    def elsewhere() -> str | None:
        places = _places()
        return None if len(places) == 2 and len(set(places)) == count else f"on {' '.join(places) or 'no node'}"

    wait_until("cinder's schedulers to be in their places", elsewhere, timeout=_PATIENCE, interval=1)


def _other_nodes() -> list[str]:
    return [n["metadata"]["name"] for n in get("nodes")["items"] if n["metadata"]["name"] != _CROWDED_NODE]


def _spread() -> None:
    kubectl("uncordon", *_other_nodes())
    if len(set(_places())) == 1:
        first = get("pods", "--namespace", NAMESPACE, "--selector", _SCHEDULERS)["items"][0]["metadata"]["name"]
        kubectl("-n", NAMESPACE, "delete", "pod", first, "--wait=true", timeout=60)
    _wait_for_places(2)
    openstack.check()


@fault("replicas-on-one-node", trips="OS-02", parts=_PARTS, heal=_spread)
def crowd() -> None:
    """Both of cinder's schedulers are on one node, as after a maintenance of the others."""
    others = _other_nodes()
    kubectl("cordon", *others)
    kubectl("-n", NAMESPACE, "delete", "pod", "--selector", _SCHEDULERS, "--wait=true", timeout=90)
    _wait_for_places(1)
    kubectl("uncordon", *others)
    openstack.check()


@fault("few-api-workers", trips="OS-03", parts=_PARTS, heal=_restore_cinder)
def leave_one_worker() -> None:
    """Cinder's API has one worker."""
    _upgrade("cinder", "conf.cinder_api_uwsgi.uwsgi.processes=1", "conf.cinder_api_uwsgi.uwsgi.threads=1")


@fault("api-overrun", trips="OS-30", parts=_PARTS, heal=_restore_cinder)
def halve_the_workers() -> None:
    """Cinder's one API has workers enough for itself, but not for what is expected of all of it."""
    _upgrade("cinder", "conf.cinder_api_uwsgi.uwsgi.threads=4")


@fault("pod-without-node", trips="OS-05", parts=_PARTS, heal=_restore_placement)
def ask_for_too_much() -> None:
    """Placement's pods request more cores than any node has, so that the new ones stay Pending."""
    upgrade("placement", NAMESPACE, "pod.resources.api.requests.cpu=512")

    def early() -> str | None:
        pods = get("pods", "--namespace", NAMESPACE, "--selector", "application=placement,component=api")["items"]
        born = [pod["metadata"]["creationTimestamp"] for pod in pods if not pod["spec"].get("nodeName")]
        # The API server's clock is this machine's.
        ages = [(datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds() for moment in born]
        return None if max(ages, default=0) > _POD_GRACE_S + 1 else f"{max(ages, default=0):.0f} s so far"

    wait_until("a pod to wait too long for a node", early, timeout=_PATIENCE, interval=1)


@fault("live-migration-uri", trips="OS-17", parts=_PARTS, heal=_restore_nova)
def set_the_uri() -> None:
    """Nova's computes have a `live_migration_uri`."""
    _upgrade("nova", "conf.nova.libvirt.live_migration_uri=qemu+tcp://%s/system")


@fault("instances-on-local-disks", trips="OS-18", parts=_PARTS, heal=_restore_nova)
def keep_instances_local() -> None:
    """Nova keeps instances on its hosts' own disks."""
    _upgrade("nova", "conf.nova.libvirt.images_type=qcow2")


@fault("best-effort-pods", trips="OS-22", parts=_PARTS, heal=_restore_memcached)
def request_nothing() -> None:
    """Pods of the control plane request nothing, as by openstack-helm's default."""
    nothing = [f"pod.resources.{part}.{kind}=null" for part in ("init", "server") for kind in ("requests", "limits")]
    _upgrade("memcached", *nothing)


@fault("idle-disruption-budget", trips="OS-23", parts=_PARTS, heal=_restore_placement)
def protect_nothing() -> None:
    """Placement's PodDisruptionBudget lets a drain take all of it, as by openstack-helm's default."""
    upgrade("placement", NAMESPACE, "pod.lifecycle.disruption_budget.min_available=0")

    def protecting() -> str | None:
        budget = get("poddisruptionbudget", "placement-api", "--namespace", NAMESPACE)
        return "not yet" if budget["status"].get("desiredHealthy") else None

    wait_until("the budget to protect nothing", protecting, timeout=30, interval=0.5)


def _set_immutable(*, immutable: bool) -> None:
    cloud = Cloud()
    role = cloud.find("identity", "/roles", "roles", _ROLE)["id"]
    cloud.ask("PATCH", "identity", f"/roles/{role}", {"role": {"options": {"immutable": immutable}}})


@fault("upgrade-check-fails", trips="OS-12", parts=_PARTS, heal=partial(_set_immutable, immutable=True))
def let_a_role_change() -> None:
    """One of Keystone's default roles may be changed, which its upgrade check refuses."""
    _set_immutable(immutable=False)


def _go_on() -> None:
    running(NAMESPACE, _COMPUTES, "nova-compute").signal("CONT")


@fault("messaging-timeout", trips="OS-06", parts=_PARTS, heal=_go_on)
def ask_in_vain() -> None:
    """Nova's API asked a compute that hung, and waited in vain for its answer."""
    cloud = Cloud()
    compute = running(NAMESPACE, _COMPUTES, "nova-compute")
    hosts = cloud.ask("GET", "compute", "/os-hypervisors/detail")["hypervisors"]
    asked = next(host["id"] for host in hosts if host["service"]["host"] == compute.node)
    compute.signal("STOP")
    try:
        with suppress(LabError):  # Nova answers 500 once its own patience ends
            cloud.ask("GET", "compute", f"/os-hypervisors/{asked}/uptime", timeout=120)
    finally:
        compute.signal("CONT")
    openstack.check()


def _keystone() -> str:
    address: str = get("service", "keystone-api", "--namespace", NAMESPACE)["spec"]["clusterIP"]
    return address


def _reach_keystone_again() -> None:
    route = f"ip route del unreachable {_keystone()}/32 2>/dev/null || :"
    nodes.run(_CUT_OFF_NODE, ["sh", "-c", route], timeout=10)


@fault("keystone-out-of-reach", trips="NODE-07", parts=_PARTS, heal=_reach_keystone_again)
def cut_keystone_off() -> None:
    """A node does not reach Keystone's ClusterIP, and its nova-compute crashes again and again."""
    nodes.run(_CUT_OFF_NODE, ["ip", "route", "replace", "unreachable", f"{_keystone()}/32"], timeout=10)
    where = ("--namespace", NAMESPACE, "--selector", _COMPUTES, "--field-selector", f"spec.nodeName={_CUT_OFF_NODE}")
    kubectl("delete", "pod", *where, "--wait=true", timeout=60)

    def otherwise() -> str | None:
        states = [
            (status["state"].get("waiting") or {}).get("reason", "it runs")
            for pod in get("pods", *where)["items"]
            for status in pod["status"].get("containerStatuses", ())
        ]
        return None if states == ["CrashLoopBackOff"] else f"{', '.join(states) or 'there is no pod'}"

    wait_until("nova-compute to crash again and again", otherwise, timeout=_PATIENCE, interval=1)
