"""Breakages of Ceph.

CEPH-04, CEPH-15, CEPH-17, CEPH-20, CEPH-21 and CEPH-22 are judged here alone: the lab has one release of Ceph, one host
for each OSD and each mon, and its hosts' root disk is the machine's own.
"""

from __future__ import annotations

from typing import Any

from breakage import RecordedCloud, breaks
from seatrial.fixtures.ceph import (
    CRASHES,
    CRUSH_MAP,
    HEALTH,
    OSD_MAP,
    QUORUM,
    STATUS,
    STUCK_GROUPS,
    USAGE,
    VERSIONS,
)
from seatrial.fixtures.ceph_hosts import MON_FOLDERS, MON_HOSTS
from seatrial.fixtures.cluster import EVENTS, PODS
from seatrial.fixtures.csi import ATTACHMENTS

LONG_AGO = "2026-01-01T00:00:00.000000+0000"
LONG_AGO_Z = "2026-01-01T00:00:00Z"


@breaks("CEPH-01")
def a_pool_has_one_copy(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        pool = _pool(osd_map)
        pool["size"] = pool["min_size"] = 1


@breaks("CEPH-02")
def a_pool_needs_more_copies_than_it_has(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        pool = _pool(osd_map)
        pool["min_size"] = pool["size"] + 1


@breaks("CEPH-02")
def an_erasure_coded_pool_acknowledges_what_it_cannot_read(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        _pool(osd_map, kind=3)["min_size"] = 1


@breaks("CEPH-03")
def a_mon_has_left_the_quorum(cloud: RecordedCloud) -> None:
    with cloud.json(QUORUM) as quorum:
        quorum["quorum_names"].remove("c")
    _raise(cloud, "MON_DOWN", "1/3 mons down, quorum a,b")


@breaks("CEPH-04")
def two_mons_share_a_node(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        mons = [pod for pod in pods["items"] if pod["metadata"].get("labels", {}).get("app") == "rook-ceph-mon"]
        moved, node = mons[0], mons[1]["spec"]["nodeName"]
        moved["spec"]["nodeName"] = node
        # Its data moved with it, so that nothing is left behind.
        name = f"mon-{moved['metadata']['labels']['mon']}\n"
    for entry in cloud.entries(MON_FOLDERS):
        path = cloud.folder / entry["file"]
        text = path.read_text().replace(name, "")
        cloud.write(MON_FOLDERS, text + name if entry["heard"]["node"] == node else text, entry["heard"]["speaker"])


@breaks("CEPH-05")
def a_placement_group_is_stuck_peering(cloud: RecordedCloud) -> None:
    with cloud.json(STUCK_GROUPS) as stuck:
        stuck["stuck_pg_stats"].append(
            {"pgid": "1.1d", "state": "peering", "acting": [1, 2], "last_change": LONG_AGO, "last_unstale": LONG_AGO}
        )
    _raise(cloud, "PG_AVAILABILITY", "Reduced data availability: 1 pg inactive, 1 pg peering")


@breaks("CEPH-06")
def an_osd_reports_slow_operations(cloud: RecordedCloud) -> None:
    _raise(cloud, "SLOW_OPS", "12 slow ops, oldest one blocked for 35 sec, daemons [osd.0,osd.1] have slow ops.")


@breaks("CEPH-07")
def an_osd_is_down(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        osd_map["osds"][0]["up"] = 0
    _raise(cloud, "OSD_DOWN", "1 osds down")
    _raise(cloud, "OSD_HOST_DOWN", "1 host (1 osds) down")


@breaks("CEPH-07")
def an_osd_is_out_without_any_health_code(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        osd_map["osds"][0]["in"] = 0


@breaks("CEPH-08")
def a_crash_is_unread(cloud: RecordedCloud) -> None:
    with cloud.json(CRASHES) as crashes:
        crashes.append({"crash_id": f"{LONG_AGO}_0", "entity_name": "osd.0", "ceph_version": "16.2.15"})
    _raise(cloud, "RECENT_CRASH", "1 daemons have recently crashed")


@breaks("CEPH-09")
def a_mon_warns_too_early(cloud: RecordedCloud) -> None:
    cloud.replace(MON_HOSTS, '"mon_data_avail_warn": "15"', '"mon_data_avail_warn": "30"')


@breaks("CEPH-10")
def a_mon_is_low_on_disk(cloud: RecordedCloud) -> None:
    _raise(cloud, "MON_DISK_LOW", "mon a is low on available space", "mon.a has 12% avail")


@breaks("CEPH-11")
def an_earlier_mon_left_its_folder(cloud: RecordedCloud) -> None:
    entry = cloud.entries(MON_FOLDERS)[0]["heard"]
    text = (cloud.folder / cloud.entries(MON_FOLDERS)[0]["file"]).read_text()
    cloud.write(MON_FOLDERS, text + "mon-w\n", entry["speaker"])


@breaks("CEPH-12")
def an_attachment_is_stuck(cloud: RecordedCloud) -> None:
    with cloud.json(ATTACHMENTS) as attachments:
        attachments["items"].append(
            {
                "metadata": {"name": "csi-0", "creationTimestamp": LONG_AGO_Z},
                "spec": {
                    "attacher": "rook-ceph.rbd.csi.ceph.com",
                    "nodeName": "lab-1",
                    "source": {"persistentVolumeName": "pvc-0"},
                },
                "status": {"attached": False},
            }
        )


@breaks("CEPH-12")
def a_pod_waits_for_a_locked_volume(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        pod = next(pod for pod in pods["items"] if pod["metadata"]["name"].startswith("csi-rbdplugin-provisioner"))
        pod["metadata"]["creationTimestamp"] = LONG_AGO_Z
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}
        uid = pod["metadata"]["uid"]
    with cloud.json(EVENTS) as events:
        events["items"].append(
            {
                "metadata": {"name": "locked", "namespace": "rook-ceph", "creationTimestamp": LONG_AGO_Z},
                "involvedObject": {"kind": "Pod", "uid": uid},
                "reason": "FailedMount",
                "message": "MountVolume.MountDevice failed for volume pvc-0 : rpc error: code = Aborted desc = "
                "an operation with the given Volume ID 0001-0009 already exists",
            }
        )


@breaks("CEPH-13")
def a_code_that_nobody_waived_is_raised(cloud: RecordedCloud) -> None:
    _raise(cloud, "MDS_ALL_DOWN", "1 filesystem is offline")


@breaks("CEPH-13")
def a_code_is_muted(cloud: RecordedCloud) -> None:
    _raise(cloud, "MON_CLOCK_SKEW", "clock skew detected on mon.b", muted=True)


@breaks("CEPH-14")
def a_backfill_is_under_way(cloud: RecordedCloud) -> None:
    with cloud.json(STATUS) as status:
        status["pgmap"].update(misplaced_objects=120, misplaced_total=3000)
    _raise(cloud, "OBJECT_MISPLACED", "120/3000 objects misplaced (4.000%)")


@breaks("CEPH-15")
def copies_may_share_a_host(cloud: RecordedCloud) -> None:
    with cloud.json(CRUSH_MAP) as crush:
        for rule in crush["rules"]:
            for step in rule["steps"]:
                if step["op"] == "chooseleaf_firstn":
                    step["type"] = "osd"


@breaks("CEPH-16")
def noout_is_left_set(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        osd_map["flags"] += ",noout"
    _raise(cloud, "OSDMAP_FLAGS", "noout flag(s) set")


@breaks("CEPH-16")
def noout_is_left_set_on_a_node(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        osd_map["crush_node_flags"] = {"lab-1": ["noout"]}


@breaks("CEPH-17")
def a_mon_runs_an_older_release(cloud: RecordedCloud) -> None:
    with cloud.json(VERSIONS) as versions:
        newest = next(iter(versions["mon"]))
        versions["mon"] = {newest: 2, "ceph version 16.2.9 (4c3647a322c0ff5a1dd2344e039859dcbd28c830) pacific": 1}


@breaks("CEPH-18")
def an_osd_is_near_full(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        osd_map["osds"][0]["state"].append("nearfull")
    _raise(cloud, "OSD_NEARFULL", "1 nearfull osd(s)")


@breaks("CEPH-19")
def a_pool_has_no_application(cloud: RecordedCloud) -> None:
    with cloud.json(OSD_MAP) as osd_map:
        _pool(osd_map)["application_metadata"] = {}


@breaks("CEPH-20")
def the_other_hosts_are_too_small(cloud: RecordedCloud) -> None:
    with cloud.json(USAGE) as usage:
        for pool in usage["pools"]:
            pool["stats"]["bytes_used"] = usage["stats"]["total_bytes"] // len(usage["pools"])


@breaks("CEPH-21")
def a_root_disk_is_nearly_full(cloud: RecordedCloud) -> None:
    cloud.write(
        MON_HOSTS,
        "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
        "/dev/sda1 1000000 900000 100000 90% /etc/hosts\n"
        '{"mon_data_avail_warn": "15"}\n',
        cloud.entries(MON_HOSTS)[0]["heard"]["speaker"],
    )


@breaks("CEPH-22")
def a_fourth_mon_was_added(cloud: RecordedCloud) -> None:
    with cloud.json(QUORUM) as quorum:
        quorum["monmap"]["mons"].append({"name": "d"})
        quorum["quorum_names"].append("d")


def _pool(osd_map: Any, kind: int = 1) -> Any:
    """The first pool of a kind that two copies are kept in; erasure-coded ones have kind 3."""
    return next(pool for pool in osd_map["pools"] if pool["type"] == kind)


def _raise(cloud: RecordedCloud, code: str, summary: str, detail: str = "", *, muted: bool = False) -> None:
    """Raise a health code, as `ceph health detail` would show it."""
    with cloud.json(HEALTH) as health:
        health["status"] = "HEALTH_WARN"
        health["checks"][code] = {
            "severity": "HEALTH_WARN",
            "summary": {"message": summary, "count": 1},
            "detail": [{"message": detail or summary}],
            "muted": muted,
        }
