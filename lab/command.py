"""`seatrial lab`: the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from seatrial.lab import control_plane, kubectl, lifecycle, nodes
from seatrial.lab.shell import LabError
from seatrial.lab.state import State
from seatrial.lab.topology import ADMIN_KUBECONFIG, CLOUDS, NOBODY_KUBECONFIG, READER_KUBECONFIG, SETTINGS, STATE_FOLDER

if TYPE_CHECKING:
    from seatrial.lab.fault import Fault

_KUBECONFIGS = {"admin": ADMIN_KUBECONFIG, "reader": READER_KUBECONFIG, "nobody": NOBODY_KUBECONFIG}


@click.group()
def lab() -> None:
    """Bring up a real cloud on this machine, break it, heal it.

    Needs root on Debian 12. What is built is kept in the user's cache folder.
    """


@lab.command()
def build() -> None:
    """Build what a lab is made of, and bring up nothing: `up` takes minutes then."""
    try:
        lifecycle.build()
    except KeyboardInterrupt:
        raise LabError("interrupted: `seatrial lab build` goes on from here") from None


@lab.command()
@click.option("--only", metavar="PARTS", help="Parts, separated by commas: kubernetes, rabbitmq, mariadb, …")
@click.option("--nodes", "node_count", default=5, show_default=True, type=click.IntRange(3, 9))
@click.option("--rabbitmq-replicas", default=1, show_default=True, type=click.IntRange(1, 5))
@click.option("--size", default="full", show_default=True, type=click.Choice(["small", "full"]), help="Of OpenStack.")
def up(only: str | None, node_count: int, rabbitmq_replicas: int, size: str) -> None:
    """Bring up the lab, or what is missing of it."""
    from seatrial.lab.images import ON_DEMAND  # noqa: PLC0415 - see lifecycle.up
    from seatrial.lab.releases import PARTS  # noqa: PLC0415 - likewise

    parts = {part.strip() for part in only.split(",") if part.strip()} if only else None
    unknown = sorted((parts or set()) - {"kubernetes", *PARTS, *ON_DEMAND})
    if unknown:
        known = ", ".join(("kubernetes", *PARTS, *ON_DEMAND))
        raise click.UsageError(f"no part of the lab is called {unknown[0]}; there are {known}")
    try:
        lifecycle.up(parts, node_count=node_count, rabbitmq_replicas=rabbitmq_replicas, size=size)
    except KeyboardInterrupt:
        raise LabError("interrupted: `seatrial lab up` goes on from here, `seatrial lab down` removes it") from None


@lab.command(context_settings={"ignore_unknown_options": True})
@click.option("--nodes", default=1000, show_default=True, type=click.IntRange(1, 5000))
@click.option("--deployments", default=150, show_default=True, type=click.IntRange(0, 500), help="Of 30 pods each.")
@click.option("--folder", metavar="FOLDER", help="Keep logs there; it must be empty. Otherwise they are not kept.")
@click.option("--allow", type=click.Choice(["load"]), help="What ARGV may do besides reading.")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
def crowd(nodes: int, deployments: int, folder: str | None, allow: str | None, argv: tuple[str, ...]) -> None:
    """Run ARGV against a control plane of its own with many nodes, which ends with it.

    The nodes are played by KWOK. It needs no root and leaves a lab alone; KUBECONFIG names it, as somebody who may do
    what docs/clusterrole.yaml says, with --allow load also what docs/clusterrole-scheduling.yaml does.
    """
    from seatrial.lab.crowd import run_in  # noqa: PLC0415 - see lifecycle.up

    raise SystemExit(run_in(argv, nodes, deployments, folder, load=allow == "load"))


@lab.command()
@click.option("--force", is_flag=True, help="Also a lab that another checkout brought up.")
def down(*, force: bool) -> None:
    """End the lab and remove everything that it made on this machine."""
    lifecycle.down(force=force)


@lab.command()
def status() -> None:
    """Show whose lab is up, its processes, nodes and releases."""
    state = State.load()
    if state is None:
        click.echo("no lab is up")
        raise SystemExit(1)
    click.echo(f"checkout    {state.owner}\nfolder      {STATE_FOLDER}\nsettings    {SETTINGS}")
    if CLOUDS.exists():
        click.echo(f"openstack   {CLOUDS}")
    for name in (*control_plane.NAMES, *(node.name for node in state.node_list())):
        process = state.processes.get(name)
        shown = f"pid {process.pid}" if process is not None and process.alive else "not running"
        click.echo(f"{name:<24}{shown}")
    if not state.alive(control_plane.API_SERVER):
        raise SystemExit(1)
    click.echo(kubectl.kubectl("get", "nodes", timeout=15).rstrip())
    click.echo(kubectl.helm("list", "--all-namespaces", "--all", timeout=30).rstrip())


@lab.command()
@click.argument("user", default="admin", type=click.Choice(sorted(_KUBECONFIGS)))
def kubeconfig(user: str) -> None:
    """Print the path of a user's kubeconfig."""
    State.mine()
    click.echo(_KUBECONFIGS[user])


@lab.command(context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", default=60.0, show_default=True, help="In seconds; stands before NODE.")
def run(node: str, argv: tuple[str, ...], timeout: float) -> None:
    """Run a command inside a node."""
    click.echo(nodes.run(node, argv, timeout=timeout), nl=False)


@lab.command()
def faults() -> None:
    """List the ways to break the lab, and the claim that each one violates."""
    for fault in _all_faults().values():
        click.echo(f"{fault.name:<34}{fault.trips:<10}{fault.title}")


def _complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    return [name for name in _all_faults() if name.startswith(begun)]


@lab.command("break")
@click.argument("fault", shell_complete=_complete)
def break_(fault: str) -> None:
    """Break the lab for real, in one way."""
    chosen = _fault(fault)
    State.mine()
    chosen.break_()


@lab.command()
@click.argument("fault", shell_complete=_complete)
def heal(fault: str) -> None:
    """Undo a fault."""
    chosen = _fault(fault)
    State.mine()
    chosen.heal()


def _all_faults() -> dict[str, Fault]:
    from seatrial.lab.faults import all_faults  # noqa: PLC0415 - dozens of files, for three commands

    return all_faults()


def _fault(name: str) -> Fault:
    known = _all_faults()
    if name not in known:
        raise LabError(f"no fault is called {name}: `seatrial lab faults` lists them")
    return known[name]
