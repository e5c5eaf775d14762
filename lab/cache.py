"""What is built once and kept for all checkouts: binaries, image layers, the nodes' golden image store."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.lab.shell import LabError, say
from seatrial.lab.topology import STATE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial" / "lab"


def key(*parts: str | bytes) -> str:
    """Return a short name for a thing that is determined by `parts`."""
    digest = sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()[:16]


@contextmanager
def building(target: Path) -> Iterator[Path | None]:
    """Yield an empty folder to build `target` in, or None when it is there already.

    The folder takes its place when the block ends without an error, so that what is in the cache is always whole; two
    checkouts that want the same thing build it once.
    """
    if target.exists():
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another checkout that builds {target.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        scratch = target.parent / f".{target.name}.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        yield scratch
        scratch.rename(target)


def keep_newest(folder: Path, number: int) -> None:
    """Remove all but the `number` entries of `folder` that were used last."""
    entries = sorted(
        (entry for entry in folder.iterdir() if not entry.name.startswith(".")),
        key=lambda entry: entry.stat().st_mtime,
        reverse=True,
    )
    for entry in entries[number:]:
        shutil.rmtree(entry)


def check_file_system() -> None:
    """Raise LabError where nodes could not hard-link the cached image store, or not mount overlays over it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    parent = STATE_FOLDER if STATE_FOLDER.exists() else STATE_FOLDER.parent
    if CACHE.stat().st_dev != parent.stat().st_dev:
        raise LabError(
            f"{CACHE} and {STATE_FOLDER} are on different file systems, and nodes share images by hard links: set"
            f" XDG_CACHE_HOME to a folder on the file system of {parent}"
        )
    kind = _file_system_of(CACHE)
    if kind in {"overlay", "nfs", "nfs4"}:
        raise LabError(f"{CACHE} is on {kind}, which holds no overlays: mount a volume over it and over {STATE_FOLDER}")


def _file_system_of(path: Path) -> str:
    resolved = path.resolve()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    around = [fields for fields in mounts if resolved.is_relative_to(fields[1])]
    return max(around, key=lambda fields: len(fields[1]))[2]
