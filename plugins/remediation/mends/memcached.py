"""What mends memcached: replicas that are scaled, or made anew elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.places import deleted, lasting, pod_of, scaled, workload_of, younger
from seatrial.plugins.remediation.risk import DELETE_PODS, PATCH_WORKLOADS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.memcached import Memcached
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

_LABELS = {"application": "memcached", "component": "server"}


@remedy("MC-01", Risk.SAFE, *PATCH_WORKLOADS)
def run_enough_replicas(source: Source, cluster: Cluster, memcached: Memcached, profile: Profile) -> Iterator[Change]:
    """Scales the workload. Undo scales it back."""
    short_of = {replicas.workload: replicas for replicas in memcached.workloads}
    for workload in cluster.workloads:
        if str(workload) in short_of and workload.replicas < profile.memcached.replicas:
            offender = str(short_of[str(workload)])
            yield scaled(source, workload, profile.memcached.replicas, offender, "pod.replicas.server")


@remedy("MC-02", Risk.DISRUPTIVE, DELETE_PODS)
def part_the_replicas(cluster: Cluster, memcached: Memcached) -> Iterator[Change]:
    """Deletes all but the oldest replica of a node, so that they move: their keys are lost."""
    pods = {pod.name: pod for pod in cluster.pods_labelled(**_LABELS)}
    for crowd in memcached.crowds:
        for pod in younger([pods[name] for name in crowd.pods]):
            yield deleted(cluster, pod, str(crowd), population=len(pods))


@remedy("MC-03", Risk.DISRUPTIVE, DELETE_PODS)
def move_replicas_off_burdened_nodes(cluster: Cluster, memcached: Memcached, profile: Profile) -> Iterator[Change]:
    """Deletes the replica, so that it moves: its keys are lost. It stays where its node selector leaves no choice."""
    pods = {pod.name: pod for pod in cluster.pods_labelled(**_LABELS)}
    for seat in memcached.seats:
        if seat.burden(profile.memcached.node_disk_used_max):
            for name in seat.pods:
                yield deleted(cluster, pods[name], str(seat), population=len(pods))


@remedy("MC-04", Risk.DISRUPTIVE, DELETE_PODS)
def restart_silent_replicas(cluster: Cluster, memcached: Memcached) -> Iterator[Change]:
    """Deletes the replica that does not serve: its keys are lost, as they are now."""
    replicas = memcached.replicas
    for replica in replicas:
        if replica.silence:
            yield deleted(cluster, pod_of(cluster, replica.pod), str(replica), population=len(replicas))


@remedy("MC-06", Risk.MANUAL)
def name_every_replica(cluster: Cluster, memcached: Memcached) -> Iterator[Change]:
    """Names each replica in the services' values instead of the Service before them; each upgrade rolls its pods."""
    pods = [pod for pod in cluster.pods_labelled(**_LABELS) if pod.name]
    servers = ",".join(f"{pod.name}.memcached.{pod.namespace}.svc.cluster.local:11211" for pod in pods)
    for wiring in memcached.wiring:
        if wiring.reached < wiring.replicas:
            service = wiring.where.rpartition("/")[2].partition("-")[0].partition(" ")[0]
            paths = (f"conf.{service}.keystone_authtoken.memcached_servers", f"conf.{service}.cache.memcache_servers")
            settings = " ".join(f"--set-string {path}={servers.replace(',', chr(92) + ',')}" for path in paths)
            yield ByHand(
                offender=str(wiring),
                run=(f"helm upgrade {service} CHART -n openstack --reuse-values {settings}",),
                back=(f"helm rollback {service} -n openstack",),
            )


@remedy("MC-07", Risk.MANUAL)
def give_the_cache_more_memory(
    source: Source, cluster: Cluster, memcached: Memcached, profile: Profile
) -> Iterator[Change]:
    """Gives each replica more memory: they restart, and are empty."""
    for evictions in memcached.evictions:
        if evictions.per_s > profile.memcached.evictions_per_s_max:
            workload = workload_of(cluster, pod_of(cluster, evictions.pod))
            if workload is None:
                continue
            values = lasting(source, workload.kind, workload.path, ("conf.memcached.memory", 1024))
            yield ByHand(
                offender=str(evictions),
                run=(
                    "helm upgrade memcached CHART -n openstack --reuse-values --set conf.memcached.memory=1024",
                    f"kubectl -n {workload.namespace} rollout status {workload.kind.lower()}/{workload.name}",
                ),
                back=("helm rollback memcached -n openstack",),
                values=values,
            )
