"""seatrial itself, as files of a site-packages: from the checkout that this is, or from where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.lab.topology import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

_ROOMS = ("fixtures", "plugins", "suites", "reports", "profiles", "lab")
"""Folders of a checkout that are packages below `seatrial`; pyproject.toml says so to setuptools."""

_LEFT_OUT = {"__pycache__", "out"}


def own_files() -> dict[str, Path]:
    """Return every file by its path in a site-packages."""
    if not (CHECKOUT / "pyproject.toml").exists():
        return _below(CHECKOUT, "seatrial")
    found = _below(CHECKOUT / "seatrial", "seatrial")
    for room in _ROOMS:
        found |= _below(CHECKOUT / room, f"seatrial/{room}")
    return found


def _below(folder: Path, name: str) -> dict[str, Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    inside = {path.relative_to(folder): path for path in files}
    return {f"{name}/{rel.as_posix()}": path for rel, path in inside.items() if not _LEFT_OUT & set(rel.parts)}
