"""Verdict files, read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1


def read(path: Path) -> dict[str, Any]:
    """Return a verdict. Raises OSError, or ValueError for what is no verdict."""
    try:
        verdict = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(verdict, dict) or verdict.get("schema") != SCHEMA or "invariants" not in verdict:
        raise ValueError(f"{path}: not a verdict of schema {SCHEMA}")
    return verdict
