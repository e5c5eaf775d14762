"""What the lab's registry answers for: every image of the lab, without its registry's host."""

from __future__ import annotations

import tomllib

from seatrial.lab.topology import ROOM

IMAGES = ROOM / "images"

# Known to the registry in this form only, as quay.io knows it: a node that lost the image cannot pull it again.
SCHEMA1 = "airshipit/kubernetes-entrypoint:v1.0.0"
OCI = "airshipit/kubernetes-entrypoint:v1.1.0-oci"


def values() -> dict[str, list[str]]:
    """Return the Helm values of the registry: which references are schema v1, and which are OCI."""
    oci = {OCI}
    for definition in sorted(IMAGES.glob("*.toml")):
        for ref in tomllib.loads(definition.read_text(encoding="utf-8"))["refs"]:
            oci |= _repositories(ref)
    return {"schema1": [SCHEMA1], "oci": sorted(oci - {SCHEMA1})}


def _repositories(ref: str) -> set[str]:
    """Return `repository:tag` as the registry is asked for it; docker.io's own images have two names."""
    host, _, path = ref.partition("/")
    return {path, f"library/{path}"} if host == "docker.io" and "/" not in path else {path}
