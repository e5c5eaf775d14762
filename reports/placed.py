"""Files that are there whole or not at all: whoever looks at them meanwhile sees the former one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def place(text: str, path: Path) -> None:
    """Write a file beside its place, and rename it into it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # else nobody but the owner could read it
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
