"""What runs left in a cloud, by their ledgers or by names and marks: `leftovers` tells it, `cleanup` takes it away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from seatrial.command.ending import end
from seatrial.fixtures.clearing import Clearing
from seatrial.fixtures.ledger import FILE, Contents, Ledger, TornLedger, ledgers, left_by_its_run, read
from seatrial.fixtures.leftovers import found
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.settings import DEFAULT_PROFILE, as_another, load_cloud, load_profile
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.tenant_login import login_of
from seatrial.fixtures.tenant_session import Session
from seatrial.plugins.gate import Exit

Clear = Callable[[Ledger, Contents], list[str]]
"""Takes away what is told, notes it in the ledger, and returns a line for each thing that stays."""


class Project:
    """The project that is cleaned up, and the ledgers at hand."""

    def __init__(self, cloud: str, settings: str, os_cloud: str, evidence: str) -> None:
        """Log in. Ends the command where that cannot be."""
        try:
            name, chosen, _ = load_cloud(cloud, Path(settings) if settings else None)
            self.patience = load_profile(chosen.profile or DEFAULT_PROFILE).acceptance.clean_up_s
            chosen = as_another(chosen, os_cloud) if os_cloud else chosen
            self.session = Session(login_of(chosen.openstack))
        except WrongSetting as wrong:
            end(Exit.USAGE, str(wrong))
        except Unavailable as unavailable:
            end(Exit.UNDETERMINED, str(unavailable))
        self.cloud = name or os_cloud
        self.evidence = Path(evidence)

    def in_cloud(self, run: str = "") -> dict[str, Contents]:
        """Return what is found by name and mark. Ends the command where it cannot be read."""
        try:
            return found(self.session, self.cloud, run)
        except Unavailable as unavailable:
            end(Exit.UNDETERMINED, str(unavailable))

    def open_ledgers(self) -> dict[Path, Contents]:
        """Return the ledgers in the evidence that are of this project and have something left."""
        at_hand: dict[Path, Contents] = {}
        for path in ledgers(self.evidence):
            contents = ledger_of(path)
            if not contents.settled and contents.opened.project == self.session.project:
                at_hand[path] = contents
        return at_hand

    def by_ledger(self, path: Path) -> list[str]:
        """Clear what a ledger tells of. Return a line for each thing that stays."""
        contents = ledger_of(path)
        if contents.opened.project != self.session.project:
            whose = f"it is of project {contents.opened.project} in {contents.opened.cloud or 'another cloud'}"
            end(Exit.REFUSED, f"{path}: {whose}, the credentials are for project {self.session.project}")
        return cleared(path, self._clear)

    def without_ledger(self, contents: Contents) -> list[str]:
        """Clear what was found in the cloud; a ledger of what is done about it is kept, as of any run."""
        return cleared_without(self.evidence / contents.opened.run / f"cleanup-{FILE}", contents, self._clear)

    def _clear(self, ledger: Ledger, contents: Contents) -> list[str]:
        click.echo(f"run {ledger.run}: {_told(contents)}")
        return Clearing(self.session, ledger, self.patience).clear(contents)


def cleaned_up(project: Project, what: str, *, all_mine: bool) -> list[str]:
    """Take away what one run left (by its id or ledger), what all ledgers at hand tell of, or all of seatrial's."""
    left: list[str] = []
    named = Path(what) / FILE if what and Path(what).is_dir() else Path(what)
    if what and named.is_file():
        left += project.by_ledger(named)
    elif what and (project.evidence / what / FILE).is_file():
        left += project.by_ledger(project.evidence / what / FILE)
    elif what:
        for contents in project.in_cloud(what).values():
            left += project.without_ledger(contents)
        click.echo(f"{what}: no ledger here: quotas that the run may have raised are not known", err=True)
    else:
        for path in project.open_ledgers():
            left += project.by_ledger(path)
    if all_mine:
        for contents in project.in_cloud().values():
            left += project.without_ledger(contents)
    return left


def left_over(project: Project) -> list[str]:
    """Return a line for each thing that a run left, by the ledgers at hand and by names and marks."""
    lines = [f"{run}: {belonging}" for run, c in project.in_cloud().items() for belonging in c.belongings.values()]
    for contents in project.open_ledgers().values():
        of_run = [f"{contents.opened.run}: {belonging}" for belonging in contents.belongings.values()]
        raised = [f"{contents.opened.run}: {service} quota, raised" for service in contents.quotas]
        lines += [line for line in [*of_run, *raised] if line not in lines]
    return lines


def _told(contents: Contents) -> str:
    counts: dict[str, int] = {}
    for belonging in contents.belongings.values():
        counts[belonging.kind] = counts.get(belonging.kind, 0) + 1
    parts = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items()]
    parts += [f"the {service} quota" for service in contents.quotas]
    return ", ".join(parts) or "nothing is left"


def cleared(path: Path, clear: Clear) -> list[str]:
    """Clear what the ledger of a run that has ended tells of. Ends the command while that run is going on."""
    try:
        with left_by_its_run(path) as ledger:
            return clear(ledger, read(path))
    except BlockingIOError:
        end(Exit.REFUSED, f"{path}: its run is still going on")
    except OSError as error:
        end(Exit.UNDETERMINED, f"{path}: {error.strerror}")


def cleared_without(kept: Path, contents: Contents, clear: Clear) -> list[str]:
    """Clear what was found without its ledger; one of what is done about it is kept, as of any run."""
    ledger = Ledger(kept, contents.opened)
    try:
        return clear(ledger, contents)
    finally:
        ledger.close()


def ledger_of(path: Path) -> Contents:
    """Return what a ledger tells. Ends the command where it cannot be read."""
    try:
        return read(path)
    except (OSError, TornLedger) as error:
        end(Exit.USAGE, str(error))
