"""What `list` and `explain` tell: the invariants as pytest collects them, without contacting anything."""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import json
import shlex
import textwrap
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.fixtures.fact import FACTS, questions_of
from seatrial.fixtures.question import Command, Question
from seatrial.fixtures.settings import DEFAULT_PROFILE, load_profile
from seatrial.plugins.allow import ALLOWANCES
from seatrial.plugins.invariants import KINDS, Invariant, invariant_of
from seatrial.plugins.remediation.declaration import load

if TYPE_CHECKING:
    from collections.abc import Iterable


class _Collector:
    """Takes down what is collected."""

    def __init__(self) -> None:
        self.found: list[tuple[Invariant, list[str]]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the invariants and the names of their facts."""
        for item in session.items:
            invariant = invariant_of(item)
            if invariant:
                names = [name for name in getattr(item, "fixturenames", ()) if name in FACTS]
                self.found.append((invariant, names))


@cache
def collected() -> tuple[tuple[Invariant, tuple[str, ...]], ...]:
    """Return every invariant with the names of its facts, sorted by id: pytest collects, and runs nothing."""
    collector = _Collector()
    said = io.StringIO()
    suites = str(importlib.resources.files("seatrial.suites"))
    options = ["--collect-only", "-q", "-c", "/dev/null", "--import-mode=importlib", "-p", "no:cacheprovider", suites]
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main(["-p", "seatrial", *quiet, *options], plugins=[collector])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise SystemExit(said.getvalue())
    return tuple((invariant, tuple(names)) for invariant, names in sorted(collector.found, key=lambda f: f[0].id))


def asked(names: Iterable[str], profile: str = DEFAULT_PROFILE) -> list[Question]:
    """Return the questions that facts may ask under a profile."""
    return questions_of(names, load_profile(profile))


def _spelled(question: Question) -> list[str]:
    """Return a question as lines for people; of a command that goes by a title, all that is run."""
    if not isinstance(question, Command) or not question.title:
        return [f"  {question}"]
    return [f"  {question}", *(f"      {line}" for line in shlex.join(question.argv).splitlines())]


def entries() -> list[dict[str, Any]]:
    """Return the catalogue as plain data, sorted by id."""
    return [
        {
            "id": invariant.id,
            "title": invariant.title,
            "subsystem": invariant.subsystem,
            "kind": invariant.kind,
            "severity": invariant.severity,
            "source": invariant.source,
            "remedy": {"text": invariant.remedy, "risk": risk_of(invariant.id)},
            "test": invariant.test,
        }
        for invariant, _ in collected()
    ]


def risk_of(invariant_id: str) -> str | None:
    """Return the risk of an invariant's remedy in a word, None where nothing can be changed."""
    found = load().get(invariant_id)
    return found.risk.word if found else None


def as_json() -> str:
    """Return the catalogue as JSON."""
    return json.dumps(entries(), indent=1, ensure_ascii=False)


def as_table() -> str:
    """Return the catalogue as a table for people."""
    listed = entries()
    widths = {key: max([len(key), *(len(entry[key]) for entry in listed)]) for key in ("id", "severity", "subsystem")}
    rows = [
        f"{entry['id']:{widths['id']}}  {entry['severity']:{widths['severity']}}  "
        f"{entry['subsystem']:{widths['subsystem']}}  {entry['title']}"
        for entry in listed
    ]
    return "\n".join([*rows, f"{len(rows)} invariants; `seatrial explain ID` tells more"])


def explained(invariant_id: str) -> str:
    """Return all there is to say about an invariant. Raises KeyError."""
    found = {invariant.id: (invariant, names) for invariant, names in collected()}
    invariant, names = found[invariant_id]
    parts = [
        f"{invariant.id}  {invariant.title}",
        f"{invariant.severity}, {invariant.subsystem}, {invariant.kind}: {KINDS[invariant.kind]}",
        f"source: {invariant.source}",
        "",
        textwrap.fill(invariant.cost, 100),
        "",
        textwrap.fill(f"Remedy: {invariant.remedy}", 100),
        *(
            [textwrap.fill(f"Risk: {load()[invariant.id].risk.word}. {load()[invariant.id].about}", 100)]
            if invariant.id in load()
            else []
        ),
        "",
        *(["Asked of the cloud:"] if asked(names) else []),
        *(line for question in asked(names) for line in _spelled(question)),
    ]
    if invariant.kind in ALLOWANCES:
        parts.append(f"Runs with --allow {ALLOWANCES[invariant.kind]}.")
    if invariant.explained_by:
        parts += ["", f"Explained by, when violated as well: {', '.join(invariant.explained_by)}"]
    parts += ["", f"Test: {invariant.test}"]
    return "\n".join(parts)


def as_markdown() -> str:
    """Return `docs/invariants.md`."""
    lines = [
        "# The invariants",
        "",
        "Generated by `make docs` from `seatrial list --format json`; a test fails when it is stale.",
        "",
        "| id | severity | claim |",
        "| --- | --- | --- |",
    ]
    listed = collected()
    lines += [f"| [{i.id}](#{i.id.lower()}) | {i.severity} | {i.title} |" for i, _ in listed]
    for invariant, names in listed:
        lines += [
            "",
            f"## {invariant.id}",
            "",
            f"**{invariant.title[0].upper()}{invariant.title[1:]}.**",
            f"{invariant.severity.capitalize()}; source: {invariant.source}; test `{invariant.test}`.",
            "",
            invariant.cost,
            "",
            f"Remedy: {invariant.remedy}",
        ]
        if invariant.id in load():
            mending = load()[invariant.id]
            lines += ["", f"Risk: {mending.risk.word}. {mending.about}"]
        if asked(names):
            lines += ["", "Asked: " + "; ".join(f"`{question}`" for question in asked(names)) + "."]
        if invariant.kind in ALLOWANCES:
            lines += ["", f"Runs with `--allow {ALLOWANCES[invariant.kind]}`."]
        if invariant.explained_by:
            lines += ["", f"Explained by: {', '.join(invariant.explained_by)}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(as_markdown(), end="")  # noqa: T201 - `make docs` writes it to the file
