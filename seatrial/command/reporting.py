"""`seatrial report`: pages, tables and figures from what runs have left behind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.reports.allure_tool import ToolMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = Path("report.html")


def reported(what: Sequence[Path], out: Path | None, trend: Path | None) -> None:
    """Write the report that fits what is given, print its path, and end the process with 4 where it cannot be."""
    folders = [path for path in what if path.is_dir()]
    try:
        if folders and len(folders) != len(what):
            raise ValueError("a report is of verdict files, or of folders of Allure results, and not of both")
        if trend is not None and not folders:
            raise ValueError("--trend is of Allure reports, and there is no folder of results")
        if folders:
            from seatrial.reports.allure_report import build  # noqa: PLC0415 - one of several reports

            build(folders, out or _PAGE, trend, lambda line: click.echo(line, err=True))
        else:
            from seatrial.reports.page import write  # noqa: PLC0415 - likewise

            write(what, out or _PAGE)
    except (OSError, ValueError, ToolMissing) as error:
        click.echo(f"seatrial: {error}", err=True)
        sys.exit(4)
    click.echo(out or _PAGE)
