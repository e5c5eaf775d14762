"""The one lab that runs on this machine: whose it is, and every process it consists of, found again by pid."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.lab.shell import LabError
from seatrial.lab.topology import CHECKOUT, LOGS, STATE_FOLDER, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FILE = STATE_FOLDER / "state.json"
_LOCK = Path("/run/seatrial-lab.lock")


class Process(msgspec.Struct, frozen=True):
    """A process that the lab started. Its start time tells it from a later one that got the same pid."""

    pid: int
    start: int
    """Clock ticks since the machine booted."""

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process that has this pid now; a zombie is not one."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Tell whether it is still there."""
        return Process.of(self.pid) == self

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it now, without waiting."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout: float) -> bool:
        """Wait until it is gone, at most `timeout` seconds; return whether it is."""
        deadline = time.monotonic() + timeout
        while self.alive and time.monotonic() < deadline:
            _reap(self.pid)
            time.sleep(0.02)
        return not self.alive

    def end(self, *, patience: float = 10) -> bool:
        """Ask it to end, make it end after `patience` seconds; return whether it is gone."""
        self.send(signal.SIGTERM)
        if self.wait(patience):
            return True
        self.kill()
        return self.wait(10)


class State(msgspec.Struct):
    """What is known about the lab of this machine, written before each thing is done."""

    owner: str
    boot: str
    nodes: int = 0
    processes: dict[str, Process] = {}
    """By name: `etcd`, `kube-apiserver`, …, and one for each node, which is the first process inside it."""
    sysctls: dict[str, str] = {}
    """What the machine had before the lab changed it."""
    folders: list[str] = []
    """Folders that were made on the machine's own file system to mount a node's private ones over."""

    @classmethod
    def load(cls) -> State | None:
        """Return the lab of this machine, or None where there is none."""
        try:
            return msgspec.json.decode(_FILE.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise LabError(
                f"{_FILE} is damaged ({error}); remove {STATE_FOLDER} once nothing of the lab runs"
            ) from None

    @classmethod
    def mine(cls) -> State:
        """Return the running lab; LabError where there is none or another checkout brought it up."""
        state = cls.load()
        if state is None or not state.running:
            raise LabError("no lab is up: `seatrial lab up` brings one up")
        state.refuse_strangers()
        return state

    @classmethod
    def fresh(cls) -> State:
        """Return the state of a lab of this checkout that has nothing yet."""
        return cls(owner=str(CHECKOUT), boot=_boot())

    def save(self) -> None:
        """Write it down, in one step."""
        STATE_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = _FILE.with_suffix(".new")
        new.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))
        new.replace(_FILE)

    @property
    def running(self) -> bool:
        """Tell whether any of its processes is alive."""
        return self.boot == _boot() and any(process.alive for process in self.processes.values())

    def refuse_strangers(self) -> None:
        """Raise LabError when a checkout that still exists, and is not this one, owns the lab."""
        if self.owner != str(CHECKOUT) and Path(self.owner).exists():
            raise LabError(
                f"the lab that is up belongs to the checkout {self.owner}: use it from there, or end it there with"
                " `seatrial lab down`"
            )

    def alive(self, name: str) -> bool:
        """Tell whether the process recorded under `name` is there."""
        return name in self.processes and self.processes[name].alive

    def record(self, name: str, pid: int) -> Process:
        """Remember the process `pid` under `name`."""
        process = Process.of(pid)
        if process is None:
            raise LabError(f"{name} ended at once: see {LOGS / f'{name}.log'}")
        self.processes[name] = process
        self.save()
        return process

    def spawn(self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> Process:
        """Start `argv` as a daemon that outlives this command, its output in the log of `name`."""
        LOGS.mkdir(parents=True, exist_ok=True)
        with (LOGS / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
            )
        return self.record(name, child.pid)

    def node_list(self) -> list[Node]:
        """Return the nodes of this lab."""
        return [Node(index) for index in range(1, self.nodes + 1)]


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the lab of this machine for one `up` or `down` at a time."""
    with _LOCK.open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another `seatrial lab` command is bringing this machine's lab up or down") from None
        yield


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
