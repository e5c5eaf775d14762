"""Breakages of MariaDB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import PODS
from seatrial.fixtures.control_plane_logs import troubles
from seatrial.fixtures.mariadb_members import STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 3600
"""The window of the profile `lab`."""


@breaks("DB-01")
def a_member_is_not_synced(cloud: RecordedCloud) -> None:
    cloud.replace(STATUS, "wsrep_local_state_comment\tSynced", "wsrep_local_state_comment\tJoining")


@breaks("DB-01")
def a_member_was_left_out_of_the_cluster(cloud: RecordedCloud) -> None:
    cloud.replace(STATUS, "wsrep_cluster_size\t3", "wsrep_cluster_size\t2")


@breaks("DB-01")
def a_member_refuses_connections(cloud: RecordedCloud) -> None:
    why = "ERROR 2002 (HY000): Can't connect to local server through socket '/run/mysqld/mysqld.sock' (2)"
    cloud.heard(STATUS, "mariadb-server-1", exit=1, stderr=why)


@breaks("DB-01")
def a_member_has_no_pod(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        pods["items"] = [pod for pod in pods["items"] if pod["metadata"]["name"] != "mariadb-server-2"]


@breaks("DB-02")
def a_pod_requests_nothing(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, "mariadb-server-0") as pod:
        pod["spec"]["containers"][0]["resources"] = {}


@breaks("DB-02")
def a_pod_may_be_evicted_first(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, "mariadb-server-0") as pod:
        pod["status"]["qosClass"] = "BestEffort"


@breaks("DB-03")
def transactions_fail_their_certification(cloud: RecordedCloud) -> None:
    _last(cloud, "wsrep_local_cert_failures", lambda count: count + 100)


@breaks("DB-03")
def transactions_are_aborted_by_brute_force(cloud: RecordedCloud) -> None:
    _last(cloud, "wsrep_local_bf_aborts", lambda count: count + 100)


@breaks("DB-04")
def replication_is_paused_for_a_second(cloud: RecordedCloud) -> None:
    _last(cloud, "wsrep_flow_control_paused_ns", lambda count: count + 1_000_000_000)


@breaks("DB-05")
def a_service_logs_a_deadlock(cloud: RecordedCloud) -> None:
    moment = cloud.manifest["recorded"]
    said = f"{moment} 2026 7 ERROR nova.conductor oslo_db.exception.DBDeadlock: (1213, 'Deadlock found')\n"
    cloud.write(troubles(WINDOW_S), said)


@breaks("DB-06")
def a_member_has_no_connection_left(cloud: RecordedCloud) -> None:
    most = _last(cloud, "max_connections", lambda count: count)
    _last(cloud, "Threads_connected", lambda _: most)


def _last(cloud: RecordedCloud, name: str, change: Callable[[int], int]) -> int:
    """Change the last value of that name that one member told, and return what it was."""
    text = (cloud.folder / cloud.entries(STATUS)[0]["file"]).read_text()
    found = list(re.finditer(rf"^{name}\t(\d+)$", text, re.MULTILINE))[-1]
    cloud.write(STATUS, text[: found.start(1)] + str(change(int(found[1]))) + text[found.end(1) :])
    return int(found[1])
