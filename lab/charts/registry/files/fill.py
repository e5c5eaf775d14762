# ruff: noqa: INP001 - a file of a ConfigMap, of no package
"""Write the manifests that the registry serves straight into its storage layout: SCHEMA1 and OCI name them."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

ROOT = pathlib.Path("/var/lib/registry/docker/registry/v2")
EMPTY_LAYER = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"


def store(content: bytes) -> str:
    """Write a blob; return its digest."""
    digest = hashlib.sha256(content).hexdigest()
    path = ROOT / "blobs/sha256" / digest[:2] / digest / "data"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest


def publish(reference: str, manifest: dict[str, object]) -> None:
    """Make `manifest` what `repository:tag` answers with."""
    repository, _, tag = reference.rpartition(":")
    digest = store(json.dumps(manifest, indent=3).encode())
    manifests = ROOT / "repositories" / repository / "_manifests"
    revision, current = f"revisions/sha256/{digest}", f"tags/{tag}/current"
    for link in (revision, current, f"tags/{tag}/index/sha256/{digest}"):
        path = manifests / link / "link"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"sha256:{digest}", encoding="ascii")


def schema1(reference: str) -> dict[str, object]:
    """Return a Docker manifest of schema v1; the registry signs it when it is asked for it."""
    repository, _, tag = reference.rpartition(":")
    history = {"id": "0" * 63 + "1", "created": "2018-01-01T00:00:00Z", "architecture": "amd64", "os": "linux"}
    return {
        "schemaVersion": 1,
        "name": repository,
        "tag": tag,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": EMPTY_LAYER}],
        "history": [{"v1Compatibility": json.dumps(history)}],
    }


def oci(reference: str) -> dict[str, object]:
    """Return an OCI manifest whose configuration names the reference, so that each has a digest of its own."""
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    content = json.dumps({**config, "config": {"Labels": {"reference": reference}}}).encode()
    media = "application/vnd.oci.image"
    descriptor = {
        "mediaType": f"{media}.config.v1+json",
        "digest": f"sha256:{store(content)}",
        "size": len(content),
    }
    return {"schemaVersion": 2, "mediaType": f"{media}.manifest.v1+json", "config": descriptor, "layers": []}


for variable, make in (("SCHEMA1", schema1), ("OCI", oci)):
    for name in os.environ[variable].split():
        publish(name, make(name))
