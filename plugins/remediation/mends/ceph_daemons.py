"""What mends Ceph's daemons: by their pods and nodes, and by having groups peer anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.mends.ceph import CEPHCLUSTER, ceph_command, toolbox
from seatrial.plugins.remediation.places import deleted, restarted, uncordoned, workload_of
from seatrial.plugins.remediation.risk import DELETE_PODS, EXEC, PATCH_DEPLOYMENTS, PATCH_NODES, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.ceph import Ceph
    from seatrial.fixtures.ceph_hosts import MonHosts
    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.csi import Csi
    from seatrial.fixtures.objects import Node, Pod
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change


@remedy("CEPH-03", Risk.SAFE, PATCH_NODES, DELETE_PODS)
def let_every_mon_come_back(cluster: Cluster, ceph: Ceph) -> Iterator[Change]:
    """Uncordons the node of a mon that has no vote; one that runs and has none all the same starts anew."""
    for mon in ceph.quorum.absent:
        pod = _daemon(cluster, mon.name)
        if pod is None:
            continue
        node = _home(cluster, pod)
        if node is not None and node.spec.unschedulable:
            yield uncordoned(node, str(mon))
        if pod.node:
            yield deleted(cluster, pod, str(mon), rung=1)


@remedy("CEPH-04", Risk.MANUAL)
def part_the_mons(mon_hosts: MonHosts) -> Iterator[Change]:
    """Rook's operator makes the mon anew on another node; one at a time, with a look at the quorum in between."""
    for host in mon_hosts.shared:
        yield ByHand(
            offender=str(host),
            run=(
                f'{CEPHCLUSTER} \'{{"spec":{{"mon":{{"allowMultiplePerNode":false}}}}}}\'',
                f"kubectl -n rook-ceph scale deployment rook-ceph-mon-{host.mons[-1]} --replicas=0",
                "kubectl -n rook-ceph exec deploy/rook-ceph-tools -- ceph quorum_status -f json-pretty",
            ),
            back=(f"kubectl -n rook-ceph scale deployment rook-ceph-mon-{host.mons[-1]} --replicas=1",),
        )


@remedy("CEPH-05", Risk.DISRUPTIVE, EXEC, DELETE_PODS)
def have_stuck_groups_peer(source: Source, cluster: Cluster, ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Has the groups peer anew; if that does not help, calls their primary down, then restarts its pod.

    At last restarts the pods of the OSDs that hold their copies, one after the other: a primary waits for each of them.
    """
    stuck = ceph.stuck_groups.longer(profile.ceph.stuck_grace_s, ceph.now)
    steady_s = profile.ceph.stuck_grace_s + profile.remedies.steady_s  # one that peers is forgiven for so long
    by_primary: dict[int, list[str]] = {}
    lines: dict[int, str] = {}
    copies: dict[int, set[int]] = {}
    for group in stuck:
        if group.acting:
            copies.setdefault(group.acting[0], set()).update(group.acting[1:])
            by_primary.setdefault(group.acting[0], []).append(group.id)
            lines.setdefault(group.acting[0], str(group))
    for primary, groups in by_primary.items():
        place, told = toolbox(source, cluster), lines[primary]
        yield InPod(
            offender=told,
            before=f"{len(groups)} groups of osd.{primary} are stuck",
            after="they peer anew",
            where=place,
            run=tuple(ceph_command("pg", "repeer", group) for group in groups),
            risk="safe",
            steady_s=steady_s,
        )
        yield InPod(
            offender=told,
            before=f"osd.{primary} is up",
            after="called down, until it reports itself",
            where=place,
            run=(ceph_command("osd", "down", primary),),
            risk="moves-data",
            rung=1,
            steady_s=steady_s,
        )
        for rung, osd in enumerate((primary, *sorted(copies[primary] - set(by_primary))), start=2):
            pod = _daemon(cluster, f"osd.{osd}")
            if pod is not None:
                yield deleted(cluster, pod, told, population=len(ceph.osds), rung=rung, steady_s=steady_s)


@remedy("CEPH-06", Risk.DISRUPTIVE, DELETE_PODS)
def restart_slow_daemons(cluster: Cluster, ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Restarts the pods of the daemons that report slow operations: their groups peer anew."""
    for daemon in ceph.health.slow_daemons:
        pod = _daemon(cluster, daemon.name)
        if pod is not None:
            population = len(ceph.osds) if daemon.name.startswith("osd.") else 0
            yield deleted(cluster, pod, str(daemon), population=population, steady_s=profile.remedies.steady_s)


@remedy("CEPH-07", Risk.MOVES_DATA, EXEC, PATCH_NODES, DELETE_PODS)
def bring_every_osd_back(source: Source, cluster: Cluster, ceph: Ceph) -> Iterator[Change]:
    """Takes an OSD in that is out, which moves data to it; of one that is down, uncordons the node or restarts it."""
    for osd in ceph.osds:
        if osd.serves:
            continue
        pod = _daemon(cluster, f"osd.{osd.id}")
        node = _home(cluster, pod) if pod else None
        if not osd.up and node is not None and node.spec.unschedulable:
            yield uncordoned(node, str(osd))
        if not osd.up and pod is not None and pod.node:
            yield deleted(cluster, pod, str(osd), population=len(ceph.osds), rung=1)
        if osd.up and not osd.in_:
            yield InPod(
                offender=str(osd),
                before="out",
                after="in",
                where=toolbox(source, cluster),
                run=(ceph_command("osd", "in", osd.id),),
                back=(ceph_command("osd", "out", osd.id),),
                look=ceph_command("osd", "info", osd.id, "-f", "json"),
                expects='"in":0',
                becomes='"in":1',
                recovers=True,
            )


@remedy("CEPH-12", Risk.DISRUPTIVE, DELETE_PODS, PATCH_DEPLOYMENTS)
def free_locked_volumes(cluster: Cluster, csi: Csi, profile: Profile) -> Iterator[Change]:
    """Restarts the CSI plugin of the node, then the provisioner: meanwhile no volume is attached there."""
    waiting = csi.waiting_longer(profile.ceph.csi_grace_s)
    plugins = {pod.node: pod for pod in cluster.pods_labelled(app="csi-rbdplugin")}
    for stuck in waiting:
        if stuck.node in plugins:
            yield deleted(cluster, plugins[stuck.node], str(stuck), population=len(plugins))
    provisioner = cluster.workload("Deployment", app="csi-rbdplugin-provisioner")
    if waiting and provisioner is not None:
        yield restarted(provisioner, str(waiting[0]), "its operations are locked", rung=1)


def _daemon(cluster: Cluster, name: str) -> Pod | None:
    """Return the pod of a daemon such as `osd.3` or `mon.a`."""
    kind, _, id_ = name.partition(".")
    for pod in cluster.pods_labelled(app=f"rook-ceph-{kind}"):
        if id_ in {pod.labels.get("ceph_daemon_id"), pod.labels.get(f"ceph-{kind}-id"), pod.labels.get(kind)}:
            return pod
    return None


def _home(cluster: Cluster, pod: Pod) -> Node | None:
    """Return the node that a pod runs on, or waits for."""
    workload = workload_of(cluster, pod)
    selector = pod.spec.node_selector or (workload.spec.template.spec.node_selector if workload else {})
    wanted = pod.node or selector.get("kubernetes.io/hostname", "")
    return next(
        (node for node in cluster.nodes if wanted in {node.name, node.labels.get("kubernetes.io/hostname")}), None
    )
