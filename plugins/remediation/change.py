"""A change of the cloud as data: what it does, how it is spelled, undone, checked and waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from seatrial.plugins.remediation.hand import Hand


class Refused(Exception):  # noqa: N818 - the name is the outcome: it would not be safe
    """A guard refuses; its reason is the text. The run ends with exit status 12."""


class Failed(Exception):  # noqa: N818 - as above: the change could not be made
    """The cloud did not accept a change, or did not answer."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """A chart value that makes a change last: the release as namespace/name, the dotted path, and what stands there.

    A path of which no one value is known (a whole file, a list) has a `note` instead of being set.
    """

    release: str
    path: str
    value: Any = None
    note: str = ""

    @property
    def said(self) -> str:
        """What stands there, or what is known of it."""
        return self.note or msgspec.json.encode(self.value).decode()

    def __str__(self) -> str:
        return f"release {self.release}: {self.path}: {self.said}"


class Change(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One change.

    `offender` is the line of what it mends, as the claim prints it; a waiver covers it by the part before the colon.
    `before` and `after` are the state in words. `takes` names the pod that is away for the while, as
    `pod NAMESPACE/NAME`, or the workload whose pods are, one after the other. `raw_bytes` is the raw space that Ceph
    needs for it, `afterwards` are claims that it may violate. `population` counts all objects of the offender's sort,
    where it matters. A change of a higher `rung` is tried when the lower ones of its offender did not help. What looks
    well for a while whatever is done to it (a group that peers anew, a daemon that has just started) has to stay so
    for `steady_s` seconds before that counts. What is `completing` is made even where its claim holds by then: what
    came before it is written down, and takes effect by this.
    """

    offender: str
    before: str = ""
    after: str = ""
    claim: str = ""
    risk: str = ""
    """In a word; empty for that of its remedy."""
    why: str = ""
    takes: str = ""
    raw_bytes: int = 0
    population: int = 0
    rung: int = 0
    steady_s: float = 0.0
    completing: bool = False
    afterwards: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()

    @property
    def typed(self) -> tuple[str, ...]:
        """What an operator would type."""
        raise NotImplementedError

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """What an operator would type to undo it; empty where there is nothing to undo."""
        raise NotImplementedError

    @property
    def rights(self) -> tuple[Right, ...]:
        """What Kubernetes must allow for it."""
        raise NotImplementedError

    def check(self, hand: Hand) -> bool:
        """Say whether it is made already. Raises `Refused` where the object is not as it was judged."""
        raise NotImplementedError

    def apply(self, hand: Hand) -> None:
        """Make it. Raises `Refused` or `Failed`."""
        raise NotImplementedError

    def undo(self, hand: Hand) -> bool:
        """Undo it; False where there was nothing to undo. Raises `Refused` or `Failed`."""
        raise NotImplementedError

    def kept(self, hand: Hand) -> str:
        """Return what is worth keeping of the state before, for a file beside the journal. Raises `Failed`."""
        del hand
        return ""

    def unsettled(self, hand: Hand) -> str:
        """Say what it still does to the cloud; empty when that is over."""
        del hand
        return ""

    @property
    def key(self) -> str:
        """What tells it from other changes: what it does, to what."""
        return "\n".join(self.typed)

    @property
    def level(self) -> Risk:
        """Its risk."""
        return Risk.of(self.risk)

    @property
    def restarts(self) -> bool:
        """Whether it only starts something again: undone after what it made effective."""
        return False
