"""How a command ends before its work is done: with one line that says why, and a documented exit status."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from seatrial.plugins.gate import Exit


def end(status: Exit, message: str) -> NoReturn:
    """End the command with a reason."""
    click.echo(f"seatrial: {message}", err=True)
    sys.exit(status)
