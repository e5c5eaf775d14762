"""The `invariant` mark: what an invariant must say of itself, enforced when it is collected."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from seatrial.plugins import hookspecs

SEVERITIES = ("trivial", "minor", "normal", "critical", "blocker")
"""Allure's severities, the least severe first."""

KINDS = {
    "conformance": "reads and changes nothing",
    "acceptance": "uses the cloud as a tenant would and cleans up",
    "performance": "measures under load",
    "resilience": "breaks things on purpose",
    "imported": "judges what other tools reported",
}

SUBSYSTEMS = (
    "ceph", "rabbitmq", "mariadb", "memcached", "horizon", "images", "nodes", "kubernetes", "dns", "openstack",
    "ironic", "helm", "prometheus",
)  # fmt: skip

_ID = re.compile(r"[A-Z][A-Z0-9]+-\d{2}")
_KEYWORDS = {"id", "severity", "source", "explained_by"}


@dataclass(frozen=True)
class Invariant:
    """What an invariant says of itself.

    `title` is the claim in the present tense, `cost` what happens when it is false, `remedy` what an operator does
    then, `explained_by` the ids of the invariants whose violation would explain this one's.
    """

    id: str
    title: str
    severity: str
    source: str
    subsystem: str
    kind: str
    cost: str
    remedy: str
    explained_by: tuple[str, ...]
    test: str

    @property
    def rank(self) -> int:
        """How severe it is: 0 is trivial."""
        return SEVERITIES.index(self.severity)


INVARIANT = pytest.StashKey[Invariant]()


def invariant_of(item: pytest.Item) -> Invariant | None:
    """Return what a test claims, or None for a test that claims nothing of a cloud."""
    return item.stash.get(INVARIANT, None)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Make the hooks known."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, so that strict runs know them."""
    config.addinivalue_line(
        "markers", "invariant(id, severity, source, explained_by=''): a claim about the cloud; keywords only"
    )
    for kind, meaning in KINDS.items():
        config.addinivalue_line("markers", f"{kind}: {meaning}")
    for subsystem in SUBSYSTEMS:
        config.addinivalue_line("markers", f"{subsystem}: claims about this subsystem")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note what each invariant says of itself. One that says too little is a usage error."""
    wrong: list[str] = []
    seen: dict[str, str] = {}
    for item in items:
        mark = item.get_closest_marker("invariant")
        if mark is None:
            if "suites" in Path(item.path).parts and item.path.parent.name in KINDS:
                wrong.append(f"{item.nodeid}: no invariant mark")
            continue
        try:
            invariant = _described(item, mark)
        except ValueError as error:
            wrong.append(f"{item.nodeid}: {error}")
            continue
        if invariant.id in seen:
            wrong.append(f"{item.nodeid}: {invariant.id} is already taken by {seen[invariant.id]}")
        seen[invariant.id] = item.nodeid
        item.stash[INVARIANT] = invariant
        item.add_marker(invariant.kind)
    if wrong:
        raise pytest.UsageError("\n".join(wrong))


def _described(item: pytest.Item, mark: pytest.Mark) -> Invariant:
    said = dict(mark.kwargs)
    if mark.args:
        raise ValueError("invariant() takes keywords only")
    unknown = sorted(set(said) - _KEYWORDS)
    if unknown:
        raise ValueError(f"invariant() does not know {unknown[0]!r}")
    for needed in ("id", "severity", "source"):
        if not isinstance(said.get(needed), str) or not said[needed]:
            raise ValueError(f"invariant() needs {needed}=…")
    if not _ID.fullmatch(said["id"]):
        raise ValueError(f"the id {said['id']!r} is not of the form CEPH-01")
    if said["severity"] not in SEVERITIES:
        raise ValueError(f"the severity {said['severity']!r} is not one of {', '.join(SEVERITIES)}")
    cost, remedy = _docstring(item)
    marks = [mark.name for mark in item.iter_markers()]
    subsystems = [subsystem for subsystem in SUBSYSTEMS if subsystem in marks]
    if not subsystems:
        raise ValueError(f"no mark of a subsystem ({', '.join(SUBSYSTEMS)})")
    name = getattr(item, "originalname", None) or item.name
    kind = item.path.parent.name if item.path.parent.name in KINDS else "conformance"
    return Invariant(
        id=said["id"],
        title=name.removeprefix("test_").replace("_", " ") + _row(item),
        severity=said["severity"],
        source=said["source"],
        subsystem=subsystems[0],
        kind=kind,
        cost=cost,
        remedy=remedy,
        explained_by=tuple(str(said.get("explained_by", "")).split()),
        test=f"{kind}/{item.path.name}::{item.name}",
    )


def _row(item: pytest.Item) -> str:
    """Return what tells one row of a parametrized claim from the others."""
    callspec = getattr(item, "callspec", None)
    return ": " + " ".join(str(value) for value in callspec.params.values()) if callspec else ""


def _docstring(item: pytest.Item) -> tuple[str, str]:
    text = inspect.getdoc(getattr(item, "obj", None)) or ""
    if not text:
        raise ValueError("no docstring: say what it costs when the claim is false, then `Remedy: …`")
    cost, found, remedy = text.partition("Remedy:")
    if not found or not remedy.strip():
        raise ValueError("the docstring has no `Remedy: …`")
    if not cost.strip():
        raise ValueError("the docstring does not say what it costs when the claim is false")
    return " ".join(cost.split()), " ".join(remedy.split())
