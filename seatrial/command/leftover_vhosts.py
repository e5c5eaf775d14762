"""What loads on RabbitMQ left, for `leftovers` and `cleanup`: vhosts and Jobs, by ledgers, or by names and marks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.command.ending import end
from seatrial.command.leftovers import cleared, cleared_without, ledger_of
from seatrial.fixtures import ledger as ledgers
from seatrial.fixtures import load_jobs
from seatrial.fixtures.kubernetes_json import KubernetesJson
from seatrial.fixtures.ledger import VHOSTS
from seatrial.fixtures.load_jobs import LoadJobs
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.rabbitmq_access import RabbitMQAccess
from seatrial.fixtures.settings import load_cloud
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.target import connect
from seatrial.fixtures.vhosts import Vhosts, found
from seatrial.plugins.gate import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.fixtures.ledger import Contents, Ledger


class Brokers:
    """The broker of a cloud, and the ledgers of vhosts at hand. It is contacted where there is something to do."""

    def __init__(self, cloud: str, settings: str, evidence: str) -> None:
        """Find the cloud's settings. Ends the command where there are none of that name."""
        try:
            self._name, self._cloud, _ = load_cloud(cloud, Path(settings) if settings else None)
        except WrongSetting as wrong:
            end(Exit.USAGE, str(wrong))
        self._evidence = Path(evidence)

    def alone(self, run: str, *, all_mine: bool) -> bool:
        """Whether the ledgers at hand speak of vhosts only, so that nobody has to log in to OpenStack."""
        if all_mine:
            return False
        if not run:
            return bool(ledgers.ledgers(self._evidence, VHOSTS)) and not ledgers.ledgers(self._evidence)
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
        """Return a line for each vhost that a run left, by the ledgers at hand and by names and marks."""
        told: dict[str, None] = {}
        try:
            for runs in self._found():
                told |= _lines(runs.values())
        except NotConcerned:
            pass
        except (Unavailable, WrongSetting) as unread:
            click.echo(f"vhosts of RabbitMQ: only by the ledgers at hand: {unread}", err=True)
        return list(told | _lines(ledger_of(path) for path in self._open_ledgers()))

    @cached_property
    def _access(self) -> RabbitMQAccess:
        client, _ = connect(self._cloud.kubeconfig, self._cloud.context)
        return RabbitMQAccess(client, self._cloud)

    def _of_run(self, run: str) -> Path | None:
        if not run:
            return None
        named = Path(run)
        candidates = (named, named / VHOSTS, named.with_name(VHOSTS), self._evidence / run / VHOSTS)
        return next((path for path in candidates if path.name == VHOSTS and path.is_file()), None)

    def _open_ledgers(self) -> list[Path]:
        return [path for path in ledgers.ledgers(self._evidence, VHOSTS) if not ledger_of(path).settled]

    def _by_ledger(self, path: Path) -> list[str]:
        contents = ledger_of(path)
        if contents.settled:
            return []
        try:
            identity = self._access.identity()
        except (Unavailable, NotConcerned, WrongSetting) as unavailable:
            end(Exit.UNDETERMINED, str(unavailable))
        if contents.opened.project != identity:
            whose = f"it is of the broker {contents.opened.project} in {contents.opened.cloud or 'another cloud'}"
            end(Exit.REFUSED, f"{path}: {whose}, this one is {identity}")
        return cleared(path, self._clear)

    def _by_mark(self, run: str) -> list[str]:
        try:
            both = self._found(run)
        except NotConcerned:
            return []
        except WrongSetting as wrong:  # OpenStack's things need no way to Kubernetes
            click.echo(f"vhosts of RabbitMQ: not looked for: {wrong}", err=True)
            return []
        except Unavailable as unavailable:
            return [f"vhosts: {unavailable}"]
        left: list[str] = []
        for contents in (contents for runs in both for contents in runs.values()):
            left += cleared_without(self._evidence / contents.opened.run / f"cleanup-{VHOSTS}", contents, self._clear)
        return left

    def _found(self, run: str = "") -> list[dict[str, Contents]]:
        """Return by run the Jobs and then the vhosts that are there. Raises `Unavailable` and `NotConcerned`."""
        vhosts = found(self._access, self._name, run)
        try:
            return [
                load_jobs.found(KubernetesJson(self._access.client), self._name, self._access.identity(), run),
                vhosts,
            ]
        except Unavailable as unread:  # who may not list them can have made none
            click.echo(f"Jobs: only by the ledgers at hand: {unread}", err=True)
            return [vhosts]

    def _clear(self, ledger: Ledger, contents: Contents) -> list[str]:
        click.echo(f"run {ledger.run}: {', '.join(str(each) for each in contents.belongings.values())}")
        left = LoadJobs(KubernetesJson(self._access.client), ledger).clear(contents)
        return left + Vhosts(self._access, ledger).clear(contents)


def _lines(all_contents: Iterable[Contents]) -> dict[str, None]:
    lines: dict[str, None] = {}
    for contents in all_contents:
        lines |= dict.fromkeys(f"{contents.opened.run}: {b.kind} {b.name}" for b in contents.belongings.values())
    return lines
