"""Commands with timeouts, errors of one line, and progress for whoever waits."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_STARTED = time.monotonic()


class LabError(click.ClickException):
    """One line that names what is wrong and what to do about it."""


class HopelessError(LabError):
    """What is waited for cannot come any more."""


def say(line: str) -> None:
    """Tell the user `line`, with the seconds since the command started."""
    click.echo(f"{time.monotonic() - _STARTED:6.1f}s  {line}", err=True)


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    title: str = "",
) -> str:
    """Run a command to its end and return its standard output.

    `timeout` is in seconds. With `log`, both outputs are written there and "" is returned. A command that fails or
    does not end in time raises LabError with the last line that it said; `title` is what it is called there.
    """
    words = [Path(argv[0]).name, *map(str, argv[1:6])]
    shown = title or " ".join(words) + (" …" if len(argv) > 6 else "")
    try:
        if log is None:
            done = subprocess.run(
                argv, input=stdin, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
            )
            spoken = done.stderr.strip() or done.stdout.strip()
        else:
            with log.open("w", encoding="utf-8") as sink:
                done = subprocess.run(
                    argv,
                    input=stdin,
                    env=env,
                    cwd=cwd,
                    timeout=timeout,
                    stdout=sink,
                    stderr=sink,
                    text=True,
                    check=False,
                )
            spoken = log.read_text(encoding="utf-8", errors="replace").strip()
    except subprocess.TimeoutExpired:
        raise LabError(f"`{shown}` did not end within {timeout:g} s") from None
    except FileNotFoundError:
        raise LabError(f"`{argv[0]}` is not installed") from None
    if done.returncode:
        last = spoken.splitlines()[-1] if spoken else "it said nothing"
        where = f" (see {log})" if log else ""
        raise LabError(f"`{shown}` ended with status {done.returncode}: {last}{where}")
    return done.stdout or ""


_HURRIED = ContextVar("hurried", default=False)


@contextmanager
def hurried() -> Iterator[None]:
    """Wait for nothing inside: `wait_until` looks once. For undoing several faults, none of which is the last."""
    token = _HURRIED.set(True)
    try:
        yield
    finally:
        _HURRIED.reset(token)


def wait_until(describe: str, predicate: Callable[[], str | None], *, timeout: float, interval: float = 0.5) -> None:
    """Ask `predicate` until it returns None; while it returns text, that is what is still missing.

    A LabError that it raises counts as text, except HopelessError, which ends the wait. What is missing is shown
    whenever it changes, and named in the LabError that ends the wait after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    told = ""
    told_at = time.monotonic()
    while True:
        try:
            missing = predicate()
        except HopelessError:
            raise
        except LabError as error:
            missing = error.message
        if missing is None or _HURRIED.get():
            return
        now = time.monotonic()
        if now >= deadline:
            raise LabError(f"{describe}: not after {timeout:g} s; last seen: {missing}")
        if missing != told and now - told_at >= 2:
            say(f"{describe}: {missing}")
            told, told_at = missing, now
        time.sleep(interval)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Tell what is being done, and when it is done how long it took."""
    begun = time.monotonic()
    say(f"{title} …")
    yield
    took = time.monotonic() - begun
    if took >= 2:
        say(f"{title}: {took:.1f} s")
