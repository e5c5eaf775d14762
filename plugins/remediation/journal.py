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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures import synced_lines
from seatrial.plugins.remediation.change import Refused
from seatrial.plugins.remediation.contents import (
    AnyChange,
    Intended,
    Line,
    Opened,
    Outcome,
    Owed,
    Step,
    TornJournal,
    read,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "journal.jsonl"
"""What a run's journal is called, beside its evidence."""


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

    def owe(self, change: AnyChange) -> None:
        """Write that a change is to follow those that are made next for its claim."""
        self._append(Owed(max(self.contents.entries, default=0), now(), change))

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
