"""PersistentVolumeClaims that a migration makes and deletes, and the storage class that it makes them of."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from seatrial.fixtures import resources
from seatrial.plugins.remediation.change import Refused
from seatrial.plugins.remediation.volumes import BLOCK, DEFAULT_CLASS, SHARED, annotations_of

if TYPE_CHECKING:
    from seatrial.plugins.remediation.hand import Hand


class Claims:
    """The claims of a namespace."""

    def __init__(self, hand: Hand, namespace: str) -> None:
        self._hand = hand
        self._namespace = namespace

    def get(self, name: str) -> dict[str, Any] | None:
        """Return a claim, None where there is none of this name."""
        return self._hand.get(self._path(name))

    def create(self, definition: dict[str, Any], mode: str, storage_class: str, resources: Any) -> None:
        """Create a claim with one access mode, if it is not there; one that is must be as it should. Raises `Refused`.

        Name, labels and annotations are the definition's.
        """
        name = definition["metadata"]["name"]
        live = self.get(name)
        if live is None:
            spec = {
                "accessModes": [mode],
                "storageClassName": storage_class,
                "volumeMode": definition["spec"].get("volumeMode", "Filesystem"),
                "resources": resources,
            }
            metadata = {**definition["metadata"], "namespace": self._namespace}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
            self._hand.send("POST", self._path(), claim)
        elif live["spec"].get("accessModes") != [mode]:
            raise Refused(f"claim {name} is there with {live['spec'].get('accessModes')}: somebody else made it")

    def delete(self, name: str) -> None:
        """Delete a claim, provided that it is the one that is there now, and wait until it is gone."""
        live = self.get(name)
        if live is not None:
            self._hand.delete(self._path(name), live["metadata"]["uid"])
        self._hand.wait_until(f"claim {name} to be gone", lambda: "it is still there" if self.get(name) else "")

    def _path(self, name: str = "") -> str:
        return resources.path("persistentvolumeclaims", self._namespace, name)


def class_for(hand: Hand, name: str, mode: str) -> str:
    """Return the storage class to use: the named one, else the cluster's default.

    Raises `Refused` where there is none, or where its volumes cannot be mounted as the access mode wants it.
    """
    classes = {c["metadata"]["name"]: c for c in (hand.get(resources.path("storageclasses")) or {})["items"]}
    if not name:
        default = [n for n, c in classes.items() if annotations_of(c).get(DEFAULT_CLASS) == "true"]
        if not default:
            raise Refused("the cluster has no default storage class: name one with --storage-class")
        name = str(default[0])
    if name not in classes:
        raise Refused(f"there is no storage class {name}: it has {', '.join(sorted(classes)) or 'none'}")
    provisioner = str(classes[name].get("provisioner"))
    if mode == SHARED and any(fnmatchcase(provisioner, pattern) for pattern in BLOCK):
        raise Refused(f"storage class {name} is of {provisioner}, which cannot be written on several nodes")
    return name
