"""What runs left elsewhere than in a project of OpenStack's, for `leftovers` and `cleanup`.

Vhosts in RabbitMQ, with the Jobs of loads on it, pods and namespaces in Kubernetes: each place has ledgers of its own,
and things there are found by names and marks as well.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.command.ending import end
from seatrial.command.leftovers import cleared, cleared_without, ledger_of
from seatrial.fixtures import ledger as ledgers
from seatrial.fixtures import load_jobs, namespaces, run_pods, vhosts
from seatrial.fixtures.kubernetes_api import KubernetesApi
from seatrial.fixtures.ledger import NAMESPACES, PODS, VHOSTS, Contents
from seatrial.fixtures.load_jobs import LoadJobs
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.rabbitmq_access import RabbitMQAccess
from seatrial.fixtures.settings import DEFAULT_PROFILE, load_cloud, load_profile
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.target import connect
from seatrial.plugins.gate import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.fixtures.ledger import Ledger


class Place:
    """Where runs leave things, and the ledgers of it at hand. It is contacted where there is something to do."""

    file: str
    """What its ledgers are called."""
    things: str
    whose: str
    """Whose they are, in words: what `identity` of its access names."""

    def __init__(self, cloud: str, settings: str, evidence: str) -> None:
        """Find the cloud's settings. Ends the command where there are none of that name."""
        try:
            self._name, self._cloud, _ = load_cloud(cloud, Path(settings) if settings else None)
        except WrongSetting as wrong:
            end(Exit.USAGE, str(wrong))
        self._evidence = Path(evidence)

    def _connected(self, client: Any) -> Any:
        """Return the way in. Raises `NotConcerned`, `Unavailable`."""
        raise NotImplementedError

    def _found(self, run: str = "") -> dict[str, Contents]:
        """Return by run what is found by name and mark. Raises `NotConcerned`, `Unavailable`."""
        raise NotImplementedError

    def _taken_away(self, ledger: Ledger, contents: Contents) -> list[str]:
        """Take away what is told; return a line for each thing that stays."""
        raise NotImplementedError

    def alone(self, run: str, *, all_mine: bool) -> bool:
        """Whether the ledgers at hand speak of such things only, so that nobody has to log in to OpenStack."""
        if all_mine:
            return False
        if not run:
            return bool(ledgers.ledgers(self._evidence, self.file)) and not ledgers.ledgers(self._evidence)
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
        if all_mine or (run and path is None and not self._at_hand(run)):
            left += self._by_mark("" if all_mine else run)
        return left

    def left_over(self) -> list[str]:
        """Return a line for each thing that a run left, by the ledgers at hand and by names and marks."""
        told: dict[str, None] = {}
        try:
            told |= _lines(self._found().values())
        except NotConcerned:
            pass
        except (Unavailable, WrongSetting) as unread:
            click.echo(f"{self.things}: only by the ledgers at hand: {unread}", err=True)
        return list(told | _lines(ledger_of(path) for path in self._open_ledgers()))

    @cached_property
    def _access(self) -> Any:
        client, _ = connect(self._cloud.kubeconfig, self._cloud.context)
        return self._connected(client)

    def _at_hand(self, run: str) -> bool:
        """Whether something else of the run's is at hand: then it would have left a ledger of these things, too."""
        kept = (self._evidence / run / name for name in (ledgers.FILE, VHOSTS, PODS, NAMESPACES))
        return Path(run).exists() or any(path.is_file() for path in kept)

    def _of_run(self, run: str) -> Path | None:
        if not run:
            return None
        named = Path(run)
        candidates = (named, named / self.file, named.with_name(self.file), self._evidence / run / self.file)
        return next((path for path in candidates if path.name == self.file and path.is_file()), None)

    def _open_ledgers(self) -> list[Path]:
        return [path for path in ledgers.ledgers(self._evidence, self.file) if not ledger_of(path).settled]

    def _by_ledger(self, path: Path) -> list[str]:
        contents = ledger_of(path)
        if contents.settled:
            return []
        try:
            identity = self._access.identity()
        except (Unavailable, NotConcerned, WrongSetting) as unavailable:
            end(Exit.UNDETERMINED, str(unavailable))
        if contents.opened.project != identity:
            whose = f"it is of the {self.whose} {contents.opened.project} in {contents.opened.cloud or 'another cloud'}"
            end(Exit.REFUSED, f"{path}: {whose}, this one is {identity}")
        return cleared(path, self._clear)

    def _by_mark(self, run: str) -> list[str]:
        try:
            runs = self._found(run)
        except NotConcerned:
            return []
        except WrongSetting as wrong:  # OpenStack's things need no way to Kubernetes
            click.echo(f"{self.things}: not looked for: {wrong}", err=True)
            return []
        except Unavailable as unavailable:
            return [f"{self.things}: {unavailable}"]
        left: list[str] = []
        for contents in runs.values():
            kept = self._evidence / contents.opened.run / f"cleanup-{self.file}"
            left += cleared_without(kept, contents, self._clear)
        return left

    def _clear(self, ledger: Ledger, contents: Contents) -> list[str]:
        click.echo(f"run {ledger.run}: {', '.join(str(each) for each in contents.belongings.values())}")
        return self._taken_away(ledger, contents)


class Brokers(Place):
    """RabbitMQ, in which loads make vhosts, and beside which some of them make Jobs."""

    file = VHOSTS
    things = "vhosts of RabbitMQ"
    whose = "broker"

    def _connected(self, client: Any) -> Any:
        return RabbitMQAccess(client, self._cloud)

    def _found(self, run: str = "") -> dict[str, Contents]:
        runs = vhosts.found(self._access, self._name, run)
        try:
            jobs = load_jobs.found(self._api, self._name, self._access.identity(), run)
        except Unavailable as unread:  # who may not list them can have made none
            click.echo(f"Jobs: only by the ledgers at hand: {unread}", err=True)
            return runs
        for by, contents in jobs.items():
            runs.setdefault(by, Contents(contents.opened)).belongings |= contents.belongings
        return runs

    def _taken_away(self, ledger: Ledger, contents: Contents) -> list[str]:
        left = LoadJobs(self._api, ledger).clear(contents)
        return left + vhosts.Vhosts(self._access, ledger).clear(contents)

    @property
    def _api(self) -> KubernetesApi:
        return KubernetesApi(self._access.client)


class Clusters(Place):
    """Kubernetes, in which the network is measured between pods."""

    file = PODS
    things = "pods"
    whose = "cluster"

    def _connected(self, client: Any) -> Any:
        return KubernetesApi(client)

    def _found(self, run: str = "") -> dict[str, Contents]:
        return run_pods.found(self._access, self._name, run)

    def _taken_away(self, ledger: Ledger, contents: Contents) -> list[str]:
        return run_pods.RunPods(self._access, ledger, self._cloud.iperf3.namespace).clear(contents)


class Namespaces(Place):
    """Kubernetes, in which the scheduler is measured in namespaces of the run's own."""

    file = NAMESPACES
    things = "namespaces"
    whose = "cluster"

    def _connected(self, client: Any) -> Any:
        return KubernetesApi(client)

    def _found(self, run: str = "") -> dict[str, Contents]:
        return namespaces.found(self._access, self._name, run)

    def _taken_away(self, ledger: Ledger, contents: Contents) -> list[str]:
        patience_s = load_profile(self._cloud.profile or DEFAULT_PROFILE).pod_scheduling.clean_up_s
        return namespaces.Namespaces(self._access, ledger, patience_s).clear(contents)


PLACES: tuple[type[Place], ...] = (Brokers, Clusters, Namespaces)


def _lines(all_contents: Iterable[Contents]) -> dict[str, None]:
    lines: dict[str, None] = {}
    for contents in all_contents:
        lines |= dict.fromkeys(f"{contents.opened.run}: {b.kind} {b.name}" for b in contents.belongings.values())
    return lines
