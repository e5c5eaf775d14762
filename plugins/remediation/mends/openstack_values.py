"""What mends OpenStack by Helm values, quotas and an operator's own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.places import released, set_values
from seatrial.plugins.remediation.quota import QuotaRaise
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.control_plane import ControlPlane
    from seatrial.fixtures.control_plane_settings import ServiceSettings
    from seatrial.fixtures.ironic import Ironic
    from seatrial.fixtures.openstack_network import Network
    from seatrial.fixtures.openstack_placement import Placement
    from seatrial.fixtures.openstack_quota import Allowance
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

_KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
_NETWORK = {"ports": "port"}


@remedy("OS-20", Risk.SAFE)
def raise_the_quotas(allowance: Allowance) -> Iterator[Change]:
    """Raises nova's and neutron's quota of the project that a trial uses, by their APIs. Undo sets the old ones."""
    tight = [limit for limit in allowance.limits if not limit.enough]
    for service in ("compute", "network"):
        mine = [limit for limit in tight if (limit.resource in _NETWORK) == (service == "network")]
        if mine:
            yield QuotaRaise(
                offender=str(mine[0]),
                before=", ".join(f"{limit.resource} {limit.limit}" for limit in mine),
                after=", ".join(f"{limit.resource} {limit.used + limit.needed}" for limit in mine),
                service=service,
                limits={_NETWORK.get(limit.resource, limit.resource): limit.limit for limit in mine},
                wanted={_NETWORK.get(limit.resource, limit.resource): limit.used + limit.needed for limit in mine},
            )


@remedy("OS-03 OS-30", Risk.MANUAL)
def give_the_apis_workers(source: Source, service_settings: ServiceSettings, profile: Profile) -> Iterator[Change]:
    """Gives each API server more processes by its values: its upgrade rolls the pods."""
    demands = profile.openstack
    for server in service_settings.api_servers:
        overrun = server.serves_users and server.concurrency < demands.api_concurrency
        if server.workers < demands.api_workers or overrun:
            service = server.workload.rpartition("/")[2].partition("-")[0]
            modern, old = f"conf.{service}_api_uwsgi.uwsgi.processes", f"conf.{service}.DEFAULT.{_OLD.get(service)}"
            processes = max(demands.api_workers, server.workers)
            yield _upgrade(source, server.workload, str(server), {modern: processes, old: processes})


_OLD = {"nova": "osapi_compute_workers", "neutron": "api_workers", "cinder": "osapi_volume_workers"}
"""What charts of the wallaby era call the workers."""


@remedy("OS-29", Risk.MANUAL)
def give_neutron_rpc_workers(source: Source, service_settings: ServiceSettings, profile: Profile) -> Iterator[Change]:
    """Gives neutron more RPC workers by its values: its upgrade rolls the pods."""
    wanted = profile.openstack.rpc_workers
    for server in service_settings.rpc_servers:
        if server.workers < wanted:
            yield _upgrade(source, server.workload, str(server), {"conf.neutron.DEFAULT.rpc_workers": wanted})


@remedy("OS-14", Risk.MANUAL)
def promise_memory_once(placement: Placement, profile: Profile) -> Iterator[Change]:
    """Sets ratio and reserve in nova.conf of the computes: they restart, and no server does."""
    demands = profile.openstack
    ratio, reserved = demands.ram_allocation_ratio, demands.reserved_host_memory_mb
    generous = [m for m in placement.memory if m.allocation_ratio > ratio or m.reserved_mb < reserved]
    settings = f"--set conf.nova.DEFAULT.ram_allocation_ratio={ratio} --set conf.nova.DEFAULT.reserved_host_memory_mb="
    amend = f"openstack resource provider inventory set --amend --resource MEMORY_MB:allocation_ratio={ratio}"
    for memory in generous:
        provider = f"$(openstack resource provider list --name {memory.host} -f value -c uuid)"
        yield ByHand(
            offender=str(memory),
            run=(f"helm upgrade nova CHART -n openstack --reuse-values {settings}{reserved}", f"{amend} {provider}"),
            back=("helm rollback nova -n openstack",),
        )


@remedy("OS-16", Risk.MANUAL)
def fit_the_mtu(networks: Network, profile: Profile) -> Iterator[Change]:
    """Sets the network's MTU; servers take it with their next DHCP lease."""
    for size in networks.packet_sizes(profile.openstack.physical_mtu):
        if size.mtu != size.fits:
            command = "openstack network set --mtu"
            run, back = f"{command} {size.fits} {size.id}", f"{command} {size.mtu} {size.id}"
            yield ByHand(offender=str(size), run=(run,), back=(back,))


@remedy("OS-17", Risk.MANUAL)
def migrate_to_an_address_of_its_own(source: Source, service_settings: ServiceSettings) -> Iterator[Change]:
    """Names the interface from which each node's inbound address is made: the computes restart."""
    for migration in service_settings.migrations:
        if migration.uri or not migration.inbound_address:
            values = {
                "conf.libvirt.live_migration_interface": "INTERFACE",
                "conf.nova.libvirt.live_migration_uri": None,
            }
            yield _upgrade(source, migration.workload, str(migration), values)


@remedy("OS-18", Risk.MANUAL)
def keep_instances_on_ceph(source: Source, service_settings: ServiceSettings) -> Iterator[Change]:
    """Keeps new instances on Ceph; those that are there move when they are rebuilt or migrated with their blocks."""
    for store in service_settings.instance_stores:
        if store.images_type != "rbd":
            yield _upgrade(source, store.workload, str(store), {"conf.nova.libvirt.images_type": "rbd"})


@remedy("OS-22", Risk.MANUAL)
def request_something_for_every_pod(cluster: Cluster, control_plane: ControlPlane) -> Iterator[Change]:
    """Turns the charts' requests on: each upgrade rolls its pods."""
    told: set[str] = set()
    labels = {pod.path: pod.labels for pod in cluster.pods}
    for pod in control_plane.unrequested:
        mine = labels.get(pod.pod, {})
        release = mine.get("release_group") or mine.get("application", "")
        if release and release not in told:
            told.add(release)
            yield ByHand(
                offender=str(pod),
                run=(f"helm upgrade {release} CHART -n openstack --reuse-values --set pod.resources.enabled=true",),
                back=(f"helm rollback {release} -n openstack",),
            )


@remedy("OS-23", Risk.MANUAL)
def let_budgets_protect(control_plane: ControlPlane) -> Iterator[Change]:
    """Has each budget keep one pod, where there are two or more."""
    for budget in control_plane.idle_budgets:
        namespace, _, name = budget.path.partition("/")
        patch = '{"spec":{"minAvailable":1}}'
        yield ByHand(
            offender=str(budget),
            run=(
                f"kubectl -n {namespace} patch poddisruptionbudget {name} --type=merge -p '{patch}'",
                "helm upgrade RELEASE CHART -n openstack --reuse-values "  # noqa: ISC004 - one command
                "--set pod.lifecycle.disruption_budget.COMPONENT.min_available=1",
            ),
            back=(f"kubectl -n {namespace} patch poddisruptionbudget {name} --type=merge -p "  # noqa: ISC004 - likewise
                  "'{\"spec\":{\"minAvailable\":0}}'",),
        )  # fmt: skip


@remedy("IRON-07", Risk.MANUAL)
def place_conductors_on_their_nodes(ironic: Ironic, profile: Profile) -> Iterator[Change]:
    """Labels the right nodes and has the conductors selected by that label: they move."""
    label = profile.ironic.conductor_label or "ironic_role=conductor"
    key, _, value = label.partition("=")
    for seat in ironic.seats(profile.ironic.conductor_label, profile.ironic.network_node_labels):
        if seat.network or not seat.labelled:
            selector = "labels.conductor.node_selector"
            yield ByHand(
                offender=str(seat),
                run=(
                    f"kubectl label node RIGHT-NODE {label}",
                    f"kubectl label node {seat.node} {key}-",
                    f"helm upgrade ironic CHART -n openstack --reuse-values --set {selector}_key={key},"  # noqa: ISC004
                    f"{selector}_value={value}",
                    *(f"kubectl -n openstack delete pod {pod}" for pod in seat.pods),
                ),
                back=(f"kubectl label node {seat.node} {label}", "helm rollback ironic -n openstack"),
            )


def _upgrade(source: Source, workload: str, offender: str, values: dict[str, Any]) -> ByHand:
    """Return the upgrade of a workload's release with values; of several that mean the same, those of its chart."""
    kind, _, path = workload.partition(" ")
    namespace, _, name = path.partition("/")
    release = released(source, _KINDS.get(kind, kind), namespace, name)
    lasting = set_values(source, _KINDS.get(kind, kind), path, values)
    known = tuple(value for value in lasting if not value.note) or lasting
    settings = {value.path: value.value for value in known if not value.note} or values
    chart = release.name if release else name.partition("-")[0]
    options = " ".join(f"--set {path}={'null' if value is None else value}" for path, value in settings.items())
    return ByHand(
        offender=offender,
        run=(f"helm upgrade {chart} CHART -n {namespace} --reuse-values {options}",),
        back=(f"helm rollback {chart} -n {namespace}",),
        values=known,
    )
