"""Allure Report 3, the Node program that builds the report: found, or installed once at the pinned version.

`npm/package.json` and its lock say which packages, each with its checksum. They are installed into seatrial's cache on
demand; afterwards a report is built without any network.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NODE = (20, 19)
"""The oldest Node.js that Allure 3's packages run on, as `npm/package.json` says."""

WANTED = (
    "the Allure report needs Node.js 20.19 or newer and npm (Debian: `apt install nodejs npm`); JUnit, the verdict,"
    " `--headline` and the page of verdicts need neither"
)
_INSTALL_S = 600
_BUILD_S = 300


class ToolMissing(Exception):  # noqa: N818 - named for what is the matter
    """Allure cannot be run here. The text says in one line what to install."""


def allure(tell: Callable[[str], None]) -> list[str]:
    """Return the command that runs Allure 3, installed if it is not yet. Raises `ToolMissing`."""
    node = _node()
    folder = _cache() / f"allure-{_pinned()}"
    program = folder / "node_modules" / "allure" / "cli.js"
    if not program.exists():
        _install(folder, tell)
    return [node, str(program)]


def run(command: list[str], folder: Path) -> None:
    """Run Allure in a folder. Raises `ToolMissing` with the end of what it said where it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ToolMissing(f"Allure did not finish within {_BUILD_S} s") from error
    if done.returncode:
        raise ToolMissing(f"Allure failed with exit status {done.returncode}: {_end(done.stdout + done.stderr)}")


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise ToolMissing(WANTED)
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout.strip()
    version = re.match(r"v(\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < NODE:
        raise ToolMissing(f"{node} is {said or 'silent'}; {WANTED}")
    return node


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial"


def _packages() -> dict[str, bytes]:
    room = importlib.resources.files("seatrial.reports").joinpath("npm")
    return {name: room.joinpath(name).read_bytes() for name in ("package.json", "package-lock.json")}


def _pinned() -> str:
    return hashlib.sha256(_packages()["package-lock.json"]).hexdigest()[:16]


def _install(folder: Path, tell: Callable[[str], None]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ToolMissing(WANTED)
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent, prefix="allure-installing-"))
        for file, text in _packages().items():
            (made / file).write_bytes(text)
        tell(f"installing Allure Report 3 into {folder} (once; npm)")
        _with_progress([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"], made, tell)
        try:
            made.rename(folder)
        except OSError:
            if not folder.exists():  # else another run was faster
                raise
    except OSError as error:
        raise ToolMissing(f"{folder}: {error.strerror}: XDG_CACHE_HOME can name another place") from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _with_progress(command: list[str], folder: Path, tell: Callable[[str], None]) -> None:
    done = threading.Event()

    def count() -> None:
        modules = folder / "node_modules"
        while not done.wait(5):
            tell(f"  … {sum(1 for _ in modules.glob('*')) if modules.exists() else 0} packages so far")

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    try:
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ToolMissing(
            f"npm did not finish within {_INSTALL_S} s; the package registry may be out of reach"
        ) from error
    finally:
        done.set()
        counting.join()
    if said.returncode:
        raise ToolMissing(f"npm could not install Allure: {_end(said.stderr)}")


def _end(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return " | ".join(lines[-3:]) or "it said nothing"
