"""The `seatrial` command: a thin shell around pytest, the profiles and the lab."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

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


_OF_A_CLOUD = (
    click.option("--cloud", default="", help="A cloud of seatrial.toml (undo: by default the journal's)."),
    click.option("--settings", default="", type=click.Path(), help="The seatrial.toml to use."),
    click.option("--kubeconfig", default="", type=click.Path(), help="The kubeconfig of the cloud."),
    click.option("--context", default="", help="The kubeconfig's context."),
    click.option("--profile", default="", help="What is demanded of the cloud."),
)


def _of_a_cloud(command: Any) -> Any:
    for option in reversed(_OF_A_CLOUD):
        command = option(command)
    return command


@main.command()
@click.argument("journal", type=click.Path(exists=True, dir_okay=False))
@click.option("--last", type=click.IntRange(min=1), help="Undo only so many changes, the last ones.")
@click.option("--judge/--no-judge", default=True, help="Judge again what it was about.")
@_of_a_cloud
def undo(journal: str, last: int | None, *, judge: bool, **cloud: str) -> None:
    """Take back what a mending run has changed, the last change first.

    JOURNAL is the run's journal.jsonl, beside its evidence. Whatever somebody has changed since is left as it is: exit
    status 12. What only restarts is restarted once more, after what it made effective.
    """
    from seatrial.command import mending  # noqa: PLC0415 - other commands write nothing

    name = cloud.pop("cloud")
    mending.undo(Path(journal), mending.Chosen(name, **cloud), last, judge=judge)


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
@_of_a_cloud
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


@main.group()
def migrate() -> None:
    """Change what no single remedy can: procedures of several steps, with a journal."""


@migrate.command()
@click.option("--plan", "what", flag_value="plan", default="plan", help="Show every step and object; change nothing.")
@click.option("--apply", "what", flag_value="apply", help="Do it.")
@click.option("--resume", "what", flag_value="resume", help="Go on with what was cut off, in either direction.")
@click.option("--rollback", "what", flag_value="rollback", help="Put everything back to ReadWriteOnce.")
@click.option("--journal", default="evidence/migrate-rwx/journal.jsonl", show_default=True, type=click.Path())
@click.option("--namespace", default="openstack", show_default=True)
@click.option("--claim", "claims", multiple=True, default=("dnsmasq-dhcp", "dnsmasq-ironic"), show_default=True)
@click.option("--storage-class", help="To move to (default: ceph-fs-ec; back: the cluster's default one).")
@click.option("--argocd-binding", default="argocd-application-controller", show_default=True)
@click.option("--image", help="What the copying Job runs: sh, find, sha256sum, and rsync or cp.")
@click.option("--copy-by", type=click.Choice(["job", "pv-migrate"]), default="job", show_default=True)
@click.option("--conductors", type=int, help="How many run afterwards (default: 2; back: 1).")
@_of_a_cloud
def rwx(
    what: str,
    journal: str,
    namespace: str,
    claims: tuple[str, ...],
    storage_class: str | None,
    argocd_binding: str,
    image: str | None,
    copy_by: str,
    conductors: int | None,
    **cloud: str,
) -> None:
    """Move the volumes of Ironic's dnsmasq from ReadWriteOnce to ReadWriteMany, or back.

    Nothing is provisioned meanwhile. The files' checksums are compared before a claim is deleted. What is killed is
    gone on with by --resume. Exit status 12 where it would not be safe.
    """
    from seatrial.command import mending, migrating  # noqa: PLC0415 - other commands write nothing
    from seatrial.plugins.remediation.volumes import Wanted  # noqa: PLC0415 - likewise

    back = what == "rollback"
    wanted = Wanted(
        namespace=namespace,
        claims=claims,
        storage_class=storage_class or ("" if back else Wanted.storage_class),
        binding=argocd_binding,
        image=image or Wanted.image,
        tool=copy_by,
        conductors=conductors if conductors is not None else (1 if back else Wanted.conductors),
    )
    name = cloud.pop("cloud")
    migrating.migrate(mending.Chosen(name, **cloud), wanted, Path(journal), what)


@main.group()
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
