"""Faults of Ceph's daemons and of the data that they keep."""

from __future__ import annotations

import json

from seatrial.lab.ceph import NAMESPACE, TOOLBOX, ceph, ceph_json, wait_for_health
from seatrial.lab.containers import Container, running
from seatrial.lab.fault import fault
from seatrial.lab.faults.ceph import remove_pool, wait_for_code, wait_until_clean
from seatrial.lab.kubectl import kubectl, wait_until

_MON = "c"
_FULL_MON = "a"
"""Another one, so that what it says of its disk is heard while the first is out of quorum."""
_OSD = 2
_PATIENCE = 90.0
_BALLAST = f"/var/lib/ceph/mon/ceph-{_FULL_MON}/ballast"
_OVERDOSE = "fault-overdose"
_MOVING = "fault-moving"
_SLOW = "fault-slow"
_WRITTEN = "vms"
_REFUSING = 1
"""Not the OSD that others take out: it holds no placement groups then, and refuses none."""

_LIMITS = {"osd_max_pg_per_osd_hard_ratio": "1", "mon_max_pg_per_osd": "5"}
"""Fewer placement groups than it holds."""

# As the chart has them; what `ceph tell` sets would outlive a fault otherwise.
_MAX_BACKFILLS = "4"
_COMPLAINT_TIME = "2"

# The same few objects over and over, so that nothing grows while the fault is in place.
_WRITE = """
import rados, sys
cluster = rados.Rados(conffile="/etc/ceph/ceph.conf")
cluster.connect()
pool = cluster.open_ioctx(sys.argv[1])
pool.set_namespace("fault")
while True:
    written = [pool.aio_write_full(f"slow-{number}", b"x" * 4096) for number in range(16)]
    for one in written:
        one.wait_for_safe()
"""


def _mon() -> Container:
    return running(NAMESPACE, f"app=rook-ceph-mon,mon={_MON}", "mon")


def _osd() -> Container:
    return running(NAMESPACE, f"app=rook-ceph-osd,ceph-osd-id={_OSD}", "osd")


def _in_mon(script: str) -> str:
    return kubectl(
        "-n", NAMESPACE, "exec", f"deployment/rook-ceph-mon-{_FULL_MON}", "-c", "mon", "--", "sh", "-c", script
    )


def _in_toolbox(script: str, timeout: float = 60) -> str:
    return kubectl("-n", NAMESPACE, "exec", TOOLBOX, "--", "sh", "-c", script, timeout=timeout)


def _tell_osds(option: str, value: str) -> None:
    ceph("tell", "osd.*", "config", "set", option, value)


def _reconnect_mon() -> None:
    _mon().in_network("iptables", "-F", "INPUT")
    wait_for_health()


@fault("mon-out-of-quorum", trips="CEPH-03", parts="ceph", heal=_reconnect_mon)
def disconnect_a_mon() -> None:
    """A mon is cut off from the others; the kubelet still finds it alive."""
    mon = _mon()
    gateway = mon.in_network("ip", "-4", "route", "show", "default").split()[2]
    mon.in_network("iptables", "-F", "INPUT")
    mon.in_network("iptables", "-A", "INPUT", "!", "-i", "lo", "!", "-s", gateway, "-j", "DROP")
    wait_for_code("MON_DOWN")


def _free_the_osd() -> None:
    for option in _LIMITS:
        ceph("tell", f"osd.{_REFUSING}", "config", "unset", option)
    remove_pool(_OVERDOSE)
    ceph("osd", "primary-affinity", f"osd.{_REFUSING}", "1")
    wait_for_health()


@fault("placement-groups-stuck", trips="CEPH-05", parts="ceph", heal=_free_the_osd)
def refuse_placement_groups() -> None:
    """Placement groups are stuck, because an OSD was told to take no more of them."""
    # As a primary it would leave them unknown, on no OSD at all.
    ceph("osd", "primary-affinity", f"osd.{_REFUSING}", "0")
    for option, value in _LIMITS.items():  # ends with its process, as what somebody once told a daemon does
        ceph("tell", f"osd.{_REFUSING}", "config", "set", option, value)
    ceph("osd", "pool", "create", _OVERDOSE, "8", "8", "--size=3")
    ceph("osd", "pool", "application", "enable", _OVERDOSE, "rbd")

    def early() -> str | None:
        stuck = ceph_json("pg", "dump_stuck", "inactive", "6")["stuck_pg_stats"]
        return None if stuck else "not stuck for long enough"

    wait_until("placement groups to be stuck", early, timeout=_PATIENCE)


def _let_operations_take_their_time() -> None:
    _tell_osds("osd_op_complaint_time", _COMPLAINT_TIME)
    _stop_writing()
    names = " ".join(f"slow-{number}" for number in range(16))
    _in_toolbox(f"rados -p {_WRITTEN} --namespace fault rm {names} 2>/dev/null || true")
    wait_for_health()


@fault("slow-operations", trips="CEPH-06", parts="ceph", heal=_let_operations_take_their_time)
def complain_about_operations() -> None:
    """OSDs are slower than they may be (by a shorter limit: a delayed OSD would miss its heartbeats too)."""
    _tell_osds("osd_op_complaint_time", "0.001")
    _stop_writing()
    _in_toolbox(f"setsid python3 -c '{_WRITE}' {_WRITTEN} >/dev/null 2>&1 </dev/null & echo $! >/tmp/{_SLOW}")
    wait_for_code("SLOW_OPS")


def _stop_writing() -> None:
    _in_toolbox(f"[ ! -e /tmp/{_SLOW} ] || kill -KILL $(cat /tmp/{_SLOW}); rm -f /tmp/{_SLOW}")


def _thaw_the_osd() -> None:
    _osd().signal("CONT")
    wait_for_health()


@fault("osd-down", trips="CEPH-07", parts="ceph", heal=_thaw_the_osd)
def freeze_an_osd() -> None:
    """An OSD hangs, and the others report it down."""
    _osd().signal("STOP")
    wait_for_code("OSD_DOWN")


def _take_the_osd_in() -> None:
    ceph("osd", "in", str(_OSD))
    wait_for_health()


@fault("osd-out", trips="CEPH-07", parts="ceph", heal=_take_the_osd_in)
def take_an_osd_out() -> None:
    """An OSD is out, of which no health code tells."""
    ceph("osd", "out", str(_OSD))


def _archive_crashes() -> None:
    ceph("crash", "archive-all")
    wait_for_health()


@fault("unread-crash", trips="CEPH-08", parts="ceph", heal=_archive_crashes)
def crash_an_osd() -> None:
    """An OSD crashed, and nobody has read why."""
    _osd().signal("ABRT")
    # What rook's crash collector does.
    post = (
        "cd /var/lib/ceph/crash && for id in */; do id=${id%/}; if [ -e $id/done ]; then "
        "ceph crash post -i $id/meta && mkdir -p posted && mv $id posted/; fi; done"
    )

    def unposted() -> str | None:
        kubectl("-n", NAMESPACE, "exec", f"deployment/rook-ceph-osd-{_OSD}", "-c", "osd", "--", "sh", "-c", post)
        return None if ceph_json("crash", "ls-new") else "no crash is posted"

    wait_until("the crash to be posted", unposted, timeout=_PATIENCE, interval=1)
    wait_until_clean()


def _empty_the_disk() -> None:
    _in_mon(f"rm -f {_BALLAST}")
    wait_for_health()


@fault("mon-low-on-disk", trips="CEPH-10", parts="ceph", heal=_empty_the_disk)
def fill_a_mons_disk() -> None:
    """A mon's disk is 90 % full."""
    # Only so far: at 5 % free the mon would stop.
    _in_mon(
        f"rm -f {_BALLAST}; set -- $(df -kP /var/lib/ceph/mon/ceph-{_FULL_MON} | tail -n 1); "
        f"fallocate -l $(($4 - $2 / 10))K {_BALLAST}"
    )
    wait_for_code("MON_DISK_LOW")


def _let_recovery_go_on() -> None:
    _tell_osds("osd_max_backfills", _MAX_BACKFILLS)
    remove_pool(_MOVING)
    wait_for_health()


@fault("recovery-under-way", trips="CEPH-14", parts="ceph", heal=_let_recovery_go_on)
def hold_recovery_up() -> None:
    """Objects are to be copied to another OSD, and are not yet."""
    ceph("osd", "pool", "create", _MOVING, "1", "1", "--size=2")
    ceph("osd", "pool", "application", "enable", _MOVING, "rbd")
    _in_toolbox(f"for n in $(seq 20); do echo $n | rados -p {_MOVING} put $n -; done")
    _tell_osds("osd_max_backfills", "0")
    group = json.loads(ceph("pg", "ls-by-pool", _MOVING, "--format=json"))["pg_stats"][0]
    unused = next(osd for osd in (0, 1, 2) if osd not in group["up"])
    ceph("osd", "pg-upmap-items", group["pgid"], str(group["up"][1]), str(unused))
    wait_for_code("PG_DEGRADED")
