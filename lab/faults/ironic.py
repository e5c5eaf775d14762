"""Faults of Ironic and of the dnsmasq beside it."""

from __future__ import annotations

from typing import Any

from seatrial.lab import ironic
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.openstack import NAMESPACE, in_database
from seatrial.lab.topology import CONDUCTOR_NODES, Node
from seatrial.lab.upgrades import restore, upgrade

_RELEASE = ("ironic", NAMESPACE)
_NODE = Node(CONDUCTOR_NODES[0]).name
_NETWORK_LABEL = "openstack-network-node"
_CONDUCTORS = ("ironic-conductor-0", "ironic-conductor-1")
_LAST_CONDUCTOR = _CONDUCTORS[-1]
_CLAIMS = ("dnsmasq-dhcp", "dnsmasq-ironic")
_DELAY_S = 15
"""Longer than the interval between two rounds of power state syncs."""
_PATIENCE = 180.0


def _wait_for_pods() -> None:
    """Return when all pods of the release are of its newest revision and ready."""
    labels = ("--namespace", NAMESPACE, "--selector", "release_group=ironic")
    for workload in get("deployments,statefulsets", *labels)["items"]:
        name = f"{workload['kind'].lower()}/{workload['metadata']['name']}"
        kubectl("-n", NAMESPACE, "rollout", "status", name, f"--timeout={_PATIENCE:g}s", timeout=_PATIENCE)


def _own_values() -> None:
    if restore(*_RELEASE):
        _wait_for_pods()
        ironic.check()


def _upgrade(*settings: str) -> None:
    upgrade(*_RELEASE, *settings)
    _wait_for_pods()


_FORGET_LAST_CONDUCTOR = """
update ironic.nodes set conductor_affinity = null;
delete from ironic.conductor_hardware_interfaces where conductor_id in
  (select id from ironic.conductors where hostname like 'ironic-conductor-1.%');
delete from ironic.conductors where hostname like 'ironic-conductor-1.%';
"""


def _wait_for_conductors(count: int) -> None:
    cloud = ironic.system()

    def others() -> str | None:
        alive = ironic.alive(cloud)
        return None if len(alive) == count else f"{' '.join(alive) or 'none'} alive"

    wait_until(f"{count} conductors to be alive", others, timeout=_PATIENCE, interval=1)


@fault("one-conductor", trips="IRON-01", parts="ironic", heal=_own_values)
def take_a_conductor() -> None:
    """Ironic has one conductor, and knows of no other."""
    _upgrade("pod.replicas.conductor=1")
    _wait_for_conductors(1)
    # Its record would stay as that of a conductor which is down, and OS-04 would be the cause.
    in_database(_FORGET_LAST_CONDUCTOR)


def _signal_worker(signal: str) -> None:
    """Send a signal to the process of the last conductor that does the work: the first one only minds it."""
    kubectl("-n", NAMESPACE, "exec", _LAST_CONDUCTOR, "-c", "ironic-conductor", "--", "pkill", f"-{signal}", "-P", "1")


def _thaw() -> None:
    _signal_worker("CONT")
    ironic.check()


@fault("hung-conductor", trips="OS-04", parts="ironic", heal=_thaw)
def freeze_a_conductor() -> None:
    """A conductor hangs: its pod is ready, and Ironic misses its heartbeat."""
    _signal_worker("STOP")
    _wait_for_conductors(1)


_LABEL = "ironic_role"


def _label_conductor_nodes() -> None:
    """Give the label to the nodes that should have it and to no other, and part the conductors."""
    meant = {Node(index).name for index in CONDUCTOR_NODES}
    labelled = {node["metadata"]["name"] for node in get("nodes", "--selector", _LABEL)["items"]}
    if labelled - meant:
        kubectl("label", "node", *sorted(labelled - meant), f"{_LABEL}-")
    if meant - labelled:
        kubectl("label", "node", *sorted(meant - labelled), f"{_LABEL}=conductor")
    _own_values()
    if {_node_of(name) for name in _CONDUCTORS} != meant:
        _make_conductor_anew()
        ironic.check()


def _node_of(pod: str) -> str:
    return str(get("pod", pod, "--namespace", NAMESPACE)["spec"]["nodeName"])


def _make_conductor_anew() -> None:
    kubectl("-n", NAMESPACE, "delete", "pod", _LAST_CONDUCTOR, timeout=_PATIENCE)
    _wait_for_pods()


@fault("conductors-on-one-node", trips="IRON-02", parts="ironic", heal=_label_conductor_nodes)
def crowd() -> None:
    """Both conductors are on one node, since the other one lost its label."""
    kubectl("label", "node", _node_of(_LAST_CONDUCTOR), f"{_LABEL}-")
    _make_conductor_anew()
    _wait_for_conductors(ironic.CONDUCTORS)


def _forward_nothing() -> None:
    kubectl("label", "node", _NODE, f"{_NETWORK_LABEL}-")


@fault("conductor-on-network-node", trips="IRON-07", parts="ironic", heal=_forward_nothing)
def forward_packets() -> None:
    """A conductor is on a node that forwards tenants' packets."""
    kubectl("label", "node", _NODE, f"{_NETWORK_LABEL}=enabled", "--overwrite")


@fault("two-dnsmasqs", trips="IRON-03", parts="ironic", heal=_own_values)
def answer_twice() -> None:
    """Two instances of dnsmasq answer DHCP."""
    _upgrade("pod.replicas.dnsmasq=2")


@fault("dnsmasq-beside-conductor", trips="IRON-08", parts="ironic", heal=_own_values)
def tie() -> None:
    """Dnsmasq has to run beside a conductor."""
    _upgrade("pod.affinity.dnsmasq_beside_conductor=true")


def _remove_claims() -> None:
    """Take the claims away, and what mounts them before: a claim's access modes are for good."""
    upgrade(*_RELEASE, "pod.replicas.conductor=0", "pod.replicas.dnsmasq=0", "volume.claims=false")

    def there() -> str | None:
        listed: list[dict[str, Any]] = get("persistentvolumeclaims", "--namespace", NAMESPACE)["items"]
        left = sorted({claim["metadata"]["name"] for claim in listed} & set(_CLAIMS))
        return ", ".join(left) or None

    wait_until("dnsmasq's claims to be gone", there, timeout=_PATIENCE, interval=1)


def _share_again() -> None:
    claims: list[dict[str, Any]] = get("persistentvolumeclaims", "--namespace", NAMESPACE)["items"]
    modes = {c["metadata"]["name"]: c["spec"]["accessModes"] for c in claims}
    if any(modes.get(name) != ["ReadWriteMany"] for name in _CLAIMS):
        _remove_claims()
    _own_values()


@fault("confined-dnsmasq-volumes", trips="IRON-04", parts="ironic", heal=_share_again)
def confine() -> None:
    """The volumes of dnsmasq can be written on one node only."""
    replicas = (f"pod.replicas.conductor={ironic.CONDUCTORS}", "pod.replicas.dnsmasq=1")
    _remove_claims()
    _upgrade(*replicas, "volume.claims=true", "volume.access_mode=ReadWriteOnce")
    ironic.check()


@fault("throttled-conductor", trips="IRON-05", parts="ironic", heal=_own_values)
def throttle() -> None:
    """The conductors may use a part of a core."""
    _upgrade("pod.resources.conductor.limits.cpu=300m")
    _wait_for_conductors(ironic.CONDUCTORS)


@fault("slow-power-sync", trips="IRON-06", parts="ironic", heal=_own_values)
def answer_slowly() -> None:
    """The machines' power takes longer to ask for than the next round waits."""
    _upgrade(f"conf.ironic.fake.power_delay={_DELAY_S}")

    def quick() -> str | None:
        logs = [
            kubectl("-n", NAMESPACE, "logs", f"ironic-conductor-{number}", "-c", "ironic-conductor", "--since=1h")
            for number in range(ironic.CONDUCTORS)
        ]
        # Which conductor has which machine is up to their hash ring: one of them may have none.
        return None if any(f" in {_DELAY_S}." in log for log in logs) else "none has ended"

    wait_until("a slow round of power state syncs", quick, timeout=_PATIENCE, interval=1)
