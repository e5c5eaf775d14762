"""Ceph keeps its data through the loss of a disk, a host or a monitor."""

import pytest

pytestmark = pytest.mark.ceph


@pytest.mark.invariant(id="CEPH-01", severity="critical", source="um-cloud-1 um-cloud-11")
def test_every_pool_keeps_a_second_copy(ceph, profile):
    """A pool with one copy loses data with its first failed disk.

    Remedy: check with `ceph df` that raw space allows it, then `ceph osd pool set POOL size 2`. This starts a
    backfill, which takes bandwidth from clients.
    """
    thin = [pool for pool in ceph.pools if pool.replicated and pool.size < profile.ceph.pool_size]
    assert thin == []


@pytest.mark.invariant(id="CEPH-02", severity="critical", source="um-cloud-1")
def test_every_pool_stops_writing_before_it_loses_data(ceph, profile):
    """A min_size below what a read needs acknowledges writes that nothing can read back; above size, I/O stops.

    Remedy: `ceph osd pool set POOL min_size N`, with N from the data chunks of its code (one for a replicated pool)
    to its size. This is safe.
    """
    odd = [pool for pool in ceph.redundancies if not pool.sound(profile.ceph.pool_min_size)]
    assert odd == []


@pytest.mark.invariant(id="CEPH-03", severity="critical", source="um-cloud-1", explained_by="NODE-01 NODE-02")
def test_every_mon_is_in_quorum(ceph):
    """Each absent mon brings the cluster one failure closer to the loss of quorum, where all I/O stops.

    Remedy: look at its pod, `kubectl -n rook-ceph get pod -l app=rook-ceph-mon -o wide`; a Pending one waits for a
    cordoned node: `kubectl uncordon NODE`. This is safe.
    """
    absent = ceph.quorum.absent
    assert absent == ()


@pytest.mark.invariant(id="CEPH-04", severity="critical", source="um-cloud-1")
def test_no_node_runs_two_mons(mon_hosts):
    """Mons that share a node leave together, and take the quorum with them.

    Remedy: free a node for one of them, then set `spec.mon.allowMultiplePerNode: false` in the CephCluster and scale
    that mon's Deployment to zero, so that rook's operator makes it anew elsewhere. Do one at a time.
    """
    shared = mon_hosts.shared
    assert shared == ()


@pytest.mark.invariant(id="CEPH-05", severity="blocker", source="um-cloud-1", explained_by="CEPH-07")
def test_no_placement_group_is_stuck(ceph, profile):
    """I/O to a placement group that is peering, inactive, unknown or down hangs, and its clients with it.

    Remedy: in this order, each only if the one before did not help: `ceph pg repeer PG` (safe); `ceph osd down
    PRIMARY` (its groups peer anew); restart the pod of that OSD (disruptive).
    """
    stuck = ceph.stuck_groups.longer(profile.ceph.stuck_grace_s, ceph.now)
    assert stuck == []


@pytest.mark.invariant(
    id="CEPH-06", severity="critical", source="um-cloud-1 um-cloud-11", explained_by="CEPH-05 CEPH-07 CEPH-18"
)
def test_no_daemon_reports_slow_operations(ceph):
    """A slow operation is a client that waits; enough of them stall every volume.

    Remedy: look at `ceph tell DAEMON dump_blocked_ops`, then restart the pod of the daemon that reports them
    (disruptive: its groups peer anew).
    """
    slow = ceph.health.slow_daemons
    assert slow == ()


@pytest.mark.invariant(
    id="CEPH-07", severity="critical", source="um-cloud-1 um-cloud-10", explained_by="NODE-01 NODE-02"
)
def test_every_osd_is_up_and_in(ceph):
    """Without an OSD its data has fewer copies, until recovery has filled the others up with it.

    Remedy: if it is down, look at its pod and node, `kubectl uncordon NODE`; if it is out and nobody means it to be,
    `ceph osd in ID` (moves data). One that is out on purpose belongs into the waivers.
    """
    missing = [osd for osd in ceph.osds if not osd.serves]
    assert missing == []


@pytest.mark.invariant(id="CEPH-08", severity="minor", source="um-cloud-1")
def test_no_crash_is_left_unarchived(ceph):
    """A crash that nobody looked at comes again, and the warning hides the next one.

    Remedy: keep the output of `ceph crash info ID`, then `ceph crash archive-all`. This is safe.
    """
    unread = ceph.new_crashes
    assert unread == ()


@pytest.mark.invariant(id="CEPH-09", severity="minor", source="um-cloud-1")
def test_mons_warn_at_the_agreed_share_of_free_disk(mon_hosts, profile):
    """Mons that warn too early teach operators to overlook the warning; too late, they stop before anybody looks.

    Remedy: `ceph config set mon mon_data_avail_warn N` with the profile's value. This is safe.
    """
    odd = [mon for mon in mon_hosts.settings if mon.value != profile.ceph.mon_data_avail_warn]
    assert odd == []


@pytest.mark.invariant(id="CEPH-10", severity="critical", source="um-cloud-1", explained_by="CEPH-09")
def test_no_mon_is_low_on_disk(ceph):
    """A mon whose disk is full stops, and with a second one the quorum is lost.

    Remedy: on its host `journalctl --vacuum-time=7d`, then `du -xhd2 / | sort -h` lists what else can go (manual).
    """
    low = ceph.health.mons_low_on_disk
    assert low == ()


@pytest.mark.invariant(id="CEPH-11", severity="minor", source="um-cloud-1")
def test_no_mon_left_a_folder_behind(mon_hosts):
    """Folders of earlier mons fill the disk that the living one needs, and mislead whoever recovers the cluster.

    Remedy: list and back up, then remove the folders that no mon in `ceph mon dump` claims on that host. A wrong one
    costs a mon its store: do one host at a time, and look at the quorum in between (manual).
    """
    stale = mon_hosts.stale_folders
    assert stale == ()


@pytest.mark.invariant(id="CEPH-12", severity="critical", source="um-cloud-1", explained_by="CEPH-05 CEPH-18")
def test_nothing_waits_for_a_volume(csi, profile):
    """A locked CSI operation keeps its pod from starting, however often it is retried.

    Remedy: delete the csi-rbdplugin pod of that node, then `kubectl -n rook-ceph rollout restart deployment
    csi-rbdplugin-provisioner` (disruptive: no volume can be attached meanwhile).
    """
    waiting = csi.waiting_longer(profile.ceph.csi_grace_s)
    assert waiting == []


@pytest.mark.invariant(id="CEPH-13", severity="normal", source="um-cloud-10")
def test_health_raises_no_other_code(ceph):
    """A code that nobody waived is news; the colour alone hides it behind the codes that are expected.

    Remedy: `ceph health detail` and the page on health checks in Ceph's documentation; what is meant to be so belongs
    into the waivers, not into `ceph health mute`.
    """
    raised = ceph.health.unclaimed
    assert raised == ()


@pytest.mark.invariant(
    id="CEPH-14", severity="normal", source="um-cloud-8 um-cloud-10", explained_by="CEPH-05 CEPH-07 CEPH-16"
)
def test_recovery_is_over(ceph):
    """Measurements taken during recovery measure the recovery, and one more failure may cost data.

    Remedy: wait (`--settle`); `ceph status` shows the pace.
    """
    left = ceph.recovery
    assert left == ()


@pytest.mark.invariant(id="CEPH-15", severity="normal", source="own")
def test_replicated_pools_keep_copies_on_distinct_hosts(ceph, profile):
    """Copies that may share a host are lost with it.

    Remedy: `ceph osd crush rule create-replicated NAME default host`, then `ceph osd pool set POOL crush_rule NAME`
    (moves data).
    """
    together = [
        placement
        for placement in ceph.placements
        if placement.pool.replicated and placement.domain not in profile.ceph.failure_domains
    ]
    assert together == []


@pytest.mark.invariant(id="CEPH-16", severity="normal", source="own")
def test_no_maintenance_flag_is_left_set(ceph, profile):
    """A forgotten flag keeps Ceph from healing itself after the next failure.

    Remedy: `ceph osd unset FLAG`, or `ceph osd unset-group FLAG WHOM` where it is set on a part (moves data).
    """
    left = [flag for flag in ceph.flags if flag.name in profile.ceph.maintenance_flags]
    assert left == []


@pytest.mark.invariant(id="CEPH-17", severity="normal", source="own")
def test_all_daemons_run_one_release(ceph):
    """An upgrade that stopped halfway runs a mixture that nobody has tested.

    Remedy: look at the CephCluster's status and the operator's log for what holds the upgrade up (manual).
    """
    behind = [release for release in ceph.releases if release.behind]
    assert behind == []


@pytest.mark.invariant(id="CEPH-18", severity="critical", source="own")
def test_no_osd_or_pool_is_near_full(ceph):
    """Recovery stops at backfillfull, and all writes at full.

    Remedy: delete what is not needed, add OSDs, or reweight (moves data). Raising the ratios only buys time.
    """
    near = [one for one in ceph.fullness if one.states]
    assert near == []


@pytest.mark.invariant(id="CEPH-19", severity="minor", source="own")
def test_every_pool_has_an_application(ceph):
    """A pool without an application is one that nobody answers for, and rights granted by application do not reach it.

    Remedy: `ceph osd pool application enable POOL rbd` (or cephfs, rgw). This is safe.
    """
    untagged = ceph.untagged_pools
    assert untagged == ()


@pytest.mark.invariant(id="CEPH-20", severity="normal", source="own", explained_by="CEPH-18")
def test_the_other_hosts_have_room_for_the_largest(ceph):
    """When the largest host is lost, recovery fills the others until they are full, and writing stops.

    Remedy: add OSDs to the smaller hosts, or delete what is not needed (manual).
    """
    fatal = [host for host in (ceph.largest_host,) if not host.survivable]
    assert fatal == []


@pytest.mark.invariant(id="CEPH-21", severity="normal", source="um-cloud-1")
def test_root_disks_of_mon_hosts_have_room(mon_hosts, profile):
    """A root disk that fills up takes the mon on it away, and evicts its neighbours first.

    Remedy: on the host `journalctl --vacuum-time=7d`, then `du -xhd2 / | sort -h` lists what else can go (manual).
    """
    full = [disk for disk in mon_hosts.root_disks if disk.used >= profile.ceph.root_disk_used_max]
    assert full == []


@pytest.mark.invariant(id="CEPH-22", severity="normal", source="um-cloud-1")
def test_enough_mons_and_an_odd_number_of_them(ceph, profile):
    """Too few mons survive no failure; an even number survives no more than one less.

    Remedy: `spec.mon.count` in the CephCluster (rook's operator adds or removes one at a time).
    """
    odd = [monmap for monmap in (ceph.quorum,) if not monmap.sound(profile.ceph.mons)]
    assert odd == []
