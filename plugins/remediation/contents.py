"""What a journal says: its lines, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures import synced_lines
from seatrial.fixtures.synced_lines import TornLines
from seatrial.plugins.remediation.change import Change
from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.files import FileEdit, FileRestored
from seatrial.plugins.remediation.objects import Delete, Patch, Restart
from seatrial.plugins.remediation.quota import QuotaRaise
from seatrial.plugins.remediation.side_load import SideLoad

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1

AnyChange = Patch | Delete | Restart | InPod | FileEdit | FileRestored | SideLoad | QuotaRaise


class TornJournal(TornLines):
    """A journal that cannot be understood: file, line and why."""


class Opened(msgspec.Struct, frozen=True, tag_field="what", tag="opened"):
    """Whose journal it is: the run, the cloud's name and API server, who runs it, and where."""

    run: str
    cloud: str
    server: str
    who: str
    at: str = ""
    schema: int = SCHEMA


class Intended(msgspec.Struct, frozen=True, tag_field="what", tag="intended"):
    """A change is about to be made."""

    number: int
    at: str
    who: str
    claim: str
    risk: str
    before: str
    after: str
    commands: tuple[str, ...]
    undo: tuple[str, ...]
    change: AnyChange


class Owed(msgspec.Struct, frozen=True, tag_field="what", tag="owed"):
    """What is made effective by this change follows the change numbered `after`, though its claim may hold by then."""

    after: int
    at: str
    change: AnyChange


class Outcome(msgspec.Struct, frozen=True, tag_field="what", tag="outcome"):
    """What became of a change: `applied`, `helped`, `did not help`, `failed`, `refused`, `undone`."""

    number: int
    at: str
    became: str
    why: str = ""


class Step(msgspec.Struct, frozen=True, tag_field="what", tag="step"):
    """A step of a procedure: begun, with what it found, or done, with what it left. `way` is forward or back."""

    way: str
    name: str
    at: str
    who: str
    done: bool
    told: dict[str, Any] = {}


Line = Opened | Intended | Owed | Outcome | Step


@dataclass
class StepEntry:
    """What is known of a step: what it found before it acted, and what it left once it was done."""

    found: dict[str, Any]
    left: dict[str, Any] = field(default_factory=dict)
    done: bool = False


@dataclass
class Entry:
    """A change of a journal, and the last that is known of it; empty for one that was cut off."""

    intended: Intended
    became: str = ""

    @property
    def change(self) -> Change:
        """The change itself."""
        return self.intended.change

    @property
    def stands(self) -> bool:
        """Whether it may be in the cloud: made, or cut off while it was being made."""
        return self.became not in {"undone", "refused"}


@dataclass
class Contents:
    """What a journal says."""

    opened: Opened
    entries: dict[int, Entry] = field(default_factory=dict)
    steps: dict[tuple[str, str], StepEntry] = field(default_factory=dict)
    way: str = ""
    """The way that was begun last."""
    promised: list[Owed] = field(default_factory=list)
    """What was to follow the changes, whether it did or not."""

    def step(self, way: str, name: str) -> StepEntry | None:
        """Return what is known of a step, if it was begun."""
        return self.steps.get((way, name))

    def heed(self, line: Line) -> None:
        """Take in one more line. Raises KeyError for an outcome of nothing."""
        if isinstance(line, Intended):
            self.entries[line.number] = Entry(line)
        elif isinstance(line, Owed):
            self.promised.append(line)
        elif isinstance(line, Outcome):
            self.entries[line.number].became = line.became
        elif isinstance(line, Step):
            self._heed_step(line)

    def _heed_step(self, line: Step) -> None:
        """A way that is begun anew, after the other one was gone, has its steps before it again."""
        if not line.done:
            if self.way != line.way:
                self.steps = {key: known for key, known in self.steps.items() if key[0] != line.way}
            self.way = line.way
            self.steps[line.way, line.name] = StepEntry(line.told)
            return
        known = self.steps[line.way, line.name]
        known.done, known.left = True, line.told

    @property
    def cut_off(self) -> list[Entry]:
        """The changes of which nobody knows whether they were made."""
        return [entry for entry in self.entries.values() if not entry.became]

    @property
    def owed(self) -> list[Change]:
        """What was to follow changes that stand, and was not begun."""
        return [promise.change for promise in self.promised if self._is_owed(promise)]

    @property
    def unfinished(self) -> bool:
        """Whether a run was killed amid its changes."""
        return bool(self.cut_off or self.owed)

    def _is_owed(self, promise: Owed) -> bool:
        since = [entry for number, entry in self.entries.items() if number > promise.after]
        begun = any(entry.change.key == promise.change.key for entry in since)
        made = any(
            entry.change.claim == promise.change.claim and entry.became in {"applied", "helped"} for entry in since
        )
        return made and not begun

    def standing(self, last: int | None = None) -> list[Entry]:
        """Return the changes to undo, in the order of undoing; of them the `last` ones only.

        What merely starts something again comes after what it makes effective, claim by claim.
        """
        chosen = [entry for _, entry in sorted(self.entries.items()) if entry.stands]
        chosen = chosen[-last:] if last else chosen
        ordered: list[Entry] = []
        group: list[Entry] = []
        for entry in reversed(chosen):
            if group and entry.intended.claim != group[0].intended.claim:
                ordered += sorted(group, key=lambda one: one.change.restarts)
                group = []
            group.append(entry)
        return ordered + sorted(group, key=lambda one: one.change.restarts)


def read(path: Path) -> Contents:
    """Return what a journal says. Raises `TornJournal` or `OSError`. Half a line at the end was never acted upon."""
    return synced_lines.read(path, Line, Opened, Contents, TornJournal, schema=SCHEMA)
