"""`seatrial watch`: how it is told while it goes on, and what it comes to."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import click

from seatrial.command.ending import end
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.watch.availability import Availability, Objective, Seen
from seatrial.fixtures.watch.watched import Asked, Watched
from seatrial.plugins.gate import Exit

if TYPE_CHECKING:
    from seatrial.fixtures.watch.watching import Watch

_QUIET_S = 10.0
"""Seconds between two lines of progress where nobody sees a line change."""


class Teller:
    """Tells on standard error what happens, and in between that the watch goes on."""

    def __init__(self, watched: Watched) -> None:
        self._name = watched.name
        self._lock = threading.Lock()
        self._said = time.monotonic()
        self._line = 0
        self.services: list[Availability] = []

    def changed(self, service: Availability, before: Seen | None) -> None:
        """A service's state has changed."""
        if service.state is Seen.DOWN:
            first = "not reached from the beginning" if before is None else "DOWN"
            self.say(f"{service.service}: {first}: {service.why} ({service.where})")
        elif service.state is Seen.NOTHING:
            self.say(f"{service.service}: not watched: {service.why}")
        elif service.outages and before is Seen.DOWN:
            self.say(f"{service.service}: up again after {service.outages[-1].down_s:.1f} s")
        else:
            self.say(f"{service.service}: up ({service.where})")

    def say(self, text: str) -> None:
        """Say a line."""
        with self._lock:
            self._erase()
            click.echo(f"{datetime.now(UTC):%H:%M:%S} {text}", err=True)

    def progress(self, watched_s: float) -> None:
        """Tell that the watch goes on: a line that changes, or one now and then where nobody sees it change."""
        states = ", ".join(
            f"{service.service} {service.state or '…'}"
            + (f" ({service.down_s:.1f} s down)" if service.down_s >= 0.05 else "")  # noqa: PLR2004 - what is shown
            for service in self.services
        )
        line = f"watched {self._name} for {watched_s:.0f} s: {states}"
        with self._lock:
            if sys.stderr.isatty():
                self._erase()
                click.echo(line[:150], err=True, nl=False)
                self._line = len(line[:150])
            elif time.monotonic() - self._said >= _QUIET_S:
                self._said = time.monotonic()
                click.echo(line, err=True)

    def done(self) -> None:
        """Leave no half line."""
        with self._lock:
            self._erase()

    def _erase(self) -> None:
        if self._line:
            click.echo(f"\r{' ' * self._line}\r", err=True, nl=False)
            self._line = 0


def watch(asked: Asked, for_s: float | None, layout: str) -> NoReturn:
    """Watch until told to stop, tell what was seen, and end the process with what it means."""
    from seatrial.fixtures.watch.watching import Watch  # noqa: PLC0415 - as above

    try:
        target = Watched(asked)
    except WrongSetting as wrong:
        end(Exit.USAGE, str(wrong))
    except Unavailable as unavailable:
        end(Exit.UNDETERMINED, str(unavailable))
    teller = Teller(target)
    for note in target.notes:
        teller.say(note)
    if not target.probes:
        end(Exit.USAGE, "nothing to watch")
    wanted = target.profile.watch
    watching = Watch(target.probes, wanted.every_s, wanted.patience_s, teller.changed)
    teller.services = watching.services
    _stop_on_signals(watching)
    began = datetime.now(UTC)
    watching.run(teller.progress, for_s)
    teller.done()
    objective = Objective(wanted.availability, wanted.period_days)
    status = meaning(watching.services, objective, wanted.budget_used_max)
    if layout == "json":
        click.echo(json.dumps(_document(target, watching, objective, began, status), indent=1))
    else:
        click.echo(_table(watching, objective, wanted.budget_used_max))
    sys.exit(status)


def meaning(services: list[Availability], objective: Objective, used_max: float) -> Exit:
    """Return what it means: closed where a service used too much of its budget, undetermined where one was never up."""
    if any(service.answered and service.budget_used(objective) > used_max for service in services):
        return Exit.CLOSED
    return Exit.OPEN if all(service.answered for service in services) else Exit.UNDETERMINED


def _stop_on_signals(watching: Watch) -> None:
    def stop(number: int, _frame: Any) -> None:
        watching.stop.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _document(target: Watched, watching: Watch, objective: Objective, began: datetime, status: Exit) -> dict[str, Any]:
    wanted = target.profile.watch
    return {
        "schema": 1,
        "cloud": target.name,
        "began": began.isoformat(timespec="milliseconds"),
        "watched_s": round(watching.clock.now(), 3),
        "every_s": wanted.every_s,
        "patience_s": wanted.patience_s,
        "availability": objective.availability,
        "period_days": objective.period_days,
        "budget_s": round(objective.budget_s, 3),
        "budget_used_max": wanted.budget_used_max,
        "services": [service.figures(objective) for service in watching.services],
        "suspended": [
            {"began": lapse.began.isoformat(timespec="milliseconds"), "seconds": round(lapse.seconds, 3)}
            for lapse in watching.clock.lapses
        ],
        "not_watched": target.notes,
        "exit": int(status),
    }


def _table(watching: Watch, objective: Objective, used_max: float) -> str:
    head = ("service", "outages", "down", "longest gap", "mean recovery", "budget used", "not watched")
    rows = [head, *(_row(service, objective) for service in watching.services)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{service.service}: {outage}" for service in watching.services for outage in service.outages]
    lines += [
        f"not watched: {lapse.seconds:.1f} s from {lapse.began:%H:%M:%S}, when this process did not run"
        for lapse in watching.clock.lapses
    ]
    budget = f"{objective.budget_s:.0f} s in {objective.period_days:g} days at {objective.availability:.3%}"
    lines.append(f"the error budget of a service is {budget}; one watch may use {used_max:.0%} of it")
    return "\n".join(lines)


def _row(service: Availability, objective: Objective) -> tuple[str, ...]:
    if not service.answered:
        return (service.service, "never reached", "-", "-", "-", "-", f"{service.unwatched_s:.1f} s")
    recovery = service.mean_recovery_s
    return (
        service.service,
        str(len(service.outages)) + ("" if not service.outages or service.outages[-1].over else ", still down"),
        f"{service.down_s:.1f} s",
        f"{service.longest_gap_s:.1f} s",
        "-" if recovery is None else f"{recovery:.1f} s",
        f"{service.budget_used(objective):.1%}",
        f"{service.unwatched_s:.1f} s",
    )
