"""Changes of Kubernetes objects: fields that are patched, pods that are deleted, workloads that start anew."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures import resources
from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.change import Change, Failed, Refused
from seatrial.plugins.remediation.fields import Field, inverse, operations, pointer, value_at
from seatrial.plugins.remediation.hand import JSON_PATCH, Conflict
from seatrial.plugins.remediation.risk import DELETE_PODS

if TYPE_CHECKING:
    from seatrial.plugins.remediation.hand import Hand

_ATTEMPTS = 5
"""How often a patch is tried anew when only fields that it does not speak of were written meanwhile."""
_RESTARTED = "kubectl.kubernetes.io/restartedAt"


class Patch(Change, frozen=True, kw_only=True, tag="patch"):
    """Fields of one object. `spelled` and `spelled_undo` are shorter commands that do the same."""

    resource: str
    name: str
    fields: tuple[Field, ...]
    namespace: str = ""
    rollout: bool = False
    """Whether its workload replaces or adds pods by it, which is waited for."""
    spelled: str = ""
    spelled_undo: str = ""

    @property
    def typed(self) -> tuple[str, ...]:
        """`kubectl patch`, or what is shorter."""
        return (self.spelled or self._kubectl(self.fields),)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The patch back."""
        return (self.spelled_undo or self._kubectl(inverse(self.fields)),)

    @property
    def rights(self) -> tuple[Right, ...]:
        """To patch the object."""
        return (Right("patch", resources.group(self.resource), self.resource, "", self.namespace),)

    def check(self, hand: Hand) -> bool:
        """Compare the fields with what was judged."""
        return self._compared(self._read(hand), self.fields)

    def apply(self, hand: Hand) -> None:
        """Patch, provided that nobody writes in between."""
        self._written(hand, self.fields)

    def undo(self, hand: Hand) -> bool:
        """Patch back, provided that the fields are still what this change made of them."""
        fields = inverse(self.fields)
        if self._compared(self._read(hand), fields):
            return False
        self._written(hand, fields)
        return True

    def unsettled(self, hand: Hand) -> str:
        """Follow the rollout."""
        return rollout_left(hand, self.resource, self.namespace, self.name) if self.rollout else ""

    @property
    def _path(self) -> str:
        return resources.path(self.resource, self.namespace, self.name)

    @property
    def _whom(self) -> str:
        return f"{self.resource.removesuffix('s')} {f'{self.namespace}/' if self.namespace else ''}{self.name}"

    def _read(self, hand: Hand) -> dict[str, Any]:
        live = hand.get(self._path)
        if live is None:
            raise Refused(f"{self._whom} is gone since it was judged")
        return live

    def _compared(self, live: dict[str, Any], fields: tuple[Field, ...]) -> bool:
        """Return whether all fields are as they should become. Raises `Refused` for one that is a third thing."""
        for field in fields:
            found = value_at(live, field.path)
            if found not in (field.before, field.after):
                where = ".".join(map(str, field.path))
                raise Refused(f"{self._whom} changed since it was judged: {where} is {found!r}, not {field.before!r}")
        return all(value_at(live, field.path) == field.after for field in fields)

    def _written(self, hand: Hand, fields: tuple[Field, ...]) -> None:
        for _ in range(_ATTEMPTS):
            live = self._read(hand)
            if self._compared(live, fields):
                return
            version = live["metadata"].get("resourceVersion")
            unchanged = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
            try:
                hand.send("PATCH", self._path, [unchanged, *operations(live, fields)], JSON_PATCH)
            except Conflict as conflict:
                if (self._read(hand)["metadata"].get("resourceVersion")) == version:
                    raise Failed(str(conflict)) from conflict
                continue
            return
        raise Failed(f"{self._whom} is written by others all the time")

    def _kubectl(self, fields: tuple[Field, ...]) -> str:
        patch = [
            *({"op": "test", "path": pointer(f.path), "value": f.before} for f in fields if f.before is not None),
            *operations({}, fields, parents=False),
        ]
        space = f" -n {self.namespace}" if self.namespace else ""
        typed = shlex.quote(json.dumps(patch, separators=(",", ":")))
        return f"kubectl{space} patch {self.resource.removesuffix('s')} {self.name} --type=json -p {typed}"


class Delete(Change, frozen=True, kw_only=True, tag="delete"):
    """A pod that is deleted, so that its controller makes another one."""

    name: str
    namespace: str
    uid: str
    workload: str = ""
    """The workload that makes it anew, as `statefulsets NAMESPACE/NAME`, whose pods are waited for."""

    @property
    def typed(self) -> tuple[str, ...]:
        """`kubectl delete pod`."""
        return (f"kubectl -n {self.namespace} delete pod {self.name}",)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """Nothing: the pod is made anew."""
        return ()

    @property
    def rights(self) -> tuple[Right, ...]:
        """To delete pods there."""
        return (msgspec.structs.replace(DELETE_PODS, namespace=self.namespace),)

    def check(self, hand: Hand) -> bool:
        """See whether it is the pod that was judged."""
        live = hand.get(resources.path("pods", self.namespace, self.name))
        return live is None or live["metadata"].get("uid") != self.uid

    def apply(self, hand: Hand) -> None:
        """Delete that pod and no other of its name."""
        if not self.check(hand):
            hand.delete(resources.path("pods", self.namespace, self.name), self.uid)

    def undo(self, hand: Hand) -> bool:
        """Nothing is to be undone."""
        del hand
        return False

    def unsettled(self, hand: Hand) -> str:
        """Wait until the pod is gone and its workload is whole again."""
        live = hand.get(resources.path("pods", self.namespace, self.name))
        if live is not None and live["metadata"].get("uid") == self.uid:
            return f"pod {self.namespace}/{self.name} has not ended"
        if not self.workload:
            return ""
        resource, _, path = self.workload.partition(" ")
        return pods_missing(hand, resource, *path.split("/"))

    @property
    def restarts(self) -> bool:
        """It starts a pod again."""
        return True


class Restart(Change, frozen=True, kw_only=True, tag="restart"):
    """A workload whose pods start anew, one after the other.

    With `pods`, each of these (name and uid) is deleted in its turn, and the next one when it is back: a StatefulSet
    with a partition, or one that is updated on deletion, does not roll by its template.
    """

    resource: str
    namespace: str
    name: str
    pods: tuple[str, ...] = ()

    @property
    def typed(self) -> tuple[str, ...]:
        """`kubectl rollout restart`, or the deletion of pod after pod."""
        short = f"{self.resource.removesuffix('s')}/{self.name}"
        if not self.pods:
            return (f"kubectl -n {self.namespace} rollout restart {short}",)
        wait = f"kubectl -n {self.namespace} wait --for=condition=Ready --timeout=10m"
        return tuple(f"kubectl -n {self.namespace} delete pod {pod} && {wait} pod/{pod}" for pod in self.pods)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The same: what was undone before it takes effect."""
        return self.typed

    @property
    def rights(self) -> tuple[Right, ...]:
        """To patch the workload or to delete its pods."""
        if self.pods:
            return (msgspec.structs.replace(DELETE_PODS, namespace=self.namespace),)
        return (Right("patch", resources.group(self.resource), self.resource, "", self.namespace),)

    @property
    def restarts(self) -> bool:
        """It does nothing else."""
        return True

    def check(self, hand: Hand) -> bool:
        """A restart is never made already."""
        if hand.get(resources.path(self.resource, self.namespace, self.name)) is None:
            raise Refused(f"{self.resource.removesuffix('s')} {self.namespace}/{self.name} is gone since it was judged")
        return False

    def apply(self, hand: Hand) -> None:
        """Begin the rollout; with `pods`, go through all of them."""
        if not self.pods:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            template = {"spec": {"template": {"metadata": {"annotations": {_RESTARTED: now}}}}}
            path = resources.path(self.resource, self.namespace, self.name)
            hand.send("PATCH", path, template, "application/strategic-merge-patch+json")
            return
        for pod in self.pods:
            self._replaced(hand, pod)

    def _replaced(self, hand: Hand, pod: str) -> None:
        path = resources.path("pods", self.namespace, pod)
        live = hand.get(path)
        uid = live["metadata"]["uid"] if live else ""
        hand.wait_until(f"{self.resource.removesuffix('s')} {self.name} to be whole", lambda: self._left(hand))
        if uid:
            hand.delete(path, uid)

        def late() -> str:
            made = hand.get(path)
            if made is None or made["metadata"]["uid"] == uid:
                return f"pod {pod} is not back"
            return self._left(hand)

        hand.wait_until(f"pod {self.namespace}/{pod} to be back", late)

    def _left(self, hand: Hand) -> str:
        return pods_missing(hand, self.resource, self.namespace, self.name)

    def undo(self, hand: Hand) -> bool:
        """Restart once more, so that what was undone before takes effect."""
        self.apply(hand)
        return True

    def unsettled(self, hand: Hand) -> str:
        """Follow the rollout."""
        if self.pods:
            return self._left(hand)
        return rollout_left(hand, self.resource, self.namespace, self.name)


def rollout_left(hand: Hand, resource: str, namespace: str, name: str) -> str:
    """Return what a rollout still has to do, as `kubectl rollout status` would; empty when it is over."""
    live = hand.get(resources.path(resource, namespace, name))
    if live is None:
        return f"{resource.removesuffix('s')} {namespace}/{name} is gone"
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "the rollout has not begun"
    if resource == "daemonsets":
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
        updated = status.get("updatedNumberScheduled", 0)
    else:
        wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
        same = resource == "statefulsets" and status.get("updateRevision") == status.get("currentRevision")
        updated = wanted if same else status.get("updatedReplicas", 0)
    there = status.get("replicas", wanted)
    if updated < wanted or ready < wanted or (resource == "deployments" and there > wanted):
        return f"{updated} of {wanted} pods updated, {ready} ready"
    return ""


def pods_missing(hand: Hand, resource: str, namespace: str, name: str) -> str:
    """Return how many pods of a workload are not ready, whatever their revision; empty when all are."""
    live = hand.get(resources.path(resource, namespace, name))
    if live is None:
        return f"{resource.removesuffix('s')} {namespace}/{name} is gone"
    status, spec = live.get("status") or {}, live.get("spec") or {}
    if resource == "daemonsets":
        wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    else:
        wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    return "" if ready >= wanted else f"{ready} of {wanted} pods ready"
