"""`seatrial undo` and `seatrial migrate`: the commands that change a cloud, and the options that name one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_OF_A_CLOUD = (
    click.option("--cloud", default="", help="A cloud of seatrial.toml (undo: by default the journal's)."),
    click.option("--settings", default="", type=click.Path(), help="The seatrial.toml to use."),
    click.option("--kubeconfig", default="", type=click.Path(), help="The kubeconfig of the cloud."),
    click.option("--context", default="", help="The kubeconfig's context."),
    click.option("--profile", default="", help="What is demanded of the cloud."),
)


def of_a_cloud(command: Any) -> Any:
    """Give a command the options that name a cloud."""
    for option in reversed(_OF_A_CLOUD):
        command = option(command)
    return command


@click.command()
@click.argument("journal", type=click.Path(exists=True, dir_okay=False))
@click.option("--last", type=click.IntRange(min=1), help="Undo only so many changes, the last ones.")
@click.option("--judge/--no-judge", default=True, help="Judge again what it was about.")
@of_a_cloud
def undo(journal: str, last: int | None, *, judge: bool, **cloud: str) -> None:
    """Take back what a mending run has changed, the last change first.

    JOURNAL is the run's journal.jsonl, beside its evidence. Whatever somebody has changed since is left as it is: exit
    status 12. What only restarts is restarted once more, after what it made effective.
    """
    from seatrial.command import mending  # noqa: PLC0415 - other commands write nothing

    name = cloud.pop("cloud")
    mending.undo(Path(journal), mending.Chosen(name, **cloud), last, judge=judge)


@click.group()
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
@of_a_cloud
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
