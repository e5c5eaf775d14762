"""What a run that mends has done, and how it tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.plugins.remediation.change import Change


@dataclass
class Done:
    """What a run did: the changes made, by claim; what it left, and why it ended."""

    changes: dict[str, list[Change]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each claim took from its first change until it was seen to hold."""
    left: dict[str, str] = field(default_factory=dict)
    """Why a violated claim was not mended."""
    begun: bool = False
    """Whether anything was begun, even if nobody knows what became of it."""
    refused: str = ""
    stopped: str = ""

    @property
    def all(self) -> list[Change]:
        """All changes made, in their order by claim."""
        return [change for changes in self.changes.values() for change in changes]

    def told(self, journal: str) -> Iterator[str]:
        """Yield the lines of the report; `journal` is the path of the run's journal."""
        for claim, changes in self.changes.items():
            seconds = self.seconds.get(claim)
            yield f"{claim}: {len(changes)} change{'s' if len(changes) > 1 else ''}" + (
                f", mended in {seconds:.1f} s" if seconds is not None else ""
            )
            yield from (f"    {command}" for change in changes for command in change.typed)
        for claim, why in self.left.items():
            yield f"{claim}: not mended: {why}"
        if self.refused:
            yield f"refused: {self.refused}"
        if self.stopped:
            yield f"stopped: {self.stopped}"
        if self.begun:
            yield f"journal: {journal}; `seatrial undo {journal}` undoes it"
        else:
            yield "nothing was changed"
