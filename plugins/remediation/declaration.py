"""How a remedy is declared, and how its changes are worked out from facts."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures.cluster import NODES, PODS, SECRETS, WORKLOADS
from seatrial.fixtures.fact import built, questions_of
from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from seatrial.fixtures.question import Question
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

SUBSYSTEMS = (
    "ceph", "ceph_daemons", "nodes", "images", "rabbitmq", "rabbitmq_traffic", "mariadb", "memcached", "horizon",
    "openstack", "openstack_values", "kubernetes", "helm", "ironic", "prometheus",
)  # fmt: skip
"""The files of `mends/` that declare remedies."""

_PLACES: tuple[Question, ...] = (NODES, PODS, SECRETS, *WORKLOADS)
"""What tells where a change is made, and which release's values make it last."""


@dataclass(frozen=True)
class Remedy:
    """What mends a claim: a function from facts to changes.

    `risk` is the highest that its changes have by themselves; `rights` are those that applying them takes; `asks` are
    questions that it puts besides those of its facts.
    """

    claim: str
    risk: Risk
    rights: tuple[Right, ...]
    asks: tuple[Question, ...]
    work_out: Callable[..., Iterable[Change]]

    @property
    def about(self) -> str:
        """What it does, and what it costs."""
        return " ".join((inspect.getdoc(self.work_out) or "").split())

    @property
    def facts(self) -> tuple[str, ...]:
        """The names of the facts that it takes."""
        return tuple(inspect.signature(self.work_out).parameters)

    def questions(self, profile: Profile) -> list[Question]:
        """Return what has to be read for a whole plan."""
        return list(dict.fromkeys([*questions_of(self.facts, profile), *_PLACES, *self.asks]))

    def changes(self, source: Source, profile: Profile) -> list[Change]:
        """Return what it would change now, each change with claim, risk and reason. Raises as facts do."""
        taken = {name: built(name, source, profile) for name in self.facts}
        return [self._told(change) for change in self.work_out(**taken)]

    def _told(self, change: Change) -> Change:
        return msgspec.structs.replace(
            change, claim=self.claim, risk=change.risk or self.risk.word, why=change.why or self.about
        )


REMEDIES: dict[str, Remedy] = {}
"""Every remedy by its claim's id, once `load` was called."""


def remedy(claims: str, risk: Risk, *rights: Right, asks: tuple[Question, ...] = ()) -> Callable[[Any], Any]:
    """Declare the decorated function as the remedy of one or more claims (ids, separated by blanks).

    It takes facts by their names, and yields changes; its docstring says what it does. It works out from facts what is
    wrong, and never from a failure's text.
    """

    def declare(work_out: Callable[..., Iterable[Change]]) -> Callable[..., Iterable[Change]]:
        for claim in claims.split():
            if claim in REMEDIES:
                raise ValueError(f"{claim} has two remedies")
            REMEDIES[claim] = Remedy(claim, risk, rights, asks, work_out)
        return work_out

    return declare


def load() -> dict[str, Remedy]:
    """Return every remedy. Contacts nothing."""
    for name in SUBSYSTEMS:
        importlib.import_module(f"seatrial.plugins.remediation.mends.{name}")
    return REMEDIES
