"""The gate: what all judgements together mean, as an exit status and as a file."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from seatrial.plugins.invariants import SEVERITIES, Invariant, invariant_of
from seatrial.plugins.judgement import (
    MENDED,
    NOT_JUDGED,
    OUTCOMES,
    STALE,
    UNDETERMINED,
    VIOLATED,
    Judgement,
    judgement_of,
)

SCHEMA = 1
"""The layout of the verdict file, described in `docs/verdict.schema.json`."""


class Exit(IntEnum):
    """The exit statuses of a run. 2 to 5 are pytest's own."""

    OPEN = 0
    CLOSED = 1
    INTERRUPTED = 2
    INTERNAL_ERROR = 3
    USAGE = 4
    NOTHING_RAN = 5
    UNDETERMINED = 10
    LEFT_BEHIND = 11
    REFUSED = 12


class Gate:
    """Collects the judgements of a run and closes or opens."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.started = datetime.now(UTC)
        self.run = f"{self.started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        self.invariants: dict[str, Invariant] = {}
        self.judgements: dict[str, Judgement] = {}
        self.decided = Exit.NOTHING_RAN
        """What the judgements alone mean."""
        self.exit = Exit.NOTHING_RAN
        self.finished = self.started
        self.trouble = ""
        self.refused = ""
        """Why a guard refused to mend; empty where none did."""
        self.left_behind: list[str] = []
        """What the run made in the cloud and could not take away, a line each."""
        self._told_by_worker: dict[str, Any] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from a worker of xdist which cloud it judged."""
        self._told_by_worker = getattr(node, "workeroutput", {}).get("seatrial", {}) or self._told_by_worker

    @property
    def about(self) -> dict[str, Any]:
        """What is on trial."""
        return self._config.hook.pytest_seatrial_about(config=self._config) or self._told_by_worker

    @property
    def fail_at(self) -> str:
        """The least severity that closes the gate."""
        return str(self._config.getoption("seatrial_fail_at"))

    @property
    def violated(self) -> list[Judgement]:
        """What closes the gate, the most severe first, each cause followed by what it explains."""
        return [j for j in self._by_cause() if self._rank(j) >= SEVERITIES.index(self.fail_at)]

    @property
    def warned(self) -> list[Judgement]:
        """What is violated below the severity that closes the gate."""
        return [j for j in self._by_cause() if self._rank(j) < SEVERITIES.index(self.fail_at)]

    def with_outcome(self, outcome: str) -> list[Judgement]:
        """Return the judgements with an outcome, sorted."""
        return self._sorted(outcome)

    def causes_of(self, judgement: Judgement) -> list[str]:
        """Return the ids of the violated invariants that explain this violation."""
        named = self.invariants[judgement.id].explained_by if judgement.id in self.invariants else ()
        return [cause for cause in named if cause in self.judgements and self.judgements[cause].outcome == VIOLATED]

    def _sorted(self, outcome: str) -> list[Judgement]:
        chosen = [j for j in self.judgements.values() if j.outcome == outcome]
        return sorted(chosen, key=lambda j: (-self._rank(j), j.id))

    def _by_cause(self) -> list[Judgement]:
        """Return the violations, each cause followed by what it explains; a cause is as severe as what it explains."""
        violated = self._sorted(VIOLATED)

        def tell(cause: Judgement, told: list[Judgement]) -> list[Judgement]:
            if cause not in told:
                told.append(cause)
                for explained in (j for j in violated if cause.id in self.causes_of(j)):
                    tell(explained, told)
            return told

        roots = [j for j in violated if not self.causes_of(j)]
        roots.sort(key=lambda root: -max(self._rank(j) for j in tell(root, [])))
        told: list[Judgement] = []
        for judgement in [*roots, *violated]:  # what explains each other has no root
            tell(judgement, told)
        return told

    def _rank(self, judgement: Judgement) -> int:
        return SEVERITIES.index(judgement.severity)

    @property
    def verdict(self) -> str:
        """The verdict in a word."""
        words = {Exit.OPEN: "open", Exit.CLOSED: "closed", Exit.REFUSED: "refused"}
        return words.get(self.decided, "undetermined")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is to be judged."""
        for item in session.items:
            invariant = invariant_of(item)
            if invariant:
                self.invariants[invariant.id] = invariant
                self.judgements[invariant.id] = Judgement(
                    invariant.id, invariant.title, invariant.severity, NOT_JUDGED, reason="the run ended before"
                )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how an invariant was judged."""
        judgement = judgement_of(report)
        if judgement is not None:  # one that is judged again stands until then, for whoever is interrupted meanwhile
            self.judgements[judgement.id] = judgement

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Decide, and write the verdict file."""
        self.finished = datetime.now(UTC)
        if self._config.getoption("collectonly") or not self.judgements:
            return
        self.decided = self._decide(session, exitstatus)
        self.exit = Exit.LEFT_BEHIND if self.left_behind else self.decided
        session.exitstatus = int(self.exit)
        if self._config.getoption("seatrial_verdict"):
            self._write(Path(self._config.getoption("seatrial_verdict")))

    def _decide(self, session: pytest.Session, exitstatus: int) -> Exit:
        if exitstatus in (Exit.INTERRUPTED, Exit.INTERNAL_ERROR, Exit.USAGE):
            return Exit(exitstatus)
        if self._config.getoption("seatrial_capture"):
            return Exit.UNDETERMINED if self.about.get("failures") or self.about.get("trouble") else Exit.OPEN
        if self.refused:
            return Exit.REFUSED
        strict = self._config.getoption("seatrial_strict_waivers")
        no_mended = self._config.getoption("seatrial_no_mended") and self.with_outcome(MENDED)
        if self.violated or no_mended or (strict and self.with_outcome(STALE)) or self._others_failed(session):
            return Exit.CLOSED
        if self.with_outcome(UNDETERMINED) or self.with_outcome(NOT_JUDGED):
            return Exit.UNDETERMINED
        return Exit.OPEN

    def _others_failed(self, session: pytest.Session) -> bool:
        judged = [j for j in self.judgements.values() if j.outcome in (VIOLATED, UNDETERMINED)]
        return session.testsfailed > len(judged)

    def counts(self) -> dict[str, int]:
        """Return how many invariants had each outcome."""
        counted = Counter(judgement.outcome for judgement in self.judgements.values())
        return {outcome: counted[outcome] for outcome in OUTCOMES}

    @property
    def _extent(self) -> dict[str, Any]:
        known = self._config.hook.pytest_seatrial_extent(config=self._config, asking=False)
        return known or self._told_by_worker.get("extent") or {}

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as `docs/verdict.schema.json` describes it."""
        about, extent = self.about, self._extent
        return {
            "schema": SCHEMA,
            "run": self.run,
            "cloud": about.get("cloud", ""),
            "profile": about.get("profile", ""),
            "nodes": extent.get("nodes", 0),
            "release": extent.get("release", {}),
            "workers": len(self._config.getoption("tx", None) or ()),
            "started": self.started.isoformat(timespec="seconds"),
            "duration": round((self.finished - self.started).total_seconds(), 3),
            "verdict": self.verdict,
            "exit": int(self.exit),
            "counts": self.counts(),
            "invariants": [j.as_dict() for _, j in sorted(self.judgements.items())],
        }

    def _write(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.as_dict(), indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            self.trouble = f"--verdict {path}: {error.strerror}: the verdict was not written there"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the gate."""
    group = parser.getgroup("seatrial: the gate")
    group.addoption(
        "--fail-at",
        dest="seatrial_fail_at",
        choices=SEVERITIES,
        default="normal",
        help="the least severity that closes the gate (default: normal)",
    )
    group.addoption("--verdict", dest="seatrial_verdict", metavar="FILE", help="write the verdict there, as JSON")


GATE = pytest.StashKey[Gate]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Listen to the run; on the workers of xdist nobody decides."""
    if not hasattr(config, "workerinput"):
        config.stash[GATE] = Gate(config)
        config.pluginmanager.register(config.stash[GATE], "seatrial-gate")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that decides which cloud this worker judged."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        about = session.config.hook.pytest_seatrial_about(config=session.config) or {}
        extent = session.config.hook.pytest_seatrial_extent(config=session.config, asking=False) or {}
        output["seatrial"] = {**about, "now": str(about.get("now", "")), "extent": extent}
