"""What mends Ceph's pools, settings and flags, by its own commands."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from seatrial.fixtures.ceph import OSD_MAP
from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.places import exactly, speaker_of
from seatrial.plugins.remediation.risk import EXEC, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.ceph import Ceph
    from seatrial.fixtures.ceph_hosts import MonHosts
    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change
    from seatrial.plugins.remediation.hand import Where

_SURE = "--yes-i-really-mean-it"
_ASIDE = "/var/lib/rook/removed-by-seatrial"
_WHOLE_CLUSTER = "the cluster"
_ONE = 1
CEPHCLUSTER = "kubectl -n rook-ceph patch cephcluster rook-ceph --type=merge -p"


def ceph_command(*words: object) -> tuple[str, ...]:
    """Return a command of ceph."""
    return ("ceph", *map(str, words))


def toolbox(source: Source, cluster: Cluster) -> Where:
    """Return the place of the toolbox that answered. Raises `Unavailable` where none did."""
    return speaker_of(source, cluster, OSD_MAP)


@remedy("CEPH-01", Risk.MOVES_DATA, EXEC)
def give_every_pool_a_second_copy(source: Source, cluster: Cluster, ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Writes each object of the pool once more: takes raw space and starts a backfill. Undo sets the old size."""
    wanted = profile.ceph.pool_size
    for pool in ceph.pools:
        if not pool.replicated or pool.size >= wanted:
            continue
        name, sure = pool.pool_name, (_SURE,) if pool.size == _ONE else ()
        yield InPod(
            offender=str(pool),
            before=f"size {pool.size}",
            after=f"size {wanted}",
            where=toolbox(source, cluster),
            run=(ceph_command("osd", "pool", "set", name, "size", wanted),),
            back=(
                ceph_command("osd", "pool", "set", name, "size", pool.size, *sure),
                ceph_command("osd", "pool", "set", name, "min_size", pool.min_size),
            ),
            look=ceph_command("osd", "pool", "get", name, "size", "-f", "json"),
            expects=f'"size":{pool.size}',
            becomes=f'"size":{wanted}',
            recovers=True,
            raw_bytes=ceph.used_by_pool.get(name, 0) * (wanted - pool.size) // pool.size,
        )


@remedy("CEPH-02", Risk.SAFE, EXEC)
def let_every_pool_stop_in_time(source: Source, cluster: Cluster, ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Sets min_size to what a read needs at least. Undo sets the old one."""
    for pool in ceph.redundancies:
        least = max(profile.ceph.pool_min_size, pool.data)
        wanted = min(max(least, pool.pool.min_size), pool.pool.size)
        if pool.sound(profile.ceph.pool_min_size) or wanted < least:
            continue
        yield InPod(
            offender=str(pool),
            before=f"min_size {pool.pool.min_size}",
            after=f"min_size {wanted}",
            where=toolbox(source, cluster),
            run=(ceph_command("osd", "pool", "set", pool.name, "min_size", wanted),),
            back=(ceph_command("osd", "pool", "set", pool.name, "min_size", pool.pool.min_size),),
            look=ceph_command("osd", "pool", "get", pool.name, "min_size", "-f", "json"),
            expects=f'"min_size":{pool.pool.min_size}',
            becomes=f'"min_size":{wanted}',
        )


@remedy("CEPH-08", Risk.SAFE, EXEC)
def archive_crashes(source: Source, cluster: Cluster, ceph: Ceph) -> Iterator[Change]:
    """Keeps what each crash says beside the journal, then archives it. There is no way back, and nothing is lost."""
    for crash in ceph.new_crashes:
        yield InPod(
            offender=str(crash),
            before="new",
            after="archived",
            where=toolbox(source, cluster),
            keep=ceph_command("crash", "info", crash.id),
            run=(ceph_command("crash", "archive", crash.id),),
        )


@remedy("CEPH-09", Risk.SAFE, EXEC, asks=(OSD_MAP,))
def warn_at_the_agreed_share(
    source: Source, cluster: Cluster, mon_hosts: MonHosts, profile: Profile
) -> Iterator[Change]:
    """Sets the share of free disk below which mons warn. Undo sets the old one."""
    wanted = profile.ceph.mon_data_avail_warn
    odd = [mon for mon in mon_hosts.settings if mon.value != wanted]
    if odd:
        yield InPod(
            offender=str(odd[0]),
            before=str(odd[0].value),
            after=str(wanted),
            where=toolbox(source, cluster),
            run=(ceph_command("config", "set", "mon", "mon_data_avail_warn", wanted),),
            back=(ceph_command("config", "set", "mon", "mon_data_avail_warn", odd[0].value),),
            look=ceph_command("config", "get", "mon", "mon_data_avail_warn"),
            expects=f"={odd[0].value}",
            becomes=f"={wanted}",
        )


@remedy("CEPH-10 CEPH-21", Risk.MANUAL)
def make_room_on_the_hosts_of_mons(
    cluster: Cluster, mon_hosts: MonHosts, ceph: Ceph, profile: Profile
) -> Iterator[Change]:
    """Vacuums the journal of the mon's host and lists what else is large: only somebody who knows it may delete it."""
    low = {mon.name: str(mon) for mon in ceph.health.mons_low_on_disk}
    homes = {f"mon.{pod.labels.get('mon', '')}": pod.node for pod in mon_hosts.pods}
    hosts = {homes[name]: line for name, line in low.items() if homes.get(name)}
    full = [disk for disk in mon_hosts.root_disks if disk.used >= profile.ceph.root_disk_used_max]
    hosts |= {disk.node: str(disk) for disk in full if disk.node not in hosts}
    for node in cluster.nodes:
        if node.name in hosts:
            yield ByHand(
                offender=hosts[node.name],
                run=(
                    f"ssh {node.name} journalctl --vacuum-time=7d",
                    f"ssh {node.name} 'du -xhd2 / | sort -h | tail -n 40'",
                    f"ssh {node.name} crictl rmi --prune",
                ),
            )


@remedy("CEPH-11", Risk.DISRUPTIVE, EXEC)
def set_stale_folders_aside(cluster: Cluster, mon_hosts: MonHosts) -> Iterator[Change]:
    """Moves the folder to `removed-by-seatrial` on its host, its listing kept. Undo moves it back."""
    for stale in mon_hosts.stale_folders:
        osds = [pod for pod in cluster.pods_labelled(app="rook-ceph-osd") if pod.node == stale.node and pod.ready]
        if not osds:
            continue
        old, new = f"/var/lib/rook/{stale.folder}", f"{_ASIDE}/{stale.folder}"
        yield InPod(
            offender=str(stale),
            before=old,
            after=new,
            where=exactly(osds[0], "osd"),
            keep=("ls", "-lR", old),
            run=(("mkdir", "-p", _ASIDE), ("mv", "-n", old, new)),
            back=(("mv", "-n", new, old),),
            look=("sh", "-c", f"{shlex.join(('ls', '-d', old, new))} 2>/dev/null; :"),
            expects=old,
            becomes=new,
        )


@remedy("CEPH-15", Risk.MANUAL)
def part_copies_by_host(ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Gives the pool a rule that keeps copies on distinct hosts. All its objects may move: choose the hour."""
    for placement in ceph.placements:
        if placement.pool.replicated and placement.domain not in profile.ceph.failure_domains:
            name = placement.pool.pool_name
            yield ByHand(
                offender=str(placement),
                run=(
                    "ceph osd crush rule create-replicated seatrial-by-host default host",
                    f"ceph osd pool set {name} crush_rule seatrial-by-host",
                ),
                back=(f"ceph osd pool set {name} crush_rule {placement.rule}",),
            )


@remedy("CEPH-16", Risk.MOVES_DATA, EXEC)
def unset_forgotten_flags(source: Source, cluster: Cluster, ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Unsets the flag, after which Ceph may begin to heal what it could not. Undo sets it again."""
    for flag in ceph.flags:
        if flag.name not in profile.ceph.maintenance_flags:
            continue
        # What the map calls pauserd and pausewr, the command calls pause.
        name = "pause" if flag.name.startswith("pause") else flag.name
        whom = flag.whom.removeprefix("class ")
        on_part = flag.whom != _WHOLE_CLUSTER
        yield InPod(
            offender=str(flag),
            before=f"set on {flag.whom}",
            after="unset",
            where=toolbox(source, cluster),
            run=(ceph_command("osd", "unset-group", name, whom) if on_part else ceph_command("osd", "unset", name),),
            back=(ceph_command("osd", "set-group", name, whom) if on_part else ceph_command("osd", "set", name),),
            recovers=True,
        )


@remedy("CEPH-17", Risk.MANUAL)
def finish_the_upgrade(ceph: Ceph) -> Iterator[Change]:
    """Shows what holds rook's upgrade up."""
    for release in ceph.releases:
        if release.behind:
            yield ByHand(
                offender=str(release),
                run=(
                    "kubectl -n rook-ceph get cephcluster -o yaml",
                    "kubectl -n rook-ceph logs deploy/rook-ceph-operator --since=1h",
                ),
            )


@remedy("CEPH-18 CEPH-20", Risk.MANUAL)
def make_room_in_ceph(ceph: Ceph) -> Iterator[Change]:
    """Shows what fills the OSDs: what is not needed is deleted, or OSDs are added, by whoever knows the data."""
    near = [str(one) for one in ceph.fullness if one.states]
    near += [str(ceph.largest_host)] if not ceph.largest_host.survivable else []
    for line in near:
        yield ByHand(offender=line, run=("ceph osd df tree", "ceph df detail", "ceph osd test-reweight-by-utilization"))


@remedy("CEPH-19", Risk.SAFE, EXEC)
def tag_every_pool(source: Source, cluster: Cluster, ceph: Ceph) -> Iterator[Change]:
    """Says which application the pool is of: cephfs or rgw by its name, rbd otherwise. Undo takes that away."""
    for pool in ceph.untagged_pools:
        parts = set(pool.pool.replace(".", "-").replace("_", "-").split("-"))
        application = "cephfs" if parts & {"cephfs", "fs", "filesystem"} else "rgw" if "rgw" in parts else "rbd"
        yield InPod(
            offender=str(pool),
            before="no application",
            after=application,
            where=toolbox(source, cluster),
            run=(ceph_command("osd", "pool", "application", "enable", pool.pool, application),),
            back=(ceph_command("osd", "pool", "application", "disable", pool.pool, application, _SURE),),
            look=ceph_command("osd", "pool", "application", "get", pool.pool, "-f", "json"),
            becomes=f'"{application}"',
        )


@remedy("CEPH-22", Risk.MANUAL)
def change_the_number_of_mons(ceph: Ceph, profile: Profile) -> Iterator[Change]:
    """Rook's operator adds or removes one mon at a time."""
    if not ceph.quorum.sound(profile.ceph.mons):
        wanted = max(profile.ceph.mons, len(ceph.quorum.mons) | 1)
        patch = f'{{"spec":{{"mon":{{"count":{wanted}}}}}}}'
        back = f'{{"spec":{{"mon":{{"count":{len(ceph.quorum.mons)}}}}}}}'
        yield ByHand(offender=str(ceph.quorum), run=(f"{CEPHCLUSTER} '{patch}'",), back=(f"{CEPHCLUSTER} '{back}'",))
