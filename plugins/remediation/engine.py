"""Mending: one change at a time, the most severe claim and its causes first, each judged again before the next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.plugins.judgement import HOLDS, KNOWN, STALE, VIOLATED, WAIVED, Judgement
from seatrial.plugins.offenders import identity
from seatrial.plugins.remediation.change import Change, Failed, Refused
from seatrial.plugins.remediation.done import Done
from seatrial.plugins.remediation.guards import Guards, missing_rights
from seatrial.plugins.remediation.objects import Delete
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.declaration import Remedy
    from seatrial.plugins.remediation.hand import Hand
    from seatrial.plugins.remediation.journal import Journal

WELL = {HOLDS, WAIVED, STALE, KNOWN}


class Stopped(Exception):  # noqa: N818 - the name is the outcome
    """A change did not help, or could not be made: nothing more is changed."""


@dataclass(frozen=True)
class Bounds:
    """How far a run may go: up to which risk, which claims (all if empty), how many changes."""

    risk: Risk
    only: frozenset[str]
    changes: int


class Mending:
    """Mends what is violated. `judge` judges a claim from fresh facts, `wanted` leaves out what is waived."""

    def __init__(
        self,
        source: Source,
        profile: Profile,
        remedies: dict[str, Remedy],
        hand: Hand,
        journal: Journal,
        bounds: Bounds,
        *,
        judge: Callable[[str], Judgement],
        wanted: Callable[[Change], bool],
        confirm: Callable[[Change], bool],
        held: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._source = source
        self._profile = profile
        self._remedies = remedies
        self._hand = hand
        self._journal = journal
        self._bounds = bounds
        self._judge = judge
        self._wanted = wanted
        self._confirm = confirm
        self._held = held
        self._say = say
        self._guards = Guards(source, profile)
        self._meant: set[str] = set()
        """What the claim that is being mended asked for at first."""
        self.done = Done()

    def mend(self, claims: list[str]) -> None:
        """Go through the violated claims, causes before what they explain. What ends it stands in `done`."""
        try:
            self._guards.before_all()
            self._finish_what_was_cut_off()
            # Where a run was killed, a claim may hold by what is written, of which nothing runs yet.
            owed = self._journal.contents.owed
            for change in owed:
                self._say(f"{change.claim}: owed by a run that was killed: {change.typed[0]}")
            pending = list(dict.fromkeys([*(change.claim for change in owed), *claims]))
            plans = {claim: self._to_do(claim) for claim in pending}
            chosen = [change for changes in plans.values() for change in changes]
            missing = missing_rights(self._hand, chosen) if chosen else []
            if missing:
                lacking = ", ".join(map(str, missing))
                raise Refused(f"rights are missing (docs/remedies.md lists them): {lacking}")
            while pending:
                claim = pending.pop(0)
                if claim in self._remedies:
                    self._mend(claim)
                    pending += [other for other in self._broken_by(claim) if other not in pending]
        except Refused as refused:
            self.done.refused = str(refused)
            self._say(f"refused: {refused}")
        except (Stopped, Failed) as stopped:
            self.done.stopped = str(stopped)
            self._say(f"stopped: {stopped}")

    def _to_do(self, claim: str, tried: Sequence[Change] = ()) -> list[Change]:
        """Return the changes that may be made for a claim, and note why others may not."""
        remedy = self._remedies.get(claim)
        if remedy is None or (self._bounds.only and claim not in self._bounds.only):
            return []
        unread = ""
        asked: dict[str, Change] = {}
        try:
            asked = {change.key: change for change in remedy.changes(self._source, self._profile)}
        except (NotConcerned, Unavailable) as error:
            unread = f"what to change is not known: {error}"
        # What is owed is made though its remedy, which reads what is written, does not ask for it any more.
        owed = {change.key: change for change in self._owed(claim)}
        changes = [change for change in (asked | owed).values() if self._wanted(change)]
        beyond = {c.level for c in changes if c.level > self._bounds.risk}
        if Risk.MANUAL in beyond:
            self.done.left[claim] = "by hand: `--remedy=plan` tells the steps"
        elif beyond:
            self.done.left[claim] = f"its remedy is {max(beyond).word}"
        elif not changes:
            self.done.left[claim] = unread or "no change is known that would help"
        else:
            self.done.left.pop(claim, None)
        return [c for c in changes if c.level <= self._bounds.risk and not self._was_tried(c, tried)]

    def _was_tried(self, change: Change, tried: Sequence[Change]) -> bool:
        """Whether a change was made already, be it of the pod in whose place this one was made."""
        if change.key in {made.key for made in tried}:
            return True
        if not isinstance(change, Delete) or change.key in self._meant:
            return False
        return any(isinstance(made, Delete) and made.workload == change.workload for made in tried)

    def _owed(self, claim: str) -> list[Change]:
        """Return what has to follow the changes that were made for a claim, by this run or by one that was killed."""
        return [change for change in self._journal.contents.owed if change.claim == claim]

    def _mend(self, claim: str) -> None:
        if self.done.all and not self._owed(claim) and self._judge(claim).outcome in WELL:
            self._say(f"{claim}: holds since the changes before it")
            self.done.left.pop(claim, None)
            return
        began = time.monotonic()
        tried: list[Change] = []
        todo = self._to_do(claim)
        self._meant = {change.key for change in todo}
        self._guards.before_claim(todo)
        for change in todo:
            if change.completing:
                self._journal.owe(change)  # type: ignore[arg-type]
        while todo:
            change = min(todo, key=lambda one: one.rung)
            helped = self._make(claim, change)
            tried.append(change)
            judgement = self._judge(claim)
            todo = self._to_do(claim, tried)
            if not helped and not [c for c in todo if c.rung > change.rung and _whom(c) == _whom(change)]:
                offending = "; ".join(judgement.offenders[:2]) or judgement.reason or judgement.outcome
                raise Stopped(f"{claim}: `{change.typed[0]}` did not help: {offending}")
            if judgement.outcome in WELL:
                if not self._owed(claim):
                    self.done.left.pop(claim, None)
                self.done.seconds[claim] = time.monotonic() - began
                # What makes it last (a file beside a setting at run time) is done as well; another rung is not.
                todo = [c for c in todo if not c.rung]
                if not todo:
                    self._say(f"{claim}: mended after {time.monotonic() - began:.0f} s")
            elif not todo and claim not in self.done.left:
                raise Stopped(f"{claim}: still violated after all its changes: {'; '.join(judgement.offenders[:2])}")

    def _broken_by(self, claim: str) -> list[str]:
        """Return the claims that held, and that what was changed for this one has violated."""
        risked = {other for change in self.done.changes.get(claim, []) for other in change.afterwards}
        return [other for other in sorted(risked) if self._judge(other).outcome == VIOLATED]

    def _make(self, claim: str, change: Change) -> bool:
        """Make one change, wait for what it does, and say whether it helped."""
        if len(self.done.all) >= self._bounds.changes:
            raise Stopped(f"{self._bounds.changes} changes are made; --remedy-limit allows no more")
        self._held()
        self._source.forget()
        self._guards.before(change)
        if change.level == Risk.DISRUPTIVE and not self._confirm(change):
            raise Stopped(f"{claim}: not confirmed")
        if change.check(self._hand):
            self._say(f"{claim}: {_whom(change)} is {change.after or 'changed'} already")
            return True
        for command in change.typed:
            self._say(f"{claim}: {command}")
        self.done.begun = True
        number = self._journal.intend(change)  # type: ignore[arg-type]
        try:
            self._keep(change, number)
            change.apply(self._hand)
        except Refused as refused:
            self._journal.became(number, "refused", str(refused))
            raise
        except Failed as failed:
            self._journal.became(number, "failed", str(failed))
            raise
        self._journal.became(number, "applied")
        self.done.changes.setdefault(claim, []).append(change)
        helped = self._helped(claim, change)
        self._journal.became(number, "helped" if helped else "did not help")
        return helped

    def _keep(self, change: Change, number: int) -> None:
        text = change.kept(self._hand)
        if text:
            path = self._journal.path.with_name(f"{self._journal.path.stem}-{number}-{change.claim}.txt")
            path.write_text(text)

    def _helped(self, claim: str, change: Change) -> bool:
        """Wait until a change has settled and shows: its claim holds, or its remedy does not ask for it any more.

        Both have to stay so for as long as the change says; one that does not look well for twice as long, once it is
        settled, did not help.
        """
        end = time.monotonic() + self._patience(change)
        said = ""
        well_since: float | None = None
        settled_at: float | None = None
        while True:
            self._held()
            try:
                left = change.unsettled(self._hand)
            except Failed as failed:  # who is asked may be what was restarted
                left = str(failed)
            if not left:
                settled_at = settled_at if settled_at is not None else time.monotonic()
                judgement = self._judge(claim)
                if judgement.outcome in WELL or (judgement.outcome == VIOLATED and not self._asked_again(change)):
                    well_since = well_since if well_since is not None else time.monotonic()
                    if time.monotonic() - well_since >= change.steady_s:
                        return True
                    left = f"well so far, which counts after {change.steady_s:.0f} s"
                else:
                    well_since = None
                    left = "; ".join(judgement.offenders[:1]) or judgement.reason
            if left != said:
                self._say(f"{claim}: {left} ({max(end - time.monotonic(), 0):.0f} s left)")
                said = left
            if change.steady_s and settled_at is not None:
                end = min(end, settled_at + 2 * change.steady_s)
            if well_since is None and time.monotonic() >= end:
                return False
            time.sleep(self._profile.settle_poll_s)

    def _patience(self, change: Change) -> float:
        """Return how long a change may take until it shows, in seconds: hours only where data is on the move."""
        limits = self._profile.remedies
        if change.level == Risk.DISRUPTIVE:
            return limits.settle_disruptive_s
        return limits.settle_moves_data_s if getattr(change, "recovers", False) else limits.settle_safe_s

    def _asked_again(self, change: Change) -> bool:
        """Whether a remedy asks for a change once more: for the same one, or for the pod that was made in its place.

        A remedy that cannot tell may ask for it still.
        """
        try:
            wanted = self._remedies[change.claim].changes(self._source, self._profile)
        except (NotConcerned, Unavailable):
            return True
        return any(self._was_tried(other, [change]) for other in wanted)

    def _finish_what_was_cut_off(self) -> None:
        """Make the change whole that a killed run was at, where this goes on with its journal."""
        for entry in self._journal.contents.cut_off:
            change, number = entry.change, entry.intended.number
            self._say(f"{change.claim}: going on with what was cut off: {change.typed[0]}")
            self.done.begun = True
            if not change.check(self._hand):
                change.apply(self._hand)
            self._journal.became(number, "applied", "by a run that went on")
            self.done.changes.setdefault(change.claim, []).append(change)


def _whom(change: Change) -> str:
    return identity(change.offender)
