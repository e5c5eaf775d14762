"""An image that is carried from a node that has it to one that cannot pull it any more."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.change import Change, Failed
from seatrial.plugins.remediation.hand import Where
from seatrial.plugins.remediation.risk import EXEC

if TYPE_CHECKING:
    from seatrial.plugins.remediation.commands import Argv
    from seatrial.plugins.remediation.hand import Hand

HOST = ("chroot", "/proc/1/root")
"""From a privileged pod that shares the node's processes into the node itself."""
_CHUNK = 4 << 20
"""Bytes that one exec carries: what breaks off is carried anew, not the whole image."""
_PATIENCE = 600.0


class SideLoad(Change, frozen=True, kw_only=True, tag="image"):
    """An image for the runtime of a node. Giving it twice does no harm. `runtime` is `containerd` or `docker`."""

    image: str
    runtime: str
    source: Where
    target: Where

    @property
    def typed(self) -> tuple[str, ...]:
        """Export and import, piped through kubectl."""
        return (f"{self.source.typed(self._export('-'))} | {self.target.typed(self._load('-'), stdin=True)}",)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The image's removal."""
        return (self.target.typed(self._remove),)

    @property
    def rights(self) -> tuple[Right, ...]:
        """To run commands in the pods of both nodes."""
        return tuple({msgspec.structs.replace(EXEC, namespace=w.namespace) for w in (self.source, self.target)})

    def check(self, hand: Hand) -> bool:
        """Ask the runtime of the node, which knows more than its list of images tells."""
        return self.image in hand.done(self.target, self._list).split()

    def apply(self, hand: Hand) -> None:
        """Export to a file, carry it over piece by piece, compare, import."""
        if self.check(hand):
            return
        mark = hashlib.sha256(self.image.encode()).hexdigest()[:12]
        # Two names: nodes may share the folder.
        out, into = f"/tmp/seatrial-{mark}-out.tar", f"/tmp/seatrial-{mark}-in.tar"  # noqa: S108 - on the nodes
        try:
            hand.done(self.source, self._export(out), _PATIENCE)
            size, digest = self._measured(hand, self.source, out)
            hand.done(self.target, (*HOST, "rm", "-f", into))
            for number in range(-(-size // _CHUNK)):
                piece = ("dd", f"if={out}", f"bs={_CHUNK}", f"skip={number}", "count=1", "status=none")
                body = hand.run(self.source, (*HOST, *piece), _PATIENCE).body
                # Kubernetes' exec has no end of input: who reads must know how much there is.
                append = (*HOST, "sh", "-c", f"head -c {len(body)} >>{into}")
                hand.done(self.target, append, _PATIENCE, stdin=body)
            if self._measured(hand, self.target, into) != (size, digest):
                raise Failed(f"{self.image}: what arrived is not what was sent")
            hand.done(self.target, self._load(into), _PATIENCE)
        finally:
            hand.run(self.source, (*HOST, "rm", "-f", out))
            hand.run(self.target, (*HOST, "rm", "-f", into))

    def undo(self, hand: Hand) -> bool:
        """Remove the image from that node."""
        if not self.check(hand):
            return False
        hand.done(self.target, self._remove)
        return True

    @staticmethod
    def _measured(hand: Hand, place: Where, name: str) -> tuple[int, str]:
        size = int(hand.done(place, (*HOST, "stat", "-c", "%s", name)))
        return size, hand.done(place, (*HOST, "sha256sum", name), _PATIENCE).split()[0]

    def _export(self, file: str) -> Argv:
        if self.runtime == "docker":
            return (*HOST, "docker", "save", self.image, *(("-o", file) if file != "-" else ()))
        return (*HOST, "ctr", "-n", "k8s.io", "images", "export", file, self.image)

    def _load(self, file: str) -> Argv:
        if self.runtime == "docker":
            return (*HOST, "docker", "load", *(("-i", file) if file != "-" else ()))
        return (*HOST, "ctr", "-n", "k8s.io", "images", "import", file)

    @property
    def _remove(self) -> Argv:
        if self.runtime == "docker":
            return (*HOST, "docker", "rmi", self.image)
        return (*HOST, "ctr", "-n", "k8s.io", "images", "rm", self.image)

    @property
    def _list(self) -> Argv:
        if self.runtime == "docker":
            return (*HOST, "docker", "images", "--format", "{{.Repository}}:{{.Tag}}")
        return (*HOST, "ctr", "-n", "k8s.io", "images", "ls", "-q")
