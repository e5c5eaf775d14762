"""What mends OpenStack's control plane: replicas, pods, and the services' own repair commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.fixtures.control_plane import ROLES
from seatrial.fixtures.question import NotConcerned
from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.places import deleted, scaled, where
from seatrial.plugins.remediation.risk import DELETE_PODS, EXEC, PATCH_WORKLOADS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.control_plane import ControlPlane
    from seatrial.fixtures.objects import Pod
    from seatrial.fixtures.openstack_compute import Compute
    from seatrial.fixtures.openstack_consistency import Consistency
    from seatrial.fixtures.openstack_quota import Quotas
    from seatrial.fixtures.openstack_services import Beat, Services
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

_CLAIMS = {
    "OS-01": "nova-api-osapi",
    "OS-24": "nova-scheduler",
    "OS-25": "nova-conductor",
    "OS-26": "placement-api",
    "OS-27": "cinder-volume",
    "OS-28": "cinder-scheduler",
}
_HEAL = ("sh", "-c", "nova-manage placement heal_allocations --verbose || [ $? -eq 4 ]")
"""It ends with 4 where there is nothing to heal."""
_VALUES = {"nova-api-osapi": "osapi", "placement-api": "api"}
"""What the charts call a role, where it is not its last word."""


def _declared(claim: str, role: str) -> None:
    def run_enough(source: Source, cluster: Cluster, control_plane: ControlPlane, profile: Profile) -> Iterator[Change]:
        """Scales the role. Undo scales it back."""
        demanded: int = getattr(profile.openstack.replicas, role.replace("-", "_"))
        lines = {shortage.workload: str(shortage) for shortage in control_plane.short(role)}
        application, component = ROLES[role]
        for workload in cluster.workloads:
            if str(workload) in lines and workload.replicas < demanded:
                assert workload.labels.get("application") == application
                value = f"pod.replicas.{_VALUES.get(role, component)}"
                yield scaled(source, workload, demanded, lines[str(workload)], value)

    remedy(claim, Risk.SAFE, *PATCH_WORKLOADS)(run_enough)


for _claim, _role in _CLAIMS.items():
    _declared(_claim, _role)


@remedy("OS-04", Risk.DISRUPTIVE, DELETE_PODS)
def restart_missing_services(cluster: Cluster, services: Services) -> Iterator[Change]:
    """Restarts the pod of a service that is down: what it is doing is lost. One that somebody disabled stays so."""
    for beat in services.missing:
        kin = [pod for pod in cluster.pods if not pod.ended and _runs(pod, beat)]
        mine = [pod for pod in kin if beat.host.partition(".")[0] in {pod.name, pod.node}]
        if beat.disabled:
            yield ByHand(
                offender=str(beat),
                risk="manual",
                run=(f"openstack compute service set --enable {beat.host} {beat.binary}",),
                back=(f"openstack compute service set --disable {beat.host} {beat.binary}",),
            )
        for pod in mine if beat.down else ():
            yield deleted(cluster, pod, str(beat), population=len(kin))


def _runs(pod: Pod, beat: Beat) -> bool:
    """Whether a pod is of a service: its containers are called after it, or its labels are."""
    application, _, component = beat.binary.partition("-")
    if pod.labels.get("application") != application:
        return False
    names = {c.name for c in pod.spec.containers} | {pod.labels.get("component", "")}
    return any(beat.binary in name or name in {component, beat.binary} for name in names)


@remedy("OS-11", Risk.SAFE, EXEC)
def map_every_compute_host(cluster: Cluster, cells: Compute) -> Iterator[Change]:
    """Has nova look for compute hosts that no cell knows. There is nothing to undo."""
    unmapped = list(cells.unmapped)
    pod = _ready(cluster, "nova", "conductor")
    if unmapped and pod is not None:
        yield InPod(
            offender=str(unmapped[0]),
            before="in no cell",
            after="in its cell",
            where=where(pod, "nova-conductor"),
            run=(("nova-manage", "cell_v2", "discover_hosts", "--verbose"),),
        )


@remedy("OS-13", Risk.SAFE, EXEC)
def count_quotas_anew(cluster: Cluster, quota_use: Quotas) -> Iterator[Change]:
    """Has cinder count what a project has, and nova heal what placement counts. There is nothing to undo."""
    told: set[str] = set()
    for drift in quota_use.drifts:
        volumes = drift.resource in {"volumes", "gigabytes"}
        pod = _ready(cluster, "cinder", "scheduler") if volumes else _ready(cluster, "nova", "conductor")
        if pod is None or not drift.project_id:
            continue
        command: tuple[str, ...] = (
            ("cinder-manage", "quota", "sync", "--project-id", drift.project_id) if volumes else _HEAL
        )
        if " ".join(command) in told:
            continue
        told.add(" ".join(command))
        yield InPod(
            offender=str(drift),
            before=f"{drift.counted} counted",
            after=f"{drift.there} there",
            where=where(pod, "cinder-scheduler" if volumes else "nova-conductor"),
            run=(command,),
        )


@remedy("OS-19", Risk.SAFE, EXEC)
def heal_allocations(cluster: Cluster, consistency: Consistency) -> Iterator[Change]:
    """Has nova make the allocations that its servers lack, and delete those of no server.

    The rest is told, since it is somebody's data.
    """
    pod = _ready(cluster, "nova", "conductor")
    orphans = consistency.orphans
    servers = [str(o) for o in orphans if o.name.startswith("server ")]
    allocations = [str(o) for o in orphans if o.name.startswith("allocation ")]
    if pod is not None:
        place = where(pod, "nova-conductor")
        if servers:
            yield InPod(
                offender=servers[0],
                before="without the right allocation",
                after="with it",
                where=place,
                run=(_HEAL,),
            )
        if allocations:
            yield InPod(
                offender=allocations[0],
                before="of no server",
                after="deleted",
                where=place,
                # It ends with 4 where it found and deleted some.
                run=(("sh", "-c", "nova-manage placement audit --delete --verbose || [ $? -eq 4 ]"),),
            )
    for orphan in orphans:
        kind, _, id_ = orphan.name.partition(" ")
        steps = {
            "port": f"openstack port delete {id_}",
            "volume": f"openstack volume set --detached {id_}",
        }
        if kind in steps:
            yield ByHand(offender=str(orphan), risk="manual", run=(f"openstack {kind} show {id_}", steps[kind]))


def _ready(cluster: Cluster, application: str, component: str) -> Pod | None:
    """Return a ready pod of a role. Raises `NotConcerned` where the service is not in this cluster."""
    pods = cluster.pods_labelled(application=application, component=component)
    if not pods:
        raise NotConcerned(f"no pod is labelled application={application},component={component}")
    return next((pod for pod in pods if pod.ready), None)
