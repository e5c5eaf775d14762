"""What a container asks of its node, changed in its workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.plugins.remediation.objects import Patch
from seatrial.plugins.remediation.places import PLURALS, container_fields, set_values, short

if TYPE_CHECKING:
    from seatrial.fixtures.objects import Workload
    from seatrial.fixtures.source import Source
    from seatrial.plugins.remediation.fields import Key


def requested(source: Source, workload: Workload, container: str, wanted: tuple[str, str], offender: str) -> Patch:
    """Return the change that gives a container its requests, `wanted` as CPU and memory in Kubernetes' notation."""
    cpu, memory = wanted
    containers = workload.spec.template.spec.containers
    mine = next((c for c in containers if c.name == container), containers[0])
    has = mine.resources.requests
    place: tuple[Key, ...] = ("resources", "requests")
    now: dict[tuple[Key, ...], Any] = {(*place, name): has.get(name) for name in ("cpu", "memory")}
    new: dict[tuple[Key, ...], Any] = {(*place, "cpu"): cpu, (*place, "memory"): memory}
    kind = workload.kind.lower()
    command = f"kubectl -n {workload.namespace} set resources {kind} {workload.name} -c {mine.name} --requests="
    before = ",".join(f"{name}={has.get(name, 0)}" for name in ("cpu", "memory"))
    chart = "pod.resources"
    return Patch(
        offender=offender,
        before=f"requests {before}",
        after=f"requests cpu={cpu},memory={memory}",
        resource=PLURALS[workload.kind],
        namespace=workload.namespace,
        name=workload.name,
        fields=tuple(container_fields(workload, container, new, now)),
        rollout=True,
        spelled=f"{command}cpu={cpu},memory={memory}",
        spelled_undo=f"{command}{before}",
        takes=short(workload),
        values=tuple(
            value
            for value in set_values(
                source,
                workload.kind,
                workload.path,
                {
                    f"{chart}.enabled": True,
                    f"{chart}.server.requests.cpu": cpu,
                    f"{chart}.server.requests.memory": memory,
                },
            )
            if not (value.note and value.path.endswith("enabled"))
        ),
    )
