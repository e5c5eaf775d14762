"""Changes by a command in a pod: `ceph osd pool set …`, `rabbitmqctl …`, `nova-manage …`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.change import Change, Refused
from seatrial.plugins.remediation.hand import Where
from seatrial.plugins.remediation.risk import EXEC

if TYPE_CHECKING:
    from seatrial.plugins.remediation.hand import Hand

Argv = tuple[str, ...]

CEPH_STATUS = ("ceph", "--connect-timeout", "10", "status", "-f", "json")


class InPod(Change, frozen=True, kw_only=True, tag="command"):
    """Commands in a pod, and those that undo them.

    `look` is a command that only reads; what it prints holds `expects` (blanks left out) while the state is as it was
    judged, and `becomes` when the change is made; after a `=` that is all that it prints. Without `look` nothing is
    compared, and the commands are such that giving them twice does no harm.
    """

    where: Where
    run: tuple[Argv, ...]
    back: tuple[Argv, ...] = ()
    look: Argv = ()
    expects: str = ""
    becomes: str = ""
    keep: Argv = ()
    """A command whose output is kept beside the journal before anything is changed."""
    recovers: bool = False
    """Whether Ceph moves data or lets groups peer for it, which is waited for."""

    @property
    def typed(self) -> tuple[str, ...]:
        """The commands, by `kubectl exec`."""
        return tuple(self.where.typed(argv) for argv in ((self.keep, *self.run) if self.keep else self.run))

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The commands back."""
        return tuple(self.where.typed(argv) for argv in self.back)

    @property
    def rights(self) -> tuple[Right, ...]:
        """To run commands in pods there."""
        return (msgspec.structs.replace(EXEC, namespace=self.where.namespace),)

    def check(self, hand: Hand) -> bool:
        """Compare what `look` prints."""
        return self._looked(hand, self.expects, self.becomes)

    def apply(self, hand: Hand) -> None:
        """Give the commands in their order."""
        if self.check(hand):
            return
        for argv in self.run:
            hand.done(self.where, argv)

    def kept(self, hand: Hand) -> str:
        """Return what is worth keeping of the state before."""
        return hand.done(self.where, self.keep) if self.keep else ""

    def undo(self, hand: Hand) -> bool:
        """Give the commands back."""
        if not self.back or self._looked(hand, self.becomes, self.expects):
            return False
        for argv in self.back:
            hand.done(self.where, argv)
        return True

    def unsettled(self, hand: Hand) -> str:
        """Follow Ceph's recovery."""
        return recovery_left(hand.done(self.where, CEPH_STATUS)) if self.recovers else ""

    def _looked(self, hand: Hand, now: str, then: str) -> bool:
        if not self.look:
            return False
        said = "".join(hand.done(self.where, self.look).split())
        if then and _prints(said, then):
            return True
        if now and not _prints(said, now):
            raise Refused(f"{self.offender.partition(': ')[0]} changed since it was judged: {said[:160]}")
        return False


_CALM = {"active", "clean", "scrubbing", "deep", "snaptrim"}
_ELSEWHERE = {"creating", "unknown", "stale", "down", "incomplete"}
"""Of the states of a placement group: what is at rest, and what no move of data ends."""


def _prints(said: str, text: str) -> bool:
    return said == text[1:] if text.startswith("=") else text in said


def recovery_left(status: str) -> str:
    """Return what `ceph status` says is still moving or peering; empty when there is nothing of the sort.

    Groups that are being created, or of which no copy serves, do not move: they are CEPH-05's, whose remedy may come
    after whoever waits here.
    """
    groups = json.loads(status)["pgmap"].get("pgs_by_state") or []
    left = {g["state_name"]: g["count"] for g in groups if _moves(set(str(g["state_name"]).split("+")))}
    return ", ".join(f"{count} pgs {state}" for state, count in sorted(left.items()))


def _moves(words: set[str]) -> bool:
    return not words & _ELSEWHERE and not {"active", "clean"} <= words <= _CALM
