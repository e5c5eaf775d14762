"""`seatrial migrate rwx`: the volumes of dnsmasq from one node to all of them, and back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from seatrial.command.ending import end
from seatrial.command.mending import say
from seatrial.plugins.gate import Exit
from seatrial.plugins.remediation import journal as journals
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.contents import Opened, TornJournal
from seatrial.plugins.remediation.lease import Lease
from seatrial.plugins.remediation.migration import Migration
from seatrial.plugins.remediation.volumes import BACK, FORWARD, wanted_by

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.command.mending import Chosen
    from seatrial.plugins.remediation.contents import Contents
    from seatrial.plugins.remediation.volumes import Wanted


def migrate(chosen: Chosen, wanted: Wanted, path: Path, what: str) -> None:
    """Plan (`plan`), begin (`apply`), go on with (`resume`) or take back (`rollback`) the migration."""
    hand, profile = chosen.hand()
    planned = what == "plan"
    existed = path.exists()
    try:
        journal = journals.Journal(path, Opened("migrate-rwx", chosen.name, hand.server, journals.operator()))
    except BlockingIOError:
        end(Exit.REFUSED, f"{path}: a migration is writing it")
    except (OSError, TornJournal) as error:
        end(Exit.USAGE, str(error))
    try:
        direction = _direction(journal.contents, what)
        if what == "resume":
            wanted = wanted_by(journal.contents, direction) or wanted
        migration = Migration(hand, journal, wanted, direction, say)
        if planned:
            for line in migration.told():
                click.echo(line)
            return
        _begin_as_asked(journal, migration, what)
        with Lease(hand, f"{journal.run}-{journal.contents.opened.at}", profile.remedies.lease_s) as lease:
            migration.check()
            migration.run(lease.held)
        click.echo(f"done; the journal is {path}")
    except Refused as refused:
        end(Exit.REFUSED, str(refused))
    except Failed as failed:
        end(Exit.CLOSED, f"{failed}; `seatrial migrate rwx --resume` goes on")
    finally:
        journal.close()
        hand.close()
        if planned and not existed:
            with suppress(OSError):
                path.unlink()


def _direction(contents: Contents, what: str) -> str:
    if what == "resume":
        if not contents.way:
            raise Refused("nothing was begun that could be gone on with")
        return contents.way
    return BACK if what == "rollback" else FORWARD


def _begin_as_asked(journal: journals.Journal, migration: Migration, what: str) -> None:
    """Refuse to begin where something else is unfinished."""
    way = journal.contents.way
    if what == "resume":
        return
    begun = bool(way) and not _finished(journal.contents, way)
    if begun:
        raise Refused(f"{journal.path}: the way {way} is not finished: --resume first")
    if migration.finished:
        click.echo("it is done already")


def _finished(contents: Contents, way: str) -> bool:
    last = "give ArgoCD its write access back"
    known = contents.step(way, last)
    return known is not None and known.done
