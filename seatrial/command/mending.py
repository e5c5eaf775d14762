"""`seatrial undo`: what a journal tells of, taken back, the last change first."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.command import pytest_command
from seatrial.command.ending import end
from seatrial.fixtures.settings import DEFAULT_PROFILE, load_cloud, load_profile
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.target import connect
from seatrial.plugins.gate import Exit
from seatrial.plugins.remediation import journal as journals
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.contents import Opened, TornJournal, read
from seatrial.plugins.remediation.hand import Hand
from seatrial.plugins.remediation.lease import Lease
from seatrial.plugins.remediation.undoing import undone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.settings import Cloud
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.contents import Contents


@dataclass(frozen=True)
class Chosen:
    """The cloud that is changed: as the options name it, or as the journal does."""

    name: str
    settings: str = ""
    kubeconfig: str = ""
    context: str = ""
    profile: str = ""

    def loaded(self) -> tuple[str, Cloud, Profile]:
        """Return its name, settings and profile. Ends the command where they cannot be used."""
        try:
            name, cloud, _ = load_cloud(self.name, Path(self.settings) if self.settings else None)
            return name, cloud, load_profile(self.profile or cloud.profile or DEFAULT_PROFILE)
        except WrongSetting as wrong:
            end(Exit.USAGE, str(wrong))

    def or_of(self, name: str) -> Chosen:
        """Return the cloud of that name, where no option names one and the settings know it."""
        if self.name or self.kubeconfig or self.context:
            return self
        with suppress(WrongSetting):
            load_cloud(name, Path(self.settings) if self.settings else None)
            return replace(self, name=name)
        return self

    def hand(self) -> tuple[Hand, Profile]:
        """Return what writes to it. Ends the command where there is no kubeconfig. Contacts nothing."""
        _, cloud, profile = self.loaded()
        kubeconfig = self.kubeconfig or cloud.kubeconfig
        try:
            client, context = connect(kubeconfig, self.context or cloud.context)
        except WrongSetting as wrong:
            end(Exit.USAGE, str(wrong))
        limits = profile.remedies
        patience, poll = limits.settle_disruptive_s, profile.settle_poll_s
        return Hand(client, patience, poll, say, cloud.openstack, kubeconfig, context), profile

    @property
    def options(self) -> list[str]:
        """The gate's options that name it."""
        given = {
            "--kubeconfig": self.kubeconfig,
            "--context": self.context,
            "--settings": self.settings,
            "--profile": self.profile,
            "--cloud": self.name,
        }
        return [word for option, value in given.items() if value for word in (option, value)]


@contextmanager
def held(chosen: Chosen, path: Path) -> Iterator[tuple[Hand, journals.Journal, Lease]]:
    """Hold the cloud's Lease and a journal. Ends the command with the status of whatever is in the way."""
    hand, profile = chosen.hand()
    try:
        contents = read(path)
        journal = journals.Journal(
            path, Opened(contents.opened.run, contents.opened.cloud, hand.server, journals.operator())
        )
    except BlockingIOError:
        end(Exit.REFUSED, f"{path}: a run is writing it")
    except (OSError, TornJournal) as error:
        end(Exit.USAGE, str(error))
    try:
        with Lease(hand, journal.run, profile.remedies.lease_s) as lease:
            yield hand, journal, lease
    except Refused as refused:
        end(Exit.REFUSED, str(refused))
    except Failed as failed:
        end(Exit.CLOSED, str(failed))
    finally:
        journal.close()
        hand.close()


def undo(path: Path, chosen: Chosen, last: int | None, *, judge: bool) -> None:
    """Undo what stands in a journal, and judge again what it was about.

    What was undone is done whether the gate is closed by it or not; that nobody could tell which is an exit status.
    """
    chosen = chosen.or_of(_read(path).opened.cloud)
    claims = {entry.intended.claim for entry in _read(path).standing(last)}
    if not claims:
        click.echo("nothing is left to undo")
        return
    with held(chosen, path) as (hand, journal, lease):
        count = undone(journal, hand, last, say, lease.held)
    click.echo(f"{count} undone")
    if judge:
        meant = " or ".join(f"invariant(id='{claim}')" for claim in sorted(claims))
        quiet = ("--tb=no", "--quiet", "-r", "N", "--no-header")
        judged = subprocess.run(pytest_command(*quiet, "-m", meant, *chosen.options), check=False)
        if judged.returncode not in {Exit.OPEN, Exit.CLOSED}:
            sys.exit(judged.returncode)


def say(text: str) -> None:
    """Tell a step."""
    click.echo(text)


def _read(path: Path) -> Contents:
    try:
        return read(path)
    except (OSError, TornJournal) as error:
        end(Exit.USAGE, str(error))
