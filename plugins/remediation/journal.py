"""The journal of a run that changes a cloud: written and synced before each change, so that all of it can be undone.

One JSON line each, for every change two: that it is about to be made, with its undo, and what became of it. A run that
was killed in between leaves a change without an outcome: whether it was made is looked up, not guessed.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures import synced_lines
from seatrial.fixtures.synced_lines import TornLines
from seatrial.plugins.remediation.change import Change, Refused
from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.files import FileEdit, FileRestored
from seatrial.plugins.remediation.objects import Delete, Patch, Restart
from seatrial.plugins.remediation.quota import QuotaRaise
from seatrial.plugins.remediation.side_load import SideLoad

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "journal.jsonl"
"""What a run's journal is called, beside its evidence."""
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


Line = Opened | Intended | Outcome | Step


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

    def step(self, way: str, name: str) -> StepEntry | None:
        """Return what is known of a step, if it was begun."""
        return self.steps.get((way, name))

    def heed(self, line: Line) -> None:
        """Take in one more line. Raises KeyError for an outcome of nothing."""
        if isinstance(line, Intended):
            self.entries[line.number] = Entry(line)
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


class Journal:
    """A journal that is being written, by one process at a time."""

    def __init__(self, path: Path, opened: Opened) -> None:
        """Open the file, or go on with it. Raises OSError, BlockingIOError where a run writes it, TornJournal."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(self._file).st_size:
            os.ftruncate(self._file, path.read_bytes().rfind(b"\n") + 1)
        if not os.fstat(self._file).st_size:
            self._append(msgspec.structs.replace(opened, at=now()))
            _flush_folder(path)
        self.contents = read(path)
        if self.contents.opened.server != opened.server:
            raise TornJournal(f"{path}: it is of {self.contents.opened.server}, not of {opened.server}")
        self.who = opened.who

    @property
    def run(self) -> str:
        """The run that began it."""
        return self.contents.opened.run

    def intend(self, change: AnyChange) -> int:
        """Write that a change is about to be made. Returns its number when it is on the disk."""
        number = max(self.contents.entries, default=0) + 1
        self._append(
            Intended(
                number,
                now(),
                self.who,
                change.claim,
                change.risk,
                change.before,
                change.after,
                change.typed,
                change.typed_undo,
                change,
            )
        )
        return number

    def became(self, number: int, outcome: str, why: str = "") -> None:
        """Write what became of a change."""
        self._append(Outcome(number, now(), outcome, why))

    def begin_step(self, way: str, name: str, found: dict[str, Any]) -> None:
        """Write that a step begins, with all that it found. Returns when it is on the disk."""
        self._append(Step(way, name, now(), self.who, done=False, told=found))

    def end_step(self, way: str, name: str, left: dict[str, Any]) -> None:
        """Write that a step is done, with what it left."""
        self._append(Step(way, name, now(), self.who, done=True, told=left))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _append(self, line: Line) -> None:
        synced_lines.append(self._file, line)
        if not isinstance(line, Opened):
            self.contents.heed(line)


@contextlib.contextmanager
def opened(path: Path, by: Opened) -> Iterator[Journal]:
    """Give a journal that is closed at the end; its trouble is a refusal: nothing is changed without one."""
    try:
        journal = Journal(path, by)
    except BlockingIOError as error:
        raise Refused(f"{path}: another run writes it") from error
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}: nothing is changed without a journal") from error
    try:
        yield journal
    finally:
        journal.close()


def read(path: Path) -> Contents:
    """Return what a journal says. Raises `TornJournal` or `OSError`. Half a line at the end was never acted upon."""
    return synced_lines.read(path, Line, Opened, Contents, TornJournal, schema=SCHEMA)


def operator() -> str:
    """Return who runs this, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def now() -> str:
    """Return the time as a journal writes it, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _flush_folder(path: Path) -> None:
    """Make the file's name as lasting as its lines."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
