"""The Lease that one run holds while it changes a cloud, so that no two mend at once."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from seatrial.fixtures import resources
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.hand import Conflict

if TYPE_CHECKING:
    from types import TracebackType

    from seatrial.plugins.remediation.hand import Hand

NAMESPACE, NAME = "kube-system", "seatrial"


class Lease:
    """Held from `with` to its end, and renewed meanwhile."""

    def __init__(self, hand: Hand, holder: str, seconds: float) -> None:
        """`holder` is the run; one that was killed frees its Lease after `seconds`, or takes it up itself."""
        self._hand = hand
        self._holder = holder
        self._seconds = seconds
        self._ended = threading.Event()
        self._lost = ""
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        """Take the Lease. Raises `Refused` where another run holds it, `Failed` where it cannot be had."""
        self._take()
        self._renewing.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._ended.set()
        with contextlib.suppress(Failed):  # it ends by itself
            live = self._read()
            if live is not None and _holder(live) == self._holder:
                live["spec"]["holderIdentity"] = ""
                self._hand.send("PUT", self._path, live)

    def held(self) -> None:
        """Raise `Refused` where the Lease was lost."""
        if self._lost:
            raise Refused(self._lost)

    @property
    def _path(self) -> str:
        return resources.path("leases", NAMESPACE, NAME)

    def _read(self) -> dict[str, Any] | None:
        return self._hand.get(self._path)

    def _take(self) -> None:
        live = self._read()
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": max(1, int(self._seconds)),
            "acquireTime": _stamp(),
            "renewTime": _stamp(),
        }
        metadata: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE}
        new = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            if live is None:
                self._hand.send("POST", resources.path("leases", NAMESPACE), new)
                return
            other = _holder(live)
            if other and other != self._holder and _fresh(live):
                raise Refused(f"another run holds the cloud: {other}, by Lease {NAMESPACE}/{NAME}")
            metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
            self._hand.send("PUT", self._path, new)
        except Conflict as conflict:
            raise Refused(f"another run takes Lease {NAMESPACE}/{NAME} at this moment") from conflict

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 3):
            try:
                live = self._read()
                if live is None or _holder(live) != self._holder:
                    self._lost = f"Lease {NAMESPACE}/{NAME} was taken by {_holder(live or {}) or 'nobody'}"
                    return
                live["spec"]["renewTime"] = _stamp()
                self._hand.send("PUT", self._path, live)
            except Failed:  # tried again in a third of its time
                continue


def _holder(live: dict[str, Any]) -> str:
    return str((live.get("spec") or {}).get("holderIdentity") or "")


def _fresh(live: dict[str, Any]) -> bool:
    spec = live.get("spec") or {}
    renewed = spec.get("renewTime") or spec.get("acquireTime")
    if not renewed:
        return False
    ends = datetime.fromisoformat(str(renewed)) + timedelta(seconds=float(spec.get("leaseDurationSeconds") or 0))
    return datetime.now(UTC) < ends


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
