"""`--remedy=plan`: for each violated claim what would be done, as an operator would type it. Contacts nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.source import Source
from seatrial.plugins.remediation.change import Change
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from seatrial.fixtures.question import Answer, Question
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.judgement import Judgement
    from seatrial.plugins.remediation.declaration import Remedy


class Heard(Source):
    """What a source has heard already, and nothing else: nobody is asked anew."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def fetch(self, question: Question) -> tuple[Answer, ...]:
        """Return what was heard. Raises `Unavailable` for what was not asked."""
        if question in self._source.heard:
            return self._source.ask(question)
        raise Unavailable(self._source.failures.get(question) or f"{question}: was not asked in this run")

    @property
    def now(self) -> datetime:
        """The moment that the answers speak of."""
        return self._source.now

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What is known of the reading."""
        return self._source.manifest


@dataclass(frozen=True)
class Planned:
    """What is to be done about a violated claim; `reason` says why nothing can be."""

    judgement: Judgement
    remedy: Remedy | None
    changes: list[Change] = field(default_factory=list)
    reason: str = ""


def planned(
    judgement: Judgement,
    remedy: Remedy | None,
    source: Source,
    profile: Profile,
    wanted: Callable[[Change], bool],
) -> Planned:
    """Work out what a remedy would change; `wanted` leaves out what is waived."""
    if remedy is None:
        return Planned(judgement, None, reason="nothing can be changed: it is waited for, or looked into")
    try:
        changes = [change for change in remedy.changes(source, profile) if wanted(change)]
    except (NotConcerned, Unavailable) as unread:
        return Planned(judgement, remedy, reason=f"what to change is not known: {unread}")
    return Planned(judgement, remedy, changes, "" if changes else "no change is known that would help here")


def told(plans: Iterable[Planned]) -> Iterator[str]:
    """Yield the plan line by line."""
    for plan in plans:
        judgement = plan.judgement
        risks = {change.level for change in plan.changes}
        risk = max(risks, default=plan.remedy.risk if plan.remedy else None)
        yield f"{judgement.id} {judgement.severity}: {judgement.title}"
        if plan.remedy:
            yield f"    risk: {risk.word if risk is not None else ''}"
            yield f"    {plan.remedy.about}"
        if plan.reason:
            yield f"    {plan.reason}"
        for change in plan.changes:
            yield from _change(change, mixed=len(risks) > 1)


def _change(change: Change, *, mixed: bool) -> Iterator[str]:
    risk = f" ({change.risk})" if mixed else ""
    states = f": {change.before} -> {change.after}" if change.before or change.after else ""
    yield f"    {change.offender.partition(': ')[0]}{states}{risk}"
    if change.rung:
        yield "      if what stands above did not help:"
    yield from (f"      {line}" for command in change.typed for line in command.splitlines())
    undo = change.typed_undo
    if undo:
        yield from (f"      undo: {line}" for command in undo for line in command.splitlines())
    elif change.level != Risk.MANUAL:
        yield "      undo: nothing is left to undo"
    for value in change.values:
        yield f"      lasting: {value.path}: {value.said} (release {value.release})"
