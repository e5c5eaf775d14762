"""Faults of Ceph's settings and pools; those of its daemons stand in `ceph_daemons.py`.

Not broken here, since the lab cannot or not without other damage, but in its recorded answers: CEPH-02 (Ceph refuses a
min_size that it cannot keep), CEPH-04 and CEPH-22 (a mon that moves or joins leaves a folder or a quorum behind),
CEPH-17 (one release is packaged), CEPH-20 (OSDs of 2 GiB abort before they are full), CEPH-21 (the machine's own disk).
"""

from __future__ import annotations

from datetime import UTC, datetime

from seatrial.lab import nodes
from seatrial.lab.ceph import ceph, ceph_json, wait_for_health
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import apply, get, kubectl, wait_until

_MONS_HOST = "lab-1"
_STALE = "/var/lib/rook/mon-w"
_POOL = "kubeai-cephfs"
_UNTAGGED = "fault-untagged"
_RULE = "fault-by-osd"
_ATTACHMENT = "csi-fault-stuck"
_NEARFULL = "0.85"
_MAX_PG_PER_OSD = "500"
_CSI_GRACE_S = 5
"""How long the lab's profile lets an attachment take."""
_PATIENCE = 60.0
_CLEAN_PATIENCE = 90.0


def wait_for_code(code: str) -> None:
    """Return once `ceph health` raises this code."""
    wait_until(
        f"Ceph to raise {code}",
        lambda: None if code in ceph_json("health")["checks"] else "not yet",
        timeout=_PATIENCE,
    )


def wait_until_clean() -> None:
    """Return once all placement groups are active and clean: a change of the map makes them peer anew."""

    def unclean() -> str | None:
        groups = [group["state_name"] for group in ceph_json("status")["pgmap"].get("pgs_by_state", [])]
        return None if groups == ["active+clean"] else " ".join(groups)

    wait_until("placement groups to be active+clean", unclean, timeout=_CLEAN_PATIENCE, interval=1)


def remove_pool(name: str) -> None:
    """Remove a pool, if it is there."""
    ceph("osd", "pool", "rm", name, name, "--yes-i-really-really-mean-it")


def _keep_two_copies() -> None:
    ceph("osd", "pool", "set", _POOL, "size", "2")
    ceph("osd", "pool", "set", _POOL, "min_size", "1")
    wait_for_health()


@fault("pool-with-one-copy", trips="CEPH-01", parts="ceph", heal=_keep_two_copies)
def keep_one_copy() -> None:
    """The pool kubeai-cephfs keeps one copy."""
    ceph("osd", "pool", "set", _POOL, "size", "1", "--yes-i-really-mean-it")
    wait_for_code("POOL_NO_REDUNDANCY")
    wait_until_clean()


def _warn_at_the_agreed_share() -> None:
    ceph("config", "set", "mon", "mon_data_avail_warn", "15")


@fault("mons-warn-too-early", trips="CEPH-09", parts="ceph", heal=_warn_at_the_agreed_share)
def warn_too_early() -> None:
    """Mons warn of their disk when a third of it is still free."""
    ceph("config", "set", "mon", "mon_data_avail_warn", "30")


def _remove_stale_folder() -> None:
    nodes.run(_MONS_HOST, ["rm", "-rf", _STALE], timeout=10)


@fault("stale-mon-folder", trips="CEPH-11", parts="ceph", heal=_remove_stale_folder)
def leave_a_folder_behind() -> None:
    """An earlier mon left its folder on the host of another."""
    nodes.run(_MONS_HOST, ["mkdir", "-p", f"{_STALE}/data/store.db"], timeout=10)


def _remove_attachment() -> None:
    kubectl("delete", "volumeattachment", _ATTACHMENT, "--ignore-not-found", "--wait=true")


@fault("stuck-volume-attachment", trips="CEPH-12", parts="ceph", heal=_remove_attachment)
def attach_what_nobody_attaches() -> None:
    """A volume waits to be attached, and no attacher answers."""
    apply(f"""
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {{name: {_ATTACHMENT}}}
spec:
  attacher: rook-ceph.rbd.csi.ceph.com
  nodeName: {_MONS_HOST}
  source: {{persistentVolumeName: pvc-fault-stuck}}
""")
    wait_until("the attachment to be late", _attachment_is_early, timeout=_PATIENCE)


def _attachment_is_early() -> str | None:
    """Younger than the lab's profile forgives: the API server's clock is this machine's."""
    created = datetime.fromisoformat(get("volumeattachment", _ATTACHMENT)["metadata"]["creationTimestamp"])
    age = (datetime.now(UTC) - created).total_seconds()
    return None if age > _CSI_GRACE_S else f"{age:.0f} s old"


def _allow_enough_groups() -> None:
    ceph("config", "set", "global", "mon_max_pg_per_osd", _MAX_PG_PER_OSD)
    wait_for_health()


@fault("unexpected-health-code", trips="CEPH-13", parts="ceph", heal=_allow_enough_groups)
def have_too_many_groups() -> None:
    """Health raises a code that nobody waived: TOO_MANY_PGS."""
    ceph("config", "set", "global", "mon_max_pg_per_osd", "5")
    wait_for_code("TOO_MANY_PGS")


def _separate_by_host() -> None:
    ceph("osd", "pool", "set", _POOL, "crush_rule", "replicated_rule")
    ceph("osd", "crush", "rule", "rm", _RULE)
    wait_for_health()


@fault("copies-may-share-a-host", trips="CEPH-15", parts="ceph", heal=_separate_by_host)
def separate_by_osd() -> None:
    """A pool's rule lets two copies share a host."""
    ceph("osd", "crush", "rule", "create-replicated", _RULE, "default", "osd")
    ceph("osd", "pool", "set", _POOL, "crush_rule", _RULE)


def _unset_noout() -> None:
    ceph("osd", "unset", "noout")
    wait_for_health()


@fault("maintenance-flag-left", trips="CEPH-16", parts="ceph", heal=_unset_noout)
def leave_noout_set() -> None:
    """The flag noout is left set."""
    ceph("osd", "set", "noout")
    wait_for_code("OSDMAP_FLAGS")


def _raise_the_limit() -> None:
    ceph("osd", "set-nearfull-ratio", _NEARFULL)
    wait_for_health()


@fault("osds-near-full", trips="CEPH-18", parts="ceph", heal=_raise_the_limit)
def lower_the_limit() -> None:
    """The OSDs are near full (by a lower limit: they are too small to be filled)."""
    ceph("osd", "set-nearfull-ratio", "0.01")
    wait_for_code("OSD_NEARFULL")


def _remove_untagged() -> None:
    remove_pool(_UNTAGGED)
    wait_for_health()


@fault("pool-without-application", trips="CEPH-19", parts="ceph", heal=_remove_untagged)
def forget_the_application() -> None:
    """A pool has no application."""
    ceph("osd", "pool", "create", _UNTAGGED, "1", "1", "--size=2")

    def unsettled() -> str | None:
        states = {group["state"] for group in ceph_json("pg", "ls-by-pool", _UNTAGGED)["pg_stats"]}
        return None if states == {"active+clean"} else " ".join(states) or "no placement group yet"

    wait_until("the new pool to serve", unsettled, timeout=_PATIENCE)
