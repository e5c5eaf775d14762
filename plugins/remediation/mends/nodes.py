"""What mends nodes: uncordoning, pruning, a runtime or a proxy that starts anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.fixtures.node_probe import PROBE
from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.places import deleted, exactly, pod_of, uncordoned
from seatrial.plugins.remediation.risk import DELETE_PODS, EXEC, PATCH_NODES, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.nodes import Nodes
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change
    from seatrial.plugins.remediation.hand import Where

HOST = ("chroot", "/proc/1/root")
"""From a privileged pod that shares the node's processes into the node itself."""
_NETWORK = {"kube-proxy", "calico-node", "cilium", "canal", "flannel", "kube-router", "weave-net", "kube-ovn-cni"}


@remedy("NODE-02", Risk.SAFE, PATCH_NODES)
def open_cordoned_nodes(cluster: Cluster, nodes: Nodes, profile: Profile) -> Iterator[Change]:
    """Lets pods be scheduled on the node again. Undo cordons it."""
    cordoned = {node.name: str(node) for node in nodes.carriers(profile.nodes.control_plane_label) if node.cordoned}
    for node in cluster.nodes:
        if node.name in cordoned:
            yield uncordoned(node, cordoned[node.name])


@remedy("NODE-03", Risk.MANUAL)
def store_containers_with_overlay2(nodes: Nodes, profile: Profile) -> Iterator[Change]:
    """All containers and images of the node are lost: an image that cannot be pulled must be carried back (IMG-02)."""
    for node in nodes.drivers:
        if node.driver not in profile.nodes.docker_storage_drivers:
            yield ByHand(
                offender=str(node),
                run=(
                    f"kubectl drain {node.node} --ignore-daemonsets --delete-emptydir-data",
                    f"ssh {node.node} 'zfs create -V 200G -s rpool/docker && mkfs.xfs /dev/zvol/rpool/docker'",
                    f"ssh {node.node} 'systemctl stop docker && mount /dev/zvol/rpool/docker /var/lib/docker'",
                    f'ssh {node.node} \'echo {{\\"storage-driver\\":\\"overlay2\\"}} >/etc/docker/daemon.json\'',
                    f"ssh {node.node} systemctl start docker",
                    f"kubectl uncordon {node.node}",
                ),
                back=(f"ssh {node.node} 'rm /etc/docker/daemon.json && umount /var/lib/docker'",),
            )


@remedy("NODE-04", Risk.DISRUPTIVE, EXEC)
def prune_images(source: Source, cluster: Cluster, nodes: Nodes, profile: Profile) -> Iterator[Change]:
    """Deletes what no container of the last ten days uses. An image that cannot be pulled is lost: see to IMG-02."""
    places = places_on_nodes(source, cluster)
    for node in nodes.datasets:
        if node.count > profile.nodes.zfs_datasets_max and node.node in places:
            yield InPod(
                offender=str(node),
                before=f"{node.count} datasets",
                after="without unused images",
                where=places[node.node],
                run=(
                    (*HOST, "docker", "system", "prune", "-af", "--filter", "until=240h"),
                    (*HOST, "docker", "builder", "prune", "-af"),
                ),
                population=len(cluster.nodes),
                afterwards=("IMG-02",),
            )


@remedy("NODE-06", Risk.DISRUPTIVE, EXEC)
def restart_the_runtime(source: Source, cluster: Cluster, nodes: Nodes, profile: Profile) -> Iterator[Change]:
    """Restarts the container runtime of the node, from a pod there: one that starts no exec any more needs ssh."""
    places = places_on_nodes(source, cluster)
    versions = {node.name: node.status.node_info.container_runtime_version for node in cluster.nodes}
    for node in nodes.runtimes:
        if not node.complaint and node.silent_s <= profile.nodes.runtime_answer_s:
            continue
        runtime = versions.get(node.node, "").partition(":")[0] or "containerd"
        if node.node in places:
            yield InPod(
                offender=str(node),
                before="does not answer",
                after="started anew",
                where=places[node.node],
                # Whoever waits for the runtime is cut off by its restart.
                run=((*HOST, "systemctl", "--no-block", "restart", runtime),),
                population=len(cluster.nodes),
            )
        else:
            yield ByHand(offender=str(node), run=(f"ssh {node.node} systemctl restart {runtime}",), risk="manual")


@remedy("NODE-07", Risk.DISRUPTIVE, DELETE_PODS)
def restart_the_network_of_nodes(cluster: Cluster, nodes: Nodes) -> Iterator[Change]:
    """Restarts kube-proxy's and the network plugin's pod of the node: its connections may break."""
    cut_off = {node.node: str(node) for node in nodes.reach if node.missing}
    for pod in cluster.pods:
        names = {pod.labels.get("k8s-app", ""), pod.labels.get("app", ""), pod.labels.get("app.kubernetes.io/name", "")}
        if pod.node in cut_off and names & _NETWORK:
            yield deleted(cluster, pod, cut_off[pod.node], population=len(cluster.nodes))


@remedy("NODE-08", Risk.MANUAL)
def level_the_kubelets(nodes: Nodes, profile: Profile) -> Iterator[Change]:
    """Upgrades the kubelets that are behind, one node after another."""
    allowed = range(profile.nodes.kubelet_minor_skew + 1)
    for kubelet in nodes.kubelets:
        if kubelet.odd or kubelet.behind not in allowed:
            version = kubelet.usual.lstrip("v")
            yield ByHand(
                offender=str(kubelet),
                run=(
                    f"kubectl drain {kubelet.node} --ignore-daemonsets --delete-emptydir-data",
                    f"ssh {kubelet.node} 'apt-get install -y kubelet={version}-* && systemctl restart kubelet'",
                    f"kubectl uncordon {kubelet.node}",
                ),
            )


def places_on_nodes(source: Source, cluster: Cluster) -> dict[str, Where]:
    """Return by node a privileged pod that shares its processes; not the pods that share the network only."""
    found = {}
    for answer in source.ask(PROBE):
        pod = pod_of(cluster, answer.speaker)
        if pod.spec.host_network and "csi" in pod.labels.get("app", ""):
            found[pod.node] = exactly(pod, PROBE.where.container)
    return found
