"""Waivers: violations that somebody answers for, until a day."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from seatrial.plugins.invariants import invariant_of
from seatrial.plugins.offenders import identity

ANNOUNCED = timedelta(days=14)
"""A waiver whose last day is nearer than this is announced in the summary."""

_KEYS = {"invariant": str, "object": str, "reason": str, "owner": str, "until": date}


@dataclass(frozen=True)
class Waiver:
    """One waiver: it covers the offenders of an invariant that match a pattern, until its last day (UTC)."""

    invariant: str
    object: str
    reason: str
    owner: str
    until: date

    def covers(self, invariant: str, offender: str) -> bool:
        """Whether this offender of this invariant is waived."""
        return invariant == self.invariant and fnmatchcase(identity(offender), self.object)

    def expired(self, today: date) -> bool:
        """Whether the last day is over."""
        return today > self.until

    def __str__(self) -> str:
        return f"{self.invariant} {self.object}: {self.reason} ({self.owner}), until {self.until}"


def read_waivers(path: Path) -> list[Waiver]:
    """Read a `waivers.toml`. Raises pytest's usage error, which names file, waiver and key."""
    try:
        settings = tomllib.loads(path.read_text())
    except OSError as error:
        raise pytest.UsageError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"{path}: not TOML: {error}") from error
    unknown = sorted(set(settings) - {"waiver"})
    if unknown:
        raise pytest.UsageError(f"{path}: {unknown[0]}: unknown key; waivers stand in [[waiver]] tables")
    return [_waiver(path, number, entry) for number, entry in enumerate(settings.get("waiver", []), start=1)]


def _waiver(path: Path, number: int, entry: dict[str, Any]) -> Waiver:
    where = f"{path}: waiver {number}"
    for key in entry:
        if key not in _KEYS:
            raise pytest.UsageError(f"{where}: {key}: unknown key (a waiver has {', '.join(_KEYS)})")
    for key, kind in _KEYS.items():
        value = entry.get(key)
        if value is None or value == "":
            raise pytest.UsageError(f"{where}: {key}: missing")
        if type(value) is not kind:
            example = "a date without quotes, as 2026-12-31" if kind is date else "a text"
            raise pytest.UsageError(f"{where}: {key}: expected {example}, not {value!r}")
    return Waiver(**entry)


class Waivers:
    """The waivers of a run, and which of them were needed."""

    def __init__(self, waivers: list[Waiver], today: date) -> None:
        self.today = today
        self.all = waivers
        self.valid = [waiver for waiver in waivers if not waiver.expired(today)]
        self.expired = [waiver for waiver in waivers if waiver.expired(today)]

    def covering(self, invariant: str, offender: str) -> Waiver | None:
        """Return the waiver that covers an offender, if one does."""
        return next((waiver for waiver in self.valid if waiver.covers(invariant, offender)), None)

    def of(self, invariant: str) -> list[Waiver]:
        """Return the valid waivers of an invariant."""
        return [waiver for waiver in self.valid if waiver.invariant == invariant]

    def ending(self) -> list[Waiver]:
        """Return the waivers whose last day is near."""
        return [waiver for waiver in self.valid if waiver.until - self.today <= ANNOUNCED]


_WAIVERS = pytest.StashKey[Waivers]()


def waivers_of(config: pytest.Config) -> Waivers:
    """Return the waivers of a run; none before the tests are collected."""
    return config.stash.get(_WAIVERS, None) or Waivers([], datetime.now(UTC).date())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options about waivers."""
    group = parser.getgroup("seatrial: the gate")
    group.addoption("--waivers", dest="seatrial_waivers", metavar="FILE", help="the waivers (default: waivers.toml)")
    group.addoption("--no-waivers", dest="seatrial_no_waivers", action="store_true", help="judge as if there were none")
    group.addoption(
        "--strict-waivers",
        dest="seatrial_strict_waivers",
        action="store_true",
        help="close the gate on a waiver whose invariant holds again",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Read the waivers when invariants are about to be judged. One for an unknown id is a usage error."""
    ids = {invariant.id for item in items if (invariant := invariant_of(item))}
    if not ids or config.getoption("seatrial_no_waivers") or config.getoption("collectonly"):
        return
    given = config.getoption("seatrial_waivers") or (config.hook.pytest_seatrial_about(config=config) or {}).get(
        "waivers"
    )
    path = Path(given or "waivers.toml")
    if not given and not path.exists():
        return
    waivers = read_waivers(path)
    known = ids | _deselected_ids(config)
    for waiver in waivers:
        if waiver.invariant not in known:
            raise pytest.UsageError(f"{path}: {waiver.invariant}: no invariant has this id (see `seatrial list`)")
    config.stash[_WAIVERS] = Waivers(waivers, datetime.now(UTC).date())


_DESELECTED = pytest.StashKey[set[str]]()


def _deselected_ids(config: pytest.Config) -> set[str]:
    return config.stash.get(_DESELECTED, set())


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Remember which invariants were not selected: their waivers are not wrong."""
    for item in items:
        invariant = invariant_of(item)
        if invariant:
            item.config.stash.setdefault(_DESELECTED, set()).add(invariant.id)
