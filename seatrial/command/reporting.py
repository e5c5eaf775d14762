"""`seatrial report`: pages, tables and figures from what runs have left behind."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.reports.allure_tool import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = Path("report.html")
_BEFORE_AND_NOW = 2


@dataclass(frozen=True)
class Wanted:
    """What is to be made: where to, Allure's history, the headline's layout (md, json, svg), the textfile."""

    out: Path | None
    trend: Path | None
    headline: str | None
    textfile: Path | None


def reported(what: Sequence[Path], wanted: Wanted) -> None:
    """Make the report that fits what is given, and end the process with 4 where it cannot be."""
    try:
        folders = [path for path in what if path.is_dir()]
        if folders and len(folders) != len(what):
            raise ValueError("a report is of verdict files, or of folders of Allure results, and not of both")
        if folders and (wanted.headline or wanted.textfile):
            raise ValueError("--headline and --textfile are of verdict files (`seatrial gate --verdict FILE`)")
        if wanted.trend and not folders:
            raise ValueError("--trend is of Allure reports, and there is no folder of results")
        if wanted.textfile:
            _textfile(what, wanted.textfile)
        if wanted.headline:
            _headline(what, wanted.headline, wanted.out)
        elif folders:
            from seatrial.reports.allure_report import build  # noqa: PLC0415 - one of several reports

            build(folders, wanted.out or _PAGE, wanted.trend, lambda line: click.echo(line, err=True))
            click.echo(wanted.out or _PAGE)
        elif wanted.out or not wanted.textfile:
            from seatrial.reports.page import write  # noqa: PLC0415 - likewise

            write(what, wanted.out or _PAGE)
            click.echo(wanted.out or _PAGE)
    except (OSError, ValueError, ToolMissing) as error:
        click.echo(f"seatrial: {error}", err=True)
        sys.exit(4)


def _headline(what: Sequence[Path], layout: str, out: Path | None) -> None:
    from seatrial.reports import headline, headline_plot  # noqa: PLC0415 - as above
    from seatrial.reports.placed import place  # noqa: PLC0415 - as above
    from seatrial.reports.verdicts import read  # noqa: PLC0415 - as above

    if len(what) > _BEFORE_AND_NOW:
        raise ValueError("a headline is of two verdicts, before and now, or of one run that mended")
    made = headline.headline(*(read(path) for path in what))
    text = {"md": headline.as_markdown, "json": headline.as_json, "svg": headline_plot.as_svg}[layout](made)
    if out is None:
        click.echo(text, nl=False)
    else:
        place(text, out)
        click.echo(out)


def _textfile(what: Sequence[Path], path: Path) -> None:
    from seatrial.reports import textfile  # noqa: PLC0415 - as above
    from seatrial.reports.verdicts import read  # noqa: PLC0415 - as above

    textfile.write([read(verdict) for verdict in what], path)
    click.echo(path)
