"""`seatrial capture`: a cloud in a folder, or packed into one file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from seatrial.command import pytest_command

_ENDING = ".tar.zst"
_FULL = 3
_UNREAD = 10


def record(out: str, arguments: tuple[str, ...]) -> int:
    """Record the cloud and return the exit status. Nothing that was there before is touched."""
    target = Path(out)
    if target.exists():
        raise click.UsageError(f"{target} is already there; name a new file or folder")
    if not out.endswith(_ENDING):
        return _run(target, arguments)
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder:
        status = _run(Path(folder) / "bundle", arguments)
        if status not in {0, _UNREAD}:
            return status
        return _packed(Path(folder) / "bundle", target) or status


def _run(folder: Path, arguments: tuple[str, ...]) -> int:
    command = pytest_command("--quiet", "--no-header", "--record-only", str(folder), *arguments)
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait()  # pytest hears Ctrl-C itself and closes what it has


def _packed(folder: Path, target: Path) -> int:
    from seatrial.fixtures.bundle import pack  # noqa: PLC0415 - pytest runs in a process of its own

    try:
        pack(folder, target)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"seatrial: {target}: {error.strerror}: the cloud was not kept", file=sys.stderr)  # noqa: T201
        return _FULL
    print(f"packed in {target}")  # noqa: T201
    return 0
