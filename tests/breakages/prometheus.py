"""Breakages of the monitoring."""

from __future__ import annotations

from breakage import RecordedCloud, breaks
from seatrial.fixtures import prometheus
from seatrial.fixtures.settings import load_profile

LAB = load_profile("lab")


@breaks("PROM-01")
def prometheus_forgets_after_two_days(cloud: RecordedCloud) -> None:
    with cloud.json(prometheus.RUNTIME) as reply:
        reply["data"]["storageRetention"] = "2d or 10GiB"


@breaks("PROM-02")
def a_target_is_down(cloud: RecordedCloud) -> None:
    with cloud.json(prometheus.TARGETS) as reply:
        target = next(t for t in reply["data"]["activeTargets"] if t["labels"]["job"] == "etcd")
        target |= {"health": "down", "lastError": "connect: connection refused"}


@breaks("PROM-03")
def prometheus_kept_nothing_of_the_window(cloud: RecordedCloud) -> None:
    with cloud.json(prometheus.span(LAB.prometheus.window_queries[0], LAB.window_s)) as reply:
        reply["data"]["result"] = []


@breaks("PROM-04")
def the_long_term_storage_is_behind(cloud: RecordedCloud) -> None:
    with cloud.json(prometheus.remote_writes(LAB.window_s)) as reply:
        series = next(r for r in reply["data"]["result"] if r["metric"]["fact"] == "behind")
        series["value"][1] = "900"
