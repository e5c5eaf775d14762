"""Runs as they are kept: a verdict file is one run, a history is one run a line, in one file a cloud.

A line is the run's verdict without what is empty, so that whoever reads one reads the other. One file for all runs of a
cloud, not one a run: a PVC or a CI cache carries one file well, `cat` joins two histories, and the file is read in one
go. Each record goes out in one write at the end of the file, under a lock that is held for no longer; what a full disk
cut off is taken back, and what a crash cut off stays a line of its own, which readers count and name.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.plugins.judgement import NOT_JUDGED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = 1
"""The layout that this version reads and writes, as of the verdict file."""

FILE = "runs.jsonl"
PATIENCE = 10.0
"""Seconds in which the file must become free: whoever holds it needs milliseconds."""
_POLL = 0.05
_NOT_A_WHOLE_RUN = {2, 3, 4}
"""Exit statuses of runs that were interrupted, failed in themselves or were used wrongly."""


class NotARun(Exception):  # noqa: N818 - what it is
    """A file is no verdict, or there is no run of that id. The message is one line that names it."""


class Judged(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a run judged one claim; the fields are those of `Judgement`."""

    id: str
    title: str
    severity: str
    outcome: str
    offenders: list[str] = []
    known: list[str] = []
    measured: dict[str, float] = {}
    measured_first: dict[str, float] = {}


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run: `started` is ISO 8601 in UTC, `nodes` how many the cloud has (0: not known), `workers` those of xdist."""

    schema: int
    run: str
    cloud: str
    profile: str
    started: str
    verdict: str
    exit: int
    invariants: list[Judged]
    nodes: int = 0
    release: dict[str, str] = {}
    workers: int = 0

    @property
    def whole(self) -> bool:
        """Whether it came to its end: it judged what it was to judge."""
        return self.exit not in _NOT_A_WHOLE_RUN and all(judged.outcome != NOT_JUDGED for judged in self.invariants)

    def judged(self, claim: str) -> Judged | None:
        """Return how it judged a claim, if it did."""
        return next((judged for judged in self.invariants if judged.id == claim), None)


@dataclass
class History:
    """The runs of one cloud, the oldest first, and a line for each record that could not be read."""

    path: Path
    runs: list[Run] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def of(self, run: str) -> Run | None:
        """Return the run of that id."""
        return next((known for known in self.runs if known.run == run), None)


def folder_name(cloud: str) -> str:
    """Return what a cloud's folder is called."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in cloud)
    return name.lstrip(".") or "-"


def of_verdict(verdict: Mapping[str, Any]) -> Run:
    """Return a verdict as the record of its run. Raises `msgspec.ValidationError`."""
    return msgspec.convert(dict(verdict), Run)


def append(path: Path, run: Run) -> None:
    """Add a run to a history, and return when it is on the disk. Raises `OSError`; the file is then as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = msgspec.json.encode(run) + b"\n"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        with _locked(file, fcntl.LOCK_EX):
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line  # what a crash cut off is a line of its own, not the beginning of this one
            written = os.write(file, line)
            if written < len(line):
                os.ftruncate(file, size)
                raise OSError(0, f"only {written} of {len(line)} bytes could be written")
            os.fsync(file)
    finally:
        os.close(file)


def read(path: Path, cloud: str = "") -> History:
    """Return a cloud's history; an empty one where there is no file yet. Raises `OSError`.

    Of several records of one run the last one counts: somebody joined histories that overlap.
    """
    history = History(path)
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return history
    try:
        with _locked(file, fcntl.LOCK_SH), open(file, "rb", closefd=False) as opened:
            lines = opened.read().split(b"\n")
    finally:
        os.close(file)
    runs: dict[str, Run] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            run = _decoded(line)
        except NotARun as wrong:
            history.unread.append(f"{path}:{number}: {wrong}")
            continue
        if not cloud or run.cloud == cloud:
            runs[run.run] = run
    history.runs = sorted(runs.values(), key=lambda run: (run.started, run.run))
    return history


def read_verdict(path: Path) -> Run:
    """Return the run of a verdict file. Raises `NotARun`."""
    try:
        return _decoded(path.read_bytes())
    except OSError as error:
        raise NotARun(f"{path}: {error.strerror}") from error
    except NotARun as wrong:
        raise NotARun(f"{path}: {wrong}") from wrong


def found(named: str, histories: Path, cloud: str = "") -> Run:
    """Return the run of a verdict file, or of the history by its id. Raises `NotARun`."""
    if Path(named).is_file():
        return read_verdict(Path(named))
    if named.endswith(".json") or os.sep in named:
        raise NotARun(f"{named}: no such file")
    paths = [histories / folder_name(cloud) / FILE] if cloud else sorted(histories.glob(f"*/{FILE}"))
    unread = 0
    for path in paths:
        try:
            history = read(path)
        except OSError as error:
            raise NotARun(f"{path}: {error.strerror}") from error
        run = history.of(named)
        if run is not None:
            return run
        unread += len(history.unread)
    of_those = f" ({unread} of its records cannot be read)" if unread else ""
    raise NotARun(f"{named}: neither a verdict file nor a run of the history in {histories}{of_those}")


class _Schema(msgspec.Struct):
    schema: int


def _decoded(text: bytes) -> Run:
    try:
        schema = msgspec.json.decode(text, type=_Schema).schema
        if schema != SCHEMA:
            newer = "upgrade seatrial" if schema > SCHEMA else "it was never released"
            raise NotARun(f"of schema {schema}, not {SCHEMA}: {newer}")
        return msgspec.json.decode(text, type=Run)
    except msgspec.ValidationError as error:
        raise NotARun(f"not the verdict of a run: {error}") from error
    except msgspec.DecodeError as error:
        raise NotARun(f"torn: {error}") from error


@contextmanager
def _locked(file: int, kind: int) -> Iterator[None]:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() > ends:
                raise OSError(error.errno, f"another run has held it for {PATIENCE:.0f} s") from error
            time.sleep(_POLL)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
