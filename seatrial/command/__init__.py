"""The `seatrial` command: a thin shell around pytest, the profiles and the lab."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from seatrial.command.changes import migrate, of_a_cloud, undo
from seatrial.command.profiles import profile

_FILE = click.Path(dir_okay=False, path_type=Path)
# No -h: click would find it in `-mceph`, and print help with exit status 0 instead of judging.
_WRITING = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]}


class _Rooms(click.Group):
    """Loads `lab` only when it is asked for: it is of no use to most runs, and judging should start at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), "lab"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "lab":
            from seatrial.lab.command import lab  # noqa: PLC0415 - see the class

            return lab
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Rooms, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="seatrial")
def main() -> None:
    """Accept or refuse an OpenStack cloud that runs on Kubernetes.

    Start with `seatrial gate`: with nothing but a kubeconfig it finds the cloud, judges it, and opens or closes.
    """


WHOLE = ("-o", "truncation_limit_lines=0", "-o", "truncation_limit_chars=0")
"""Lets pytest tell JUnit and Allure of all that offend: by itself it cuts a failure off after eight lines."""


def pytest_command(*arguments: str) -> list[str]:
    """Return the command line that runs the shipped suites."""
    return [sys.executable, "-m", "pytest", "-p", "seatrial", *arguments, "--pyargs", "seatrial.suites"]


def become(command: list[str]) -> None:
    """Become another process, so that signals and exit statuses are its own.

    pytest must load `seatrial` before anybody imports it, or the plugins' assertions cannot explain themselves.
    """
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the interpreter that runs this, with arguments of its own


@main.command(context_settings=_WRITING)
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def gate(pytest_arguments: tuple[str, ...]) -> None:
    """Judge a cloud and open or close the gate.

    \b
      seatrial gate                            the cloud of the current kubeconfig
      seatrial gate --cloud prod               a cloud of seatrial.toml
      seatrial gate --bundle um-cloud-before   a recorded cloud
      seatrial gate -m ceph                    only claims about Ceph (any pytest argument works)
      seatrial gate -k CEPH_01 --settle 10m    wait for what is still converging

    \b
    which cloud      --cloud NAME  --settings FILE  --kubeconfig FILE  --context NAME  --bundle PATH
    what is demanded --profile NAME|FILE  --fail-at SEVERITY
    using the cloud  --allow load (docs/acceptance.md)  --on-sick-cloud refuse|go  --os-cloud NAME
    waivers          --waivers FILE  --no-waivers  --strict-waivers
    patience         --settle TIME
    mending          --remedy plan|safe|moves-data|disruptive  --remedy-only IDS  --remedy-limit N  --yes
                     --no-mended  --journal FILE  --values-overlay FILE
    other tools      --import-junit FILE  --import-rally FILE  --import-severity SEVERITY
    what is left     --evidence FOLDER  --verdict FILE  --junit-xml FILE  --alluredir FOLDER
    other runs       --history DIR  --no-history  --baseline RUN|FILE (docs/history.md)

    \b
    Exit status: 0 open; 1 closed; 2 interrupted; 3 internal error; 4 usage; 5 nothing ran;
    10 undetermined (something could not be read); 11 resources left behind; 12 refused.
    """  # noqa: D301 - click's own mark for a paragraph that is not wrapped
    become(pytest_command("--tb=no", "--quiet", "-r", "N", "--no-header", *WHOLE, *pytest_arguments))


@main.command(context_settings=_WRITING)
@click.argument("out", type=click.Path())
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def capture(out: str, pytest_arguments: tuple[str, ...]) -> None:
    """Record a cloud in OUT and judge nothing.

    OUT becomes a folder, or one file if it ends in .tar.zst. Secrets are hidden before anything is written. Takes the
    options of `seatrial gate` that say which cloud (and -m, -k for a part of it). Exit status 10 if something could not
    be read; what could be is kept.
    """
    from seatrial.command.recording import record  # noqa: PLC0415 - only this command packs

    sys.exit(record(out, pytest_arguments))


@main.command(name="list")
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(layout: str) -> None:
    """List every invariant. Contacts nothing."""
    from seatrial.command import catalogue  # noqa: PLC0415 - it starts pytest

    click.echo(catalogue.as_json() if layout == "json" else catalogue.as_table())


def _ids(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    from seatrial.command import catalogue  # noqa: PLC0415 - as above

    return [entry["id"] for entry in catalogue.entries() if entry["id"].startswith(incomplete.upper())]


@main.command()
@click.argument("invariant", shell_complete=_ids)
def explain(invariant: str) -> None:
    """Say what an invariant claims, what it costs when false, what is asked, and the remedy. Contacts nothing."""
    from seatrial.command import catalogue  # noqa: PLC0415 - as above

    try:
        click.echo(catalogue.explained(invariant.upper()))
    except KeyError:
        raise click.UsageError(f"no invariant {invariant}; `seatrial list` names them all") from None


@main.command()
@click.argument("what", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=_FILE, help="Where to (default: report.html; a headline: the screen).")
@click.option("--trend", type=_FILE, help="Allure's history, kept between runs.")
@click.option("--headline", type=click.Choice(["md", "json", "svg"]), help="Before and now, as a table or a plot.")
@click.option("--textfile", type=_FILE, help="Metrics for node-exporter's textfile collector, FILE.prom.")
def report(
    what: tuple[Path, ...], out: Path | None, trend: Path | None, headline: str | None, textfile: Path | None
) -> None:
    """Show what runs have left behind. Nothing that is made loads anything from anywhere.

    \b
      seatrial report before.json after.json     verdicts side by side (--verdict FILE)
      seatrial report before.json after.json --headline md
      seatrial report mended.json --headline svg -o headline.svg
      seatrial report prod.json --textfile /var/lib/node-exporter/seatrial.prom
      seatrial report allure-results             an Allure 3 report (--alluredir FOLDER)
      seatrial report runs/*/allure --trend trend.jsonl

    Allure shows the newest run of each cloud, and the older ones as its history. It takes Node.js and npm; its packages
    are installed once, into the cache.
    """  # noqa: D301 - click's own mark for a paragraph that is not wrapped
    from seatrial.command.reporting import Wanted, reported  # noqa: PLC0415 - only this command shows

    reported(what, Wanted(out, trend, headline, textfile))


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--history", default="history", show_default=True, type=click.Path(), help="The folder of the histories.")
@click.option(
    "--format", "layout", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True
)
@click.option("--profile", metavar="NAME|FILE", help="Hold figures against its limits (default: the one of run B).")
@click.option("--across-clouds", is_flag=True, help="Compare runs of different clouds.")
def compare(a: str, b: str, history: str, layout: str, profile: str | None, *, across_clouds: bool) -> None:
    """Compare two runs: A before and B after an upgrade.

    Each is a verdict file, or a run's id in the history. Tells the claims that are newly violated, newly held and newly
    unreadable, the figures with their change and whether it is within what is usual, and the charts that changed. Exit
    status 0 where nothing is newly violated, 1 where something is, 10 where something is newly unreadable, 4 where a
    run cannot be read.
    """
    from seatrial.command import comparing  # noqa: PLC0415 - other commands compare nothing

    sys.exit(comparing.compare(a, b, Path(history), layout, profile, across=across_clouds))


_OF_A_PROJECT = (
    click.option("--cloud", default="", help="A cloud of seatrial.toml."),
    click.option("--settings", default="", type=click.Path(), help="The seatrial.toml to use."),
    click.option("--os-cloud", default="", help="An entry of clouds.yaml."),
    click.option("--evidence", default="evidence", show_default=True, type=click.Path(), help="Where ledgers are."),
)


def _of_a_project(command: Any) -> Any:
    for option in reversed(_OF_A_PROJECT):
        command = option(command)
    return command


@main.command()
@click.argument("run", default="")
@click.option("--all-mine", is_flag=True, help="All that is seatrial's in the project, whichever run made it.")
@_of_a_project
def cleanup(run: str, cloud: str, settings: str, os_cloud: str, evidence: str, *, all_mine: bool) -> None:
    """Take away what a run left in a cloud, and put back the quotas that it raised.

    RUN is a run's id or the path of its ledger; without it, every ledger at hand that has something left. A run without
    a ledger is found by its id in names and metadata. Nobody else's things are touched. Exit status 11 where something
    stays, 12 where the run is still going on.
    """
    from seatrial.command.leftover_places import PLACES  # noqa: PLC0415 - other commands do not log in
    from seatrial.command.leftovers import Project, cleaned_up  # noqa: PLC0415 - as above

    places = [place(cloud, settings, evidence) for place in PLACES]
    left = _told([line for place in places for line in place.cleaned_up(run, all_mine=all_mine)])
    if not any(place.alone(run, all_mine=all_mine) for place in places):
        left += _told(cleaned_up(Project(cloud, settings, os_cloud, evidence), run, all_mine=all_mine))
    _end_with(left)


@main.command()
@_of_a_project
def leftovers(cloud: str, settings: str, os_cloud: str, evidence: str) -> None:
    """Say what runs have left in a cloud, and change nothing. Exit status 11 if they left something."""
    from seatrial.command.leftover_places import PLACES  # noqa: PLC0415 - as above
    from seatrial.command.leftovers import Project, left_over  # noqa: PLC0415 - as above

    places = [place(cloud, settings, evidence) for place in PLACES]
    left = _told([line for place in places for line in place.left_over()])
    if not any(place.alone("", all_mine=False) for place in places):
        left += _told(left_over(Project(cloud, settings, os_cloud, evidence)))
    _end_with(left)


def _told(lines: list[str]) -> list[str]:
    """Say what stays at once: the next place may not be reached."""
    for line in lines:
        click.echo(line)
    return lines


def _end_with(lines: list[str]) -> None:
    if not lines:
        click.echo("nothing is left")
    sys.exit(11 if lines else 0)


def _duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", value)
    if not found:
        raise click.BadParameter(f"{value}: expected a length of time such as 90s, 10m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


@main.command()
@click.option("--for", "for_s", metavar="TIME", callback=_duration, help="Stop after so long (default: when told to).")
@click.option("--only", multiple=True, type=click.Choice(["keystone", "nova", "server", "rabbitmq", "memcached"]))
@click.option("--server", default="", metavar="HOST:PORT", help="The server whose reachability is watched.")
@click.option("--format", "layout", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--os-cloud", default="", help="An entry of clouds.yaml.")
@of_a_cloud
def watch(for_s: float | None, layout: str, **asked: Any) -> None:
    """Look at a cloud's services a few times a second, as through an upgrade, until Ctrl-C, SIGTERM or --for.

    Keystone, the nova API, a server, RabbitMQ and memcached, each by itself. What was down, for how long and how often,
    and how much of the error budget it used, is told at the end (docs/watch.md).

    \b
    Exit status: 0 within the budget; 1 a service used too much of it; 4 usage;
    10 a service never answered, or could not be looked at.
    """  # noqa: D301 - click's own mark for a paragraph that is not wrapped
    from seatrial.command import watching  # noqa: PLC0415 - other commands do not watch
    from seatrial.fixtures.watch.watched import Asked  # noqa: PLC0415 - likewise

    watching.watch(Asked(**asked), for_s, layout)


for command in (undo, migrate, profile):
    main.add_command(command)
