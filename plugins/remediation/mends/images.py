"""What mends images: carried from node to node; another image is a matter of Helm values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.fixtures.image_reference import Reference
from seatrial.fixtures.node_probe import PROBE
from seatrial.plugins.remediation.change import Value
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.mends.nodes import places_on_nodes
from seatrial.plugins.remediation.places import released
from seatrial.plugins.remediation.risk import EXEC, Risk
from seatrial.plugins.remediation.side_load import SideLoad

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.images import Images
    from seatrial.fixtures.objects import Node
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

_OCI = "quay.io/airshipit/kubernetes-entrypoint:latest-ubuntu_noble"
"""openstack-helm's own image for `dep_check` today."""


@remedy("IMG-01", Risk.MANUAL)
def name_an_oci_image(source: Source, images: Images) -> Iterator[Change]:
    """Names an image that can be pulled in the values of each release: its next upgrade rolls the pods."""
    for image in images.outdated:
        for user in image.users:
            kind, _, path = user.partition(" ")
            namespace, _, name = path.partition("/")
            names = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
            release = released(source, names.get(kind, kind.capitalize()), namespace, name)
            chart = release.name if release else name
            command = f"helm upgrade {chart} CHART -n {namespace} --reuse-values --set images.tags.dep_check={_OCI}"
            values = (Value(release=release.path, path="images.tags.dep_check", value=_OCI),) if release else ()
            yield ByHand(
                offender=str(image), run=(command,), back=(f"helm rollback {chart} -n {namespace}",), values=values
            )


@remedy("IMG-02", Risk.SAFE, EXEC, asks=(PROBE,))
def carry_images_over(source: Source, cluster: Cluster, images: Images, profile: Profile) -> Iterator[Change]:
    """Copies the image from a node that has it, through the API server. Undo removes it there."""
    for missing in images.missing(profile.nodes.control_plane_label):
        for name in missing.nodes:
            yield from _carried(source, cluster, missing.image, name, str(missing))


@remedy("IMG-03", Risk.SAFE, EXEC, asks=(PROBE,))
def carry_over_what_pods_wait_for(
    source: Source, cluster: Cluster, images: Images, profile: Profile
) -> Iterator[Change]:
    """Copies the image that a pod waits for from a node that has it. Undo removes it there."""
    late = {pod.pod: str(pod) for pod in images.late if pod.since_s > profile.images.pull_grace_s}
    told: set[tuple[str, str]] = set()
    for pod in cluster.pods:
        if pod.path not in late or not pod.node:
            continue
        for status in pod.statuses:
            if status.state.waiting and "Pull" in status.state.waiting.reason and (status.image, pod.node) not in told:
                told.add((status.image, pod.node))
                yield from _carried(source, cluster, status.image, pod.node, late[pod.path])


@remedy("IMG-04", Risk.MANUAL)
def pull_only_what_is_missing(images: Images) -> Iterator[Change]:
    """Sets the pull policy to IfNotPresent in the release's values: its next upgrade rolls the pods."""
    for use in images.always_pulled:
        _, _, path = use.workload.partition(" ")
        namespace, _, name = path.partition("/")
        yield ByHand(
            offender=str(use),
            run=(f"helm upgrade {name} CHART -n {namespace} --reuse-values --set images.pull_policy=IfNotPresent",),
            back=(f"helm rollback {name} -n {namespace}",),
        )


def _carried(source: Source, cluster: Cluster, image: str, name: str, offender: str) -> Iterator[Change]:
    holders = [node for node in cluster.nodes if node.ready and node.name != name and _holds(node, image)]
    target = next((node for node in cluster.nodes if node.name == name), None)
    if not holders or target is None:
        return
    places = places_on_nodes(source, cluster)
    runtime = target.status.node_info.container_runtime_version.partition(":")[0]
    known = [node for node in holders if node.name in places]
    if known and name in places:
        yield SideLoad(
            offender=offender,
            before=f"not on {name}",
            after=f"on {name}, as on {known[0].name}",
            image=image,
            runtime=runtime or "containerd",
            source=places[known[0].name],
            target=places[name],
        )
        return
    tool = ("docker save", "docker load") if runtime == "docker" else (
        "ctr -n k8s.io images export -", "ctr -n k8s.io images import -"
    )  # fmt: skip
    yield ByHand(
        offender=offender, risk="manual", run=(f"ssh {holders[0].name} {tool[0]} {image} | ssh {name} {tool[1]}",)
    )


def _holds(node: Node, image: str) -> bool:
    wanted = Reference.parse(image)
    return any(Reference.parse(name) == wanted for listed in node.status.images for name in listed.names)
