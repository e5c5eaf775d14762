"""The house rules: who may import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "fixtures": ("suites", "plugins", "reports", "lab", "command"),
    "plugins": ("suites", "fixtures", "reports", "lab", "command"),
    "lab": ("suites", "fixtures", "plugins", "reports", "command"),
    "reports": ("suites", "fixtures", "plugins", "lab", "command"),
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_it_may(room):
    trespassing = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / room).rglob("*.py")
        if "remediation" not in path.parts
        for name in imported(path)
        if any(f"{name}.".startswith(f"seatrial.{other}.") for other in FORBIDDEN[room])
    ]
    assert trespassing == []


def test_suites_import_only_pytest():
    trespassing = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / "suites").rglob("*.py")
        for name in imported(path)
        if name.partition(".")[0] != "pytest"
    ]
    assert trespassing == []


def test_no_file_is_too_long_to_hold_in_mind():
    rooms = ("suites", "fixtures", "plugins", "seatrial", "lab", "reports")
    long = [
        f"{path.relative_to(ROOT)}: {len(path.read_text().splitlines())} lines"
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    ]
    assert long == []


def test_no_path_of_a_machine_stands_in_a_file():
    of_this_machine = re.compile(rf"(?<![\w$/}}]){re.escape(str(Path.home()))}/|{re.escape(str(ROOT))}/")
    named = [
        str(path.relative_to(ROOT))
        for room in ("suites", "fixtures", "plugins", "seatrial", "lab", "reports", "profiles", "docs")
        for path in (ROOT / room).rglob("*")
        if path.is_file()
        and ROOT / "reports/out" not in path.parents  # what a run on this machine wrote is no file of the repository
        and path.suffix in {".py", ".toml", ".md", ".sh", ".yaml", ".json"}
        and of_this_machine.search(path.read_text())
    ]
    assert named == []
