"""`seatrial profile`: what is demanded of a cloud, shown and checked."""

from __future__ import annotations

import sys
from typing import Any

import click


@click.group()
def profile() -> None:
    """Show or check what is demanded of a cloud."""


def _profiles(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from seatrial.fixtures.settings import shipped_profiles  # noqa: PLC0415 - completion only

    return [name for name in shipped_profiles() if name.startswith(incomplete)]


def _loaded(name: str) -> Any:
    from seatrial.fixtures.settings import load_profile  # noqa: PLC0415 - other commands need no profile
    from seatrial.fixtures.strict_toml import WrongSetting  # noqa: PLC0415 - likewise

    try:
        return load_profile(name)
    except WrongSetting as wrong:
        click.echo(f"seatrial: {wrong}", err=True)
        sys.exit(4)


@profile.command()
@click.argument("name", default="baseline", shell_complete=_profiles)
def show(name: str) -> None:
    """Print every threshold of a profile with where its number comes from."""
    from seatrial.command.thresholds import described  # noqa: PLC0415 - as above

    click.echo(described(_loaded(name)))


@profile.command()
@click.argument("name", shell_complete=_profiles)
def check(name: str) -> None:
    """Say whether a profile can be used; exit status 4 with file, line and key if not."""
    click.echo(f"{_loaded(name).name}: in order")
