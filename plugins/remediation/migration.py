"""The migration of dnsmasq's volumes from ReadWriteOnce to ReadWriteMany, and its way back: steps with a journal.

Each step first writes down what it found and then acts, so that a run that is killed anywhere can be gone on with: what
a step found is never looked up again once it has begun. Nothing is deleted before its copy has the same checksums.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from seatrial.fixtures import resources
from seatrial.plugins.remediation import volume_copy
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.claims import Claims, class_for
from seatrial.plugins.remediation.guards import lacking
from seatrial.plugins.remediation.objects import pods_missing
from seatrial.plugins.remediation.volumes import (
    BACKUP,
    FORWARD,
    RIGHTS,
    SHARED,
    SINGLE,
    claim_definition,
    definition,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.plugins.remediation.contents import StepEntry
    from seatrial.plugins.remediation.hand import Hand
    from seatrial.plugins.remediation.journal import Journal
    from seatrial.plugins.remediation.volumes import Wanted


@dataclass(frozen=True)
class Step:
    """A step: what it writes down before it acts, what it does with that, and how an operator would do it."""

    name: str
    look: Callable[[], dict[str, Any]]
    act: Callable[[dict[str, Any]], dict[str, Any]]
    typed: tuple[str, ...]


class Migration:
    """One way, forward or back."""

    def __init__(
        self, hand: Hand, journal: Journal, wanted: Wanted, direction: str, say: Callable[[str], None]
    ) -> None:
        self._hand = hand
        self._journal = journal
        self._wanted = wanted
        self._forward = direction == FORWARD
        self._direction = direction
        self._say = say
        self._mode = SHARED if self._forward else SINGLE
        self._claims = Claims(hand, wanted.namespace)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in their order: eleven forward, ten back."""
        w = self._wanted
        space, both = f"kubectl -n {w.namespace}", " ".join(w.claims)
        temporary = " ".join(f"{claim}-new" for claim in w.claims)
        mode = self._mode
        scale = f"{space} scale statefulset"
        steps = [
            Step(
                "take ArgoCD's write access away",
                self._look_at_binding,
                self._delete_binding,
                (
                    f"kubectl get clusterrolebinding {w.binding} -o yaml > binding.yaml",
                    f"kubectl delete clusterrolebinding {w.binding}",
                ),
            ),
            Step(
                "scale down",
                self._look_at_replicas,
                self._scale_down,
                tuple(f"{scale} {name} --replicas=0" for name in w.workloads),
            ),
            Step(
                "back up the claims",
                self._look_at_claims,
                self._back_up,
                (f"{space} get pvc {both} -o yaml > claims.yaml",),
            ),
            Step("make temporary claims", dict, self._make_temporary, (f"{space} create -f temporary.yaml  # {mode}",)),
            Step("copy to them", dict, self._copy_out, (f"{space} create -f copy-job.yaml  # rsync, then sha256sum",)),
            Step("delete the old claims", dict, self._delete_old, (f"{space} delete pvc {both}",)),
            Step("recreate the claims", dict, self._recreate, (f"{space} create -f claims.yaml  # {mode}",)),
            Step("copy back", dict, self._copy_back, (f"{space} create -f copy-back-job.yaml",)),
            Step("delete the temporary claims", dict, self._delete_temporary, (f"{space} delete pvc {temporary}",)),
            Step(
                "scale up and verify",
                dict,
                self._scale_up,
                tuple(f"{scale} {name} --replicas={count}" for name, count in w.workloads.items()),
            ),
            Step("give ArgoCD its write access back", dict, self._restore_binding, ("kubectl create -f binding.yaml",)),
        ]
        return tuple(step for step in steps if self._forward or step.name != "back up the claims")

    def check(self) -> None:
        """Refuse what cannot end well. Raises `Refused` or `Failed`."""
        missing = lacking(self._hand, RIGHTS)
        if missing:
            raise Refused(f"rights are missing (docs/remedies.md lists them): {', '.join(map(str, missing))}")
        class_for(self._hand, self._wanted.storage_class, self._mode)
        if not self._forward and not self._backup():
            raise Refused(f"there is no backup: neither in {self._journal.path} nor in ConfigMap {BACKUP}")

    def run(self, held: Callable[[], None]) -> None:
        """Go through the steps that are not done yet; `held` raises `Refused` where the Lease is lost.

        Raises `Refused` or `Failed`; what was done stays done.
        """
        for number, step in enumerate(self.steps, start=1):
            held()
            known = self._known(step.name)
            if known is not None and known.done:
                continue
            self._say(f"{number} of {len(self.steps)}: {step.name}")
            found = known.found if known is not None else {**step.look(), "wanted": asdict(self._wanted)}
            if known is None:
                self._journal.begin_step(self._direction, step.name, found)
            self._journal.end_step(self._direction, step.name, step.act(found))

    @property
    def finished(self) -> bool:
        """Whether every step of this way is done."""
        return all((known := self._known(step.name)) is not None and known.done for step in self.steps)

    def _known(self, name: str) -> StepEntry | None:
        """Return what is known of a step; nothing where the other way was gone since."""
        contents = self._journal.contents
        return contents.step(self._direction, name) if contents.way == self._direction else None

    def told(self) -> list[str]:
        """Return the plan, with each object as it is now."""
        lines = []
        target = f"{self._mode} on {class_for(self._hand, self._wanted.storage_class, self._mode)}"
        for number, step in enumerate(self.steps, start=1):
            lines.append(f"{number}. {step.name}")
            lines += [f"     {command}" for command in step.typed]
        for claim in self._wanted.claims:
            live = self._claims.get(claim)
            spec = (live or {}).get("spec") or {}
            now = (
                f"{' '.join(spec.get('accessModes') or [])} on {spec.get('storageClassName')}" if live else "not there"
            )
            lines.append(f"persistentvolumeclaim {self._wanted.namespace}/{claim}: {now} -> {target}")
        for name, count in self._wanted.workloads.items():
            live = self._hand.get(resources.path("statefulsets", self._wanted.namespace, name))
            now = live["spec"].get("replicas") if live else "not there"
            lines.append(f"statefulset {self._wanted.namespace}/{name}: {now} -> 0 -> {count} replicas")
        binding = self._hand.get(resources.path("clusterrolebindings", "", self._wanted.binding))
        there = "taken away and given back" if binding else "not there: nothing to take away"
        lines.append(f"clusterrolebinding {self._wanted.binding}: {there}")
        return lines

    def _done(self, name: str) -> dict[str, Any]:
        """Return what a step of this way left behind."""
        known = self._journal.contents.step(self._direction, name)
        return known.left if known else {}

    def _found(self, name: str, direction: str = "") -> dict[str, Any]:
        known = self._journal.contents.step(direction or self._direction, name)
        return known.found if known else {}

    def _look_at_binding(self) -> dict[str, Any]:
        live = self._hand.get(resources.path("clusterrolebindings", "", self._wanted.binding))
        return {"binding": definition(live, ("roleRef", "subjects")) if live else None}

    def _delete_binding(self, _found: dict[str, Any]) -> dict[str, Any]:
        self._hand.delete(resources.path("clusterrolebindings", "", self._wanted.binding))
        return {}

    def _restore_binding(self, _found: dict[str, Any]) -> dict[str, Any]:
        binding = self._found("take ArgoCD's write access away").get("binding")
        if binding and self._hand.get(resources.path("clusterrolebindings", "", self._wanted.binding)) is None:
            self._hand.send("POST", resources.path("clusterrolebindings"), binding)
        return {}

    def _look_at_replicas(self) -> dict[str, Any]:
        found = {}
        for name in self._wanted.workloads:
            live = self._hand.get(resources.path("statefulsets", self._wanted.namespace, name))
            if live is None:
                raise Refused(f"there is no statefulset {self._wanted.namespace}/{name}")
            found[name] = live["spec"].get("replicas", 1)
        return {"replicas": found}

    def _scale_down(self, _found: dict[str, Any]) -> dict[str, Any]:
        for name in self._wanted.workloads:
            self._scale(name, 0)
        for name in self._wanted.workloads:
            self._hand.wait_until(f"the pods of {name} to be gone", lambda name=name: self._pods_of(name))  # type: ignore[misc]
        return {}

    def _scale_up(self, _found: dict[str, Any]) -> dict[str, Any]:
        for name, count in self._wanted.workloads.items():
            self._scale(name, count)
        space = self._wanted.namespace
        for name in self._wanted.workloads:
            self._hand.wait_until(
                f"{name} to be ready",
                lambda name=name: pods_missing(self._hand, "statefulsets", space, name),  # type: ignore[misc]
            )
        return {}

    def _scale(self, name: str, count: int) -> None:
        path = resources.path("statefulsets", self._wanted.namespace, name)
        self._hand.send("PATCH", path, {"spec": {"replicas": count}}, "application/merge-patch+json")

    def _pods_of(self, name: str) -> str:
        live = self._hand.get(resources.path("statefulsets", self._wanted.namespace, name)) or {}
        left = (live.get("status") or {}).get("replicas", 0)
        return f"{left} pods are left" if left else ""

    def _look_at_claims(self) -> dict[str, Any]:
        claims = {}
        for name in self._wanted.claims:
            live = self._claims.get(name)
            if live is None:
                raise Refused(f"there is no persistentvolumeclaim {self._wanted.namespace}/{name}")
            claims[name] = {"uid": live["metadata"]["uid"], "definition": claim_definition(live)}
        return {"claims": claims}

    def _back_up(self, found: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(found["claims"], indent=1)
        self._journal.path.with_name(f"{self._journal.path.stem}-claims.json").write_text(text)
        path = resources.path("configmaps", self._wanted.namespace, BACKUP)
        data = {"claims.json": text}
        if self._hand.get(path) is None:
            metadata = {"name": BACKUP, "namespace": self._wanted.namespace}
            backup = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            self._hand.send("POST", resources.path("configmaps", self._wanted.namespace), backup)
        else:
            self._hand.send("PATCH", path, {"data": data}, "application/merge-patch+json")
        return {}

    def _backup(self) -> dict[str, Any]:
        """Return the claims as they were before the migration, from the journal or the cluster."""
        found = self._found("back up the claims", FORWARD).get("claims")
        if found:
            return dict(found)
        live = self._hand.get(resources.path("configmaps", self._wanted.namespace, BACKUP))
        return dict(json.loads(live["data"]["claims.json"])) if live else {}

    def _make_temporary(self, _found: dict[str, Any]) -> dict[str, Any]:
        for name in self._wanted.claims:
            definition = self._backup()[name]["definition"]
            metadata = {"name": f"{name}-new", "labels": {volume_copy.LABEL: "temporary"}, "annotations": {}}
            self._create({**definition, "metadata": metadata}, {"requests": {"storage": self._wanted.temporary_size}})
        return {}

    def _copy_out(self, _found: dict[str, Any]) -> dict[str, Any]:
        return {"copies": {name: self._copied(name, f"{name}-new") for name in self._wanted.claims}}

    def _delete_old(self, _found: dict[str, Any]) -> dict[str, Any]:
        copies = self._done("copy to them").get("copies", {})
        for name in self._wanted.claims:
            if not copies.get(name, {}).get("digest") or self._claims.get(f"{name}-new") is None:
                raise Refused(f"{name} is not deleted: nothing proves that its copy is whole")
            self._claims.delete(name)
        return {}

    def _recreate(self, _found: dict[str, Any]) -> dict[str, Any]:
        for name in self._wanted.claims:
            definition = self._backup()[name]["definition"]
            self._create(definition, definition["spec"]["resources"])
        return {}

    def _copy_back(self, _found: dict[str, Any]) -> dict[str, Any]:
        copies = self._done("copy to them")["copies"]
        back = {name: self._copied(f"{name}-new", name) for name in self._wanted.claims}
        for name, copy in back.items():
            if copy != copies[name]:
                raise Failed(f"{name}: {copy} came back, {copies[name]} was there; its copy is kept in {name}-new")
        return {"copies": back}

    def _delete_temporary(self, _found: dict[str, Any]) -> dict[str, Any]:
        back = self._done("copy back").get("copies", {})
        for name in self._wanted.claims:
            if not back.get(name, {}).get("digest") or self._claims.get(name) is None:
                raise Refused(f"{name}-new is not deleted: nothing proves that {name} is whole")
            self._claims.delete(f"{name}-new")
        return {}

    def _copied(self, source: str, target: str) -> dict[str, Any]:
        w = self._wanted
        copy = volume_copy.copied(self._hand, w.namespace, source, target, w.image, w.tool)
        self._say(f"  {source} -> {target}: {copy['files']} files, sha256 {copy['digest'][:16]}")
        return copy

    def _create(self, definition: dict[str, Any], resources: Any) -> None:
        storage_class = class_for(self._hand, self._wanted.storage_class, self._mode)
        self._claims.create(definition, self._mode, storage_class, resources)
