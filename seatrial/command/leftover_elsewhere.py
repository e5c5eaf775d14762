"""What runs left outside of OpenStack's project, for `leftovers` and `cleanup`: vhosts in RabbitMQ, and namespaces.

Both are found by their ledgers, or by names and marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.command.ending import end
from seatrial.command.leftovers import cleared, cleared_without, ledger_of
from seatrial.fixtures import ledger as ledgers
from seatrial.fixtures import namespaces, vhosts
from seatrial.fixtures.kubernetes_calls import KubernetesCalls
from seatrial.fixtures.ledger import NAMESPACES, VHOSTS
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.rabbitmq_access import RabbitMQAccess
from seatrial.fixtures.settings import DEFAULT_PROFILE, load_cloud, load_profile
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.target import connect
from seatrial.plugins.gate import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seatrial.command.leftovers import Clear
    from seatrial.fixtures.ledger import Contents
    from seatrial.fixtures.settings import Cloud


@dataclass(frozen=True)
class Place:
    """Where such things are, as it was reached."""

    identity: Callable[[], str]
    """What tells this place from every other."""
    found: Callable[[str, str], dict[str, Contents]]
    """Takes the cloud's name, and a run or nothing for all of them."""
    clear: Clear


@dataclass(frozen=True)
class Sort:
    """One sort of things: what they are called, whose they are, their ledger, and how their place is reached."""

    told: str
    whose: str
    ledger: str
    reach: Callable[[Cloud], Place]


def _broker(cloud: Cloud) -> Place:
    access = RabbitMQAccess(connect(cloud.kubeconfig, cloud.context)[0], cloud)
    return Place(
        access.identity,
        lambda name, run: vhosts.found(access, name, run),
        lambda ledger, contents: vhosts.Vhosts(access, ledger).clear(contents),
    )


def _cluster(cloud: Cloud) -> Place:
    calls = KubernetesCalls(connect(cloud.kubeconfig, cloud.context)[0])
    patience_s = load_profile(cloud.profile or DEFAULT_PROFILE).pod_scheduling.clean_up_s
    return Place(
        lambda: namespaces.identity(calls),
        lambda name, run: namespaces.found(calls, name, run),
        lambda ledger, contents: namespaces.Namespaces(calls, ledger, patience_s).clear(contents),
    )


SORTS = (
    Sort("vhosts of RabbitMQ", "broker", VHOSTS, _broker),
    Sort("namespaces", "cluster", NAMESPACES, _cluster),
)


class Elsewhere:
    """Things of one sort, and their ledgers at hand. Their place is contacted where there is something to do."""

    def __init__(self, sort: Sort, cloud: str, settings: str, evidence: str) -> None:
        """Find the cloud's settings. Ends the command where there are none of that name."""
        try:
            self._name, self._cloud, _ = load_cloud(cloud, Path(settings) if settings else None)
        except WrongSetting as wrong:
            end(Exit.USAGE, str(wrong))
        self._sort = sort
        self._evidence = Path(evidence)

    def alone(self, run: str) -> bool:
        """Whether there are ledgers of these things at hand, and none of OpenStack's."""
        if not run:
            return bool(ledgers.ledgers(self._evidence, self._sort.ledger)) and not ledgers.ledgers(self._evidence)
        path = self._of_run(run)
        return path is not None and not path.with_name(ledgers.FILE).is_file()

    def cleaned_up(self, run: str, *, all_mine: bool) -> list[str]:
        """Take away what one run left, or what all ledgers at hand tell of, or all of seatrial's; say what stays."""
        left: list[str] = []
        path = self._of_run(run)
        if path is not None:
            left += self._by_ledger(path)
        elif not run:
            for each in self._open_ledgers():
                left += self._by_ledger(each)
        if all_mine or (run and path is None and not Path(run).exists()):
            left += self._by_mark("" if all_mine else run)
        return left

    def left_over(self) -> list[str]:
        """Return a line for each thing that a run left, by the ledgers at hand and by names and marks."""
        told: dict[str, None] = {}
        try:
            told |= _lines(self._place.found(self._name, "").values())
        except NotConcerned:
            pass
        except (Unavailable, WrongSetting) as unread:
            click.echo(f"{self._sort.told}: only by the ledgers at hand: {unread}", err=True)
        return list(told | _lines(ledger_of(path) for path in self._open_ledgers()))

    @cached_property
    def _place(self) -> Place:
        return self._sort.reach(self._cloud)

    def _of_run(self, run: str) -> Path | None:
        if not run:
            return None
        named, file = Path(run), self._sort.ledger
        candidates = (named, named / file, named.with_name(file), self._evidence / run / file)
        return next((path for path in candidates if path.name == file and path.is_file()), None)

    def _open_ledgers(self) -> list[Path]:
        return [
            path for path in ledgers.ledgers(self._evidence, self._sort.ledger) if not ledger_of(path).settled
        ]  # fmt: skip

    def _by_ledger(self, path: Path) -> list[str]:
        contents = ledger_of(path)
        if contents.settled:
            return []
        try:
            identity = self._place.identity()
        except (Unavailable, NotConcerned, WrongSetting) as unavailable:
            end(Exit.UNDETERMINED, str(unavailable))
        if contents.opened.project != identity:
            of = f"the {self._sort.whose} {contents.opened.project} in {contents.opened.cloud or 'another cloud'}"
            end(Exit.REFUSED, f"{path}: it is of {of}, this one is {identity}")
        return cleared(path, self._clear)

    def _by_mark(self, run: str) -> list[str]:
        try:
            runs = self._place.found(self._name, run)
        except NotConcerned:
            return []
        except WrongSetting as wrong:  # OpenStack's things need no way to Kubernetes
            click.echo(f"{self._sort.told}: not looked for: {wrong}", err=True)
            return []
        except Unavailable as unavailable:
            return [f"{self._sort.told}: {unavailable}"]
        left: list[str] = []
        for contents in runs.values():
            kept = self._evidence / contents.opened.run / f"cleanup-{self._sort.ledger}"
            left += cleared_without(kept, contents, self._clear)
        return left

    def _clear(self, ledger: ledgers.Ledger, contents: Contents) -> list[str]:
        click.echo(f"run {ledger.run}: {', '.join(str(each) for each in contents.belongings.values())}")
        return self._place.clear(ledger, contents)


def elsewhere(cloud: str, settings: str, evidence: str) -> list[Elsewhere]:
    """Return what may be left of each sort. Ends the command where there is no cloud of that name."""
    return [Elsewhere(sort, cloud, settings, evidence) for sort in SORTS]


def alone(things: Sequence[Elsewhere], run: str, *, all_mine: bool) -> bool:
    """Whether the ledgers at hand speak of such things only, so that nobody has to log in to OpenStack."""
    return not all_mine and any(each.alone(run) for each in things)


def _lines(all_contents: Iterable[Contents]) -> dict[str, None]:
    lines: dict[str, None] = {}
    for contents in all_contents:
        lines |= dict.fromkeys(f"{contents.opened.run}: {b.kind} {b.name}" for b in contents.belongings.values())
    return lines
