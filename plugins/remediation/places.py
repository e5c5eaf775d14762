"""Where remedies reach: the pod that a command runs in, the workload behind a pod, the release behind a workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures.helm import Helm
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.plugins.remediation.change import Value
from seatrial.plugins.remediation.fields import Field
from seatrial.plugins.remediation.hand import Where
from seatrial.plugins.remediation.objects import Delete, Patch, Restart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.helm import Release
    from seatrial.fixtures.objects import Node, Pod, Workload
    from seatrial.fixtures.question import Command
    from seatrial.fixtures.source import Source
    from seatrial.plugins.remediation.fields import Key

PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}

_TEMPLATE_HASH = "pod-template-hash"
"""The label that tells the pods of a Deployment's revisions apart, and ends the name of each one's ReplicaSet."""


def speaker_of(source: Source, cluster: Cluster, question: Command) -> Where:
    """Return where a question that one pod answers was asked. Raises `Unavailable` where none did."""
    return where(pod_of(cluster, source.one(question).speaker), question.where.container)


def pod_of(cluster: Cluster, path: str) -> Pod:
    """Return a pod by `namespace/name`. Raises `Unavailable`."""
    for pod in cluster.pods:
        if pod.path == path:
            return pod
    raise Unavailable(f"pod {path} is gone since it was asked")


def where(pod: Pod, container: str = "") -> Where:
    """Return the place of a pod: any ready pod of its Deployment, else itself."""
    itself = exactly(pod, container)
    hash_ = pod.labels.get(_TEMPLATE_HASH)
    owners = [owner for owner in pod.metadata.owner_references if owner.kind == "ReplicaSet"]
    if not hash_ or not owners:
        return itself
    kept = sorted((label, value) for label, value in pod.labels.items() if label != _TEMPLATE_HASH)
    selector = ",".join(f"{label}={value}" for label, value in kept)
    deployment = owners[0].name.removesuffix(f"-{hash_}")
    return msgspec.structs.replace(itself, spelled=f"deploy/{deployment}", pod="", selector=selector)


def exactly(pod: Pod, container: str = "") -> Where:
    """Return the place of this pod and no other."""
    names = [c.name for c in pod.spec.containers]
    inside = container if container in names and len(names) > 1 else ""
    return Where(namespace=pod.namespace, spelled=pod.name, pod=pod.name, container=inside)


def workload_of(cluster: Cluster, pod: Pod) -> Workload | None:
    """Return the workload that makes a pod, if one does; None where a plan does not know the workloads."""
    try:
        workloads = cluster.workloads
    except Unavailable:
        return None
    for owner in pod.metadata.owner_references:
        name, kind = owner.name, owner.kind
        if kind == "ReplicaSet":
            name, kind = name.removesuffix(f"-{pod.labels.get(_TEMPLATE_HASH, '')}"), "Deployment"
        for workload in workloads:
            if (workload.kind, workload.namespace, workload.name) == (kind, pod.namespace, name):
                return workload
    return None


def short(workload: Workload) -> str:
    """Return a workload as guards know it: `statefulset NAMESPACE/NAME`."""
    return f"{workload.kind.lower()} {workload.path}"


def released(source: Source, kind: str, namespace: str, name: str) -> Release | None:
    """Return the release whose manifest has an object; None where there is none, or where it is not known."""
    try:
        releases = Helm(source).deployed
    except (NotConcerned, Unavailable):
        return None
    for release in releases:
        for item in release.manifest:
            metadata = item.get("metadata") or {}
            place = str(metadata.get("namespace") or release.namespace)
            if item.get("kind") == kind and metadata.get("name") == name and place == namespace:
                return release
    return None


def lasting(source: Source, kind: str, path: str, *candidates: tuple[str, Any]) -> tuple[Value, ...]:
    """Return the chart value that makes a change of an object last: the first of the candidates that its chart has.

    A candidate is a dotted path with its value. Nothing where no release has the object.
    """
    namespace, _, name = path.partition("/")
    release = released(source, kind, namespace, name)
    if release is None:
        return ()
    for dotted, value in candidates:
        try:
            release.value(dotted)
        except KeyError:
            if not _given(release.config, dotted):
                continue
        return (Value(release=release.path, path=dotted, value=value),)
    dotted, value = candidates[0]
    return (Value(release=release.path, path=dotted, note=f"{value}, by whatever value this chart has for it"),)


def _given(values: Any, dotted: str) -> bool:
    """Whether a user gave a value that the chart knows nothing of."""
    for key in dotted.split("."):
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True


def set_values(source: Source, kind: str, path: str, values: dict[str, Any]) -> tuple[Value, ...]:
    """Return several chart values that make a change of an object last; of each, what its chart knows."""
    return tuple(value for dotted, wanted in values.items() for value in lasting(source, kind, path, (dotted, wanted)))


def scaled(source: Source, workload: Workload, replicas: int, offender: str, *values: str) -> Patch:
    """Return the change that gives a workload its replicas; `values` are the chart's paths that say so."""
    resource = PLURALS[workload.kind]
    scale = f"kubectl -n {workload.namespace} scale {workload.kind.lower()} {workload.name} --replicas="
    return Patch(
        offender=offender,
        before=f"replicas {workload.replicas}",
        after=f"replicas {replicas}",
        resource=resource,
        namespace=workload.namespace,
        name=workload.name,
        fields=(Field(("spec", "replicas"), workload.replicas, replicas),),
        rollout=True,
        spelled=f"{scale}{replicas}",
        spelled_undo=f"{scale}{workload.replicas}",
        values=lasting(source, workload.kind, workload.path, *((path, replicas) for path in values)),
    )


def restarted(
    workload: Workload,
    offender: str,
    before: str = "runs with what it was started with",
    *,
    pods: tuple[str, ...] = (),
    rung: int = 0,
    completing: bool = False,
) -> Restart:
    """Return the change that has the pods of a workload start anew: by a rollout, or these one after the other.

    It is `completing` where its claim reads what is written and not what runs, so that it would hold without it.
    """
    return Restart(
        offender=offender,
        before=before,
        after="started anew",
        resource=PLURALS[workload.kind],
        namespace=workload.namespace,
        name=workload.name,
        pods=pods,
        takes=short(workload),
        rung=rung,
        completing=completing,
    )


def uncordoned(node: Node, offender: str, rung: int = 0) -> Patch:
    """Return the change that lets pods be scheduled on a node again."""
    return Patch(
        offender=offender,
        before="cordoned",
        after="open",
        resource="nodes",
        name=node.name,
        fields=(Field(("spec", "unschedulable"), before=True, after=None),),
        spelled=f"kubectl uncordon {node.name}",
        spelled_undo=f"kubectl cordon {node.name}",
        risk="safe",
        rung=rung,
    )


def deleted(
    cluster: Cluster, pod: Pod, offender: str, *, population: int = 0, rung: int = 0, steady_s: float = 0.0
) -> Delete:
    """Return the change that has a pod made anew."""
    workload = workload_of(cluster, pod)
    return Delete(
        offender=offender,
        before=f"pod {pod.path} on {pod.node or 'no node'}",
        after="made anew",
        name=pod.name,
        namespace=pod.namespace,
        uid=pod.metadata.uid,
        workload=f"{PLURALS[workload.kind]} {workload.path}" if workload else "",
        takes=f"pod {pod.path}",
        population=population,
        rung=rung,
        steady_s=steady_s,
        risk="disruptive",
    )


def younger(pods: list[Pod]) -> list[Pod]:
    """Return all but the oldest."""
    return sorted(pods, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.name))[1:]


def container_fields(
    workload: Workload, container: str, wanted: dict[tuple[Key, ...], Any], now: dict[tuple[Key, ...], Any]
) -> Iterator[Field]:
    """Yield the fields of a container of the template: its name, which must stay, and those that change."""
    containers = workload.spec.template.spec.containers
    index = next((n for n, c in enumerate(containers) if c.name == container), 0)
    place: tuple[Key, ...] = ("spec", "template", "spec", "containers", index)
    name = containers[index].name
    yield Field((*place, "name"), name, name)
    for path, value in wanted.items():
        yield Field((*place, *path), now.get(path), value)
