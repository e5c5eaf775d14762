"""What mends Ironic: conductors that are scaled, placed and given room; its volumes by a migration of their own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.fields import Field
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.objects import Patch
from seatrial.plugins.remediation.places import PLURALS, container_fields, deleted, lasting, scaled, short, younger
from seatrial.plugins.remediation.risk import DELETE_PODS, PATCH_NODES, PATCH_STATEFULSETS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.ironic import Ironic
    from seatrial.fixtures.ironic_conductors import Conductors
    from seatrial.fixtures.objects import Node, Workload
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change
    from seatrial.plugins.remediation.fields import Key

_LABELS = {"application": "ironic", "component": "conductor"}
_CONTAINER = "ironic-conductor"
_DNSMASQ = "ironic-dnsmasq"


def _workloads(cluster: Cluster) -> list[Workload]:
    return [w for w in cluster.workloads if _LABELS.items() <= w.labels.items()]


@remedy("IRON-01", Risk.SAFE, PATCH_STATEFULSETS)
def run_enough_conductors(source: Source, cluster: Cluster, ironic: Ironic, profile: Profile) -> Iterator[Change]:
    """Scales the conductors. Undo scales them back."""
    wanted = profile.ironic.conductors
    few = [str(witness) for witness in ironic.strength if witness.count < wanted]
    for workload in _workloads(cluster):
        if few and workload.replicas < wanted:
            yield scaled(source, workload, wanted, few[0], "pod.replicas.conductor")


@remedy("IRON-02", Risk.DISRUPTIVE, PATCH_NODES, DELETE_PODS)
def give_conductors_another_node(cluster: Cluster, ironic: Ironic, profile: Profile) -> Iterator[Change]:
    """Labels one more node for conductors (safe), then deletes the younger conductor, so that it goes there.

    What a conductor that is deleted was deploying fails. Undo takes the label away.
    """
    key, _, value = profile.ironic.conductor_label.partition("=")
    crowds = ironic.crowds
    if not crowds or not key:
        return
    pods = {pod.name: pod for pod in cluster.pods_labelled(**_LABELS)}
    taken = {pod.node for pod in pods.values()}
    open_to_conductors = [node for node in cluster.nodes if _may_carry(node, profile) and node.name not in taken]
    if any(node.labelled(profile.ironic.conductor_label) for node in open_to_conductors):
        for crowd in crowds:
            for pod in younger([pods[name] for name in crowd.pods]):
                yield deleted(cluster, pod, str(crowd), population=len(pods))
    elif open_to_conductors:
        node = open_to_conductors[0]
        yield Patch(
            offender=str(crowds[0]),
            before=f"no label {key}",
            after=f"{key}={value}",
            resource="nodes",
            name=node.name,
            fields=(Field(("metadata", "labels", key), node.labels.get(key), value),),
            spelled=f"kubectl label node {node.name} {key}={value}",
            spelled_undo=f"kubectl label node {node.name} {key}-",
            risk="safe",
        )


def _may_carry(node: Node, profile: Profile) -> bool:
    return (
        node.ready
        and not node.spec.unschedulable
        and not any(node.labelled(label) for label in profile.ironic.network_node_labels)
        and not any(taint.effect in {"NoSchedule", "NoExecute"} for taint in node.spec.taints)
    )


@remedy("IRON-03", Risk.MANUAL)
def run_dnsmasq_once(ironic: Ironic) -> Iterator[Change]:
    """Scales dnsmasq to one: of two, look at the leases of both first, since each may have given an address away."""
    if (ironic.dnsmasq.wanted, ironic.dnsmasq.ready) == (1, 1):
        return
    workload = ironic.dnsmasq.workload
    kind, _, path = workload.partition(" ")
    namespace, _, name = path.partition("/")
    scale = f"kubectl -n {namespace} scale {kind} {name} --replicas="
    yield ByHand(
        offender=str(ironic.dnsmasq),
        run=(
            f"kubectl -n {namespace} exec {name}-0 -- cat /var/lib/dnsmasq/dnsmasq.leases",
            f"{scale}1",
        ),
        back=(f"{scale}{ironic.dnsmasq.wanted}",),
    )


@remedy("IRON-04", Risk.MANUAL)
def share_the_volumes_of_dnsmasq(ironic: Ironic, profile: Profile) -> Iterator[Change]:
    """The migration, a procedure with a journal of its own: nothing is provisioned meanwhile."""
    for volume in ironic.volumes:
        if not volume.shared or volume.storage_class not in profile.ironic.dnsmasq_storage_classes:
            yield ByHand(
                offender=str(volume),
                run=("seatrial migrate rwx --plan", "seatrial migrate rwx --apply"),
                back=("seatrial migrate rwx --rollback",),
            )


@remedy("IRON-05", Risk.DISRUPTIVE, PATCH_STATEFULSETS)
def give_conductors_room(
    source: Source, cluster: Cluster, ironic_conductors: Conductors, profile: Profile
) -> Iterator[Change]:
    """Raises the CPU limit by a core: the conductors restart one after another. Undo sets the old one, likewise."""
    limits = profile.ironic
    tight = [
        footing
        for footing in ironic_conductors.footings
        if (footing.cores is not None and footing.cores <= limits.conductor_cores)
        or footing.throttled > limits.throttled_max
    ]
    path: tuple[Key, ...] = ("resources", "limits", "cpu")
    for workload in _workloads(cluster):
        containers = workload.spec.template.spec.containers
        mine = next((c for c in containers if c.name == _CONTAINER), containers[0])
        old = mine.resources.limits.get("cpu")
        if not tight or old is None:
            continue
        most = max((footing.cores or 0.0 for footing in tight), default=0.0)
        wanted = str(math.floor(max(most, limits.conductor_cores)) + 1)
        new: dict[tuple[Key, ...], Any] = {path: wanted}
        yield Patch(
            offender=str(tight[0]),
            before=f"CPU limit {old}",
            after=f"CPU limit {wanted}",
            resource=PLURALS[workload.kind],
            namespace=workload.namespace,
            name=workload.name,
            fields=tuple(container_fields(workload, mine.name, new, {path: old})),
            rollout=True,
            takes=short(workload),
            values=lasting(source, workload.kind, workload.path, ("pod.resources.conductor.limits.cpu", wanted)),
        )


@remedy("IRON-08", Risk.MANUAL)
def untie_dnsmasq(cluster: Cluster, ironic: Ironic) -> Iterator[Change]:
    """Takes the affinity out, once the volumes can be written on every node (IRON-04): dnsmasq restarts."""
    for tie in ironic.ties:
        for workload in cluster.workloads:
            if workload.name == _DNSMASQ:
                kind = workload.kind.lower()
                path = "/spec/template/spec/affinity/podAffinity"
                patch = f'[{{"op":"remove","path":"{path}"}}]'
                yield ByHand(
                    offender=str(tie),
                    run=(f"kubectl -n {workload.namespace} patch {kind} {workload.name} --type=json -p '{patch}'",),
                    back=(f"kubectl -n {workload.namespace} rollout undo {kind}/{workload.name}",),
                )
