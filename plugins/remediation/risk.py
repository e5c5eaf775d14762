"""How much of a remedy the cloud's users notice, and the rights that it takes."""

from __future__ import annotations

from enum import IntEnum

from seatrial.fixtures.rights import Right


class Risk(IntEnum):
    """The risk of a remedy, the least first."""

    SAFE = 0
    """No service notices."""
    MOVES_DATA = 1
    """A backfill, or a rollout of one pod after the other."""
    DISRUPTIVE = 2
    """A restart that clients notice."""
    MANUAL = 3
    """Printed, and never applied."""

    @property
    def word(self) -> str:
        """The risk as options and documents call it."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def of(cls, word: str) -> Risk:
        """Return the risk that goes by a word. Raises KeyError."""
        return cls[word.upper().replace("-", "_")]


EXEC = Right("create", "", "pods", "exec")
DELETE_PODS = Right("delete", "", "pods")
PATCH_CONFIGMAPS = Right("patch", "", "configmaps")
PATCH_SECRETS = Right("patch", "", "secrets")
PATCH_NODES = Right("patch", "", "nodes")
PATCH_DEPLOYMENTS = Right("patch", "apps", "deployments")
PATCH_STATEFULSETS = Right("patch", "apps", "statefulsets")
PATCH_DAEMONSETS = Right("patch", "apps", "daemonsets")
PATCH_WORKLOADS = (PATCH_DEPLOYMENTS, PATCH_STATEFULSETS)

OF_EVERY_RUN = (
    Right("get", "coordination.k8s.io", "leases"),
    Right("create", "coordination.k8s.io", "leases"),
    Right("update", "coordination.k8s.io", "leases"),
    Right("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
)
"""What an applying run needs besides its remedies' rights: the cloud's Lease, and to ask what it may."""
