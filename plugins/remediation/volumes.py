"""What the migration of dnsmasq's volumes is about: which claims, to which storage, with which rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation import volume_copy
from seatrial.plugins.remediation.risk import OF_EVERY_RUN

if TYPE_CHECKING:
    from seatrial.plugins.remediation.contents import Contents

FORWARD, BACK = "rwx", "rollback"
SHARED, SINGLE = "ReadWriteMany", "ReadWriteOnce"
BACKUP = "seatrial-migration-backup"

RIGHTS = (
    *OF_EVERY_RUN,
    *volume_copy.RIGHTS,
    Right("get", "rbac.authorization.k8s.io", "clusterrolebindings"),
    Right("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    Right("delete", "rbac.authorization.k8s.io", "clusterrolebindings"),
    # Whoever gives a role away must have all that it grants, or the right to bind it.
    Right("bind", "rbac.authorization.k8s.io", "clusterroles"),
    Right("create", "", "configmaps"),
    Right("patch", "", "configmaps"),
    Right("create", "", "persistentvolumeclaims"),
    Right("delete", "", "persistentvolumeclaims"),
    Right("patch", "apps", "statefulsets"),
)

BLOCK = (
    "*rbd.csi.ceph.com",
    "*ebs.csi.aws.com",
    "cinder.csi.openstack.org",
    "kubernetes.io/rbd",
    "*lvm*",
    "*local-path*",
)
"""Provisioners whose file systems only one node can mount."""
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BOUND = (
    "pv.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "volume.kubernetes.io/",
    "kubectl.kubernetes.io/last-applied",
)
"""Annotations that belong to a claim's binding, not to its definition."""


@dataclass(frozen=True)
class Wanted:
    """What is migrated, and to what. `storage_class` is empty on the way back for the cluster's default one."""

    namespace: str = "openstack"
    claims: tuple[str, ...] = ("dnsmasq-dhcp", "dnsmasq-ironic")
    storage_class: str = "ceph-fs-ec"
    temporary_size: str = "16Mi"
    binding: str = "argocd-application-controller"
    """ArgoCD's ClusterRoleBinding, by which it would set everything back; it need not be there."""
    image: str = "docker.io/instrumentisto/rsync-ssh:alpine"
    tool: str = "job"
    conductors: int = 2
    dnsmasqs: int = 1

    @property
    def workloads(self) -> dict[str, int]:
        """What must not run meanwhile, and how many of each run afterwards; the conductors first."""
        return {"ironic-conductor": self.conductors, "ironic-dnsmasq": self.dnsmasqs}


def wanted_by(contents: Contents, direction: str) -> Wanted | None:
    """Return what a way is about, as it was asked for when it was begun; None where it was not."""
    for (way, _), known in contents.steps.items():
        said = known.found.get("wanted")
        if said and way == direction:
            return Wanted(**{**said, "claims": tuple(said["claims"])})
    return None


def annotations_of(item: dict[str, Any]) -> dict[str, str]:
    """Return the annotations of an object."""
    return item["metadata"].get("annotations") or {}


def definition(live: dict[str, Any], parts: tuple[str, ...]) -> dict[str, Any]:
    """Return an object as it would be created, without what the server adds."""
    metadata = live["metadata"]
    kept = {key: metadata[key] for key in ("name", "labels", "annotations") if metadata.get(key)}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}
    return {**api, "metadata": kept, **{part: live[part] for part in parts if part in live}}


def claim_definition(live: dict[str, Any]) -> dict[str, Any]:
    """Return a claim as it would be created: without its binding to a volume, and what the server adds."""
    metadata, spec = live["metadata"], live["spec"]
    kept_annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if not k.startswith(_BOUND)}
    kept = {"name": metadata["name"], "labels": metadata.get("labels") or {}, "annotations": kept_annotations}
    wanted = ("accessModes", "resources", "storageClassName", "volumeMode")
    return {"metadata": kept, "spec": {part: spec[part] for part in wanted if part in spec}}
