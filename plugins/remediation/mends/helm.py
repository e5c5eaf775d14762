"""What mends Helm's releases: values, and upgrades that only an operator starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.change import Value
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.helm import Helm
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

_PLAIN = "spec.template.spec.containers"
_RESOURCES = ".resources."


@remedy("HELM-01", Risk.MANUAL)
def settle_every_release(helm: Helm) -> Iterator[Change]:
    """Rolls the release back to its last deployed revision, once nobody works at it any more."""
    good = {release.path: release.version for release in helm.deployed}
    for release in helm.unsettled:
        space = f"-n {release.namespace}"
        last = good.get(release.path)
        step = f"helm rollback {release.name} {last} {space}" if last else f"helm uninstall {release.name} {space}"
        yield ByHand(offender=str(release), run=(f"helm history {release.name} {space}", step))


@remedy("HELM-02", Risk.MANUAL)
def put_patches_into_values(helm: Helm) -> Iterator[Change]:
    """Puts what was patched into the release's values, or lets the next upgrade undo it."""
    for drift in helm.drifts:
        namespace, _, name = drift.release.partition("/")
        values: tuple[Value, ...] = ()
        if drift.field:
            # Charts of openstack-helm keep what a container asks for by its component.
            path = (
                f"pod.resources.COMPONENT{drift.field.partition('.resources')[2]}" if _RESOURCES in drift.field else ""
            )
            note = f"{drift.object} {drift.field}: {drift.what}"
            values = (Value(release=drift.release, path=path or drift.field, note=note),)
        yield ByHand(
            offender=str(drift),
            run=(
                f"helm get manifest {name} -n {namespace} | kubectl diff -n {namespace} -f -",
                f"helm upgrade {name} CHART -n {namespace} --reuse-values -f values-overlay.yaml",
            ),
            back=(f"helm rollback {name} -n {namespace}",),
            values=values,
        )


@remedy("HELM-03", Risk.MANUAL)
def write_live_replicas_into_values(helm: Helm) -> Iterator[Change]:
    """Writes the replicas that run into the values, which rolls nothing; or scales back to what they say."""
    for scaled in helm.scaled:
        namespace, _, name = scaled.release.partition("/")
        kind, _, path = scaled.name.partition(" ")
        workload = path.rpartition("/")[2]
        yield ByHand(
            offender=str(scaled),
            before=f"{scaled.live} run",
            after=f"{scaled.said} in the values",
            run=(
                f"helm upgrade {name} CHART -n {namespace} --reuse-values --set pod.replicas.ROLE={scaled.live}",
                f"kubectl -n {namespace} scale {kind} {workload} --replicas={scaled.said}  # or this",
            ),
            back=(f"helm rollback {name} -n {namespace}",),
            values=(Value(release=scaled.release, path="pod.replicas.ROLE", note=f"{scaled.live} of {workload} run"),),
        )


@remedy("HELM-04", Risk.MANUAL)
def pin_what_is_drawn(helm: Helm, profile: Profile) -> Iterator[Change]:
    """Pins the value to what is in use now; the upgrade that pins another one rolls every API once more."""
    for unpinned in helm.unpinned(profile.helm.pinned_values):
        namespace, _, name = unpinned.release.partition("/")
        yield ByHand(
            offender=str(unpinned),
            run=(
                f"helm get manifest {name} -n {namespace} | grep -A1 {unpinned.value.rpartition('.')[2]}",
                f"helm upgrade {name} CHART -n {namespace} --reuse-values --set {unpinned.value}=KEY",
            ),
            values=(Value(release=unpinned.release, path=unpinned.value, note="the key that is in use now"),),
        )


@remedy("HELM-05", Risk.MANUAL)
def part_shared_values(helm: Helm) -> Iterator[Change]:
    """Moves the replicas out of the values that several releases share."""
    for shared in helm.shared_values:
        namespace, _, name = shared.release.partition("/")
        path = f"pod.replicas.{shared.key}"
        yield ByHand(
            offender=str(shared),
            run=(f"helm upgrade {name} CHART -n {namespace} -f values-of-{name}.yaml  # with its own {path}",),
            back=(f"helm rollback {name} -n {namespace}",),
            values=(Value(release=shared.release, path=path, note=f"{shared.value} came from a shared file"),),
        )
