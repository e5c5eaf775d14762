"""Breakages of the nodes.

NODE-03, NODE-04, NODE-08 and NODE-10 are judged here alone: the lab's nodes share one machine, whose kernel has no ZFS,
one clock and one set of Kubernetes' binaries, and they run containerd.
"""

from __future__ import annotations

import re

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import NODES
from seatrial.fixtures.node_probe import PROBE
from seatrial.fixtures.node_runtime import KUBELET_METRICS
from seatrial.fixtures.nodes import VERSION


@breaks("NODE-01")
def a_node_is_not_ready(cloud: RecordedCloud) -> None:
    _condition(cloud, "Ready", "Unknown")


@breaks("NODE-01")
def a_node_runs_out_of_process_ids(cloud: RecordedCloud) -> None:
    _condition(cloud, "PIDPressure", "True")


@breaks("NODE-02")
def a_node_with_a_mon_is_cordoned(cloud: RecordedCloud) -> None:
    with cloud.objects(NODES, "lab-1") as node:
        node["spec"]["unschedulable"] = True


@breaks("NODE-03")
def docker_stores_containers_with_zfs(cloud: RecordedCloud) -> None:
    with cloud.json(NODES) as nodes:
        for node in nodes["items"]:
            node["status"]["nodeInfo"]["containerRuntimeVersion"] = "docker://20.10.24"
    _seen(cloud, r"^root overlay$", "root zfs\ndatasets 361")


@breaks("NODE-03")
def docker_says_that_it_uses_devicemapper(cloud: RecordedCloud) -> None:
    with cloud.json(NODES) as nodes:
        for node in nodes["items"]:
            node["status"]["nodeInfo"]["containerRuntimeVersion"] = "docker://20.10.24"
    _seen(cloud, r"^root overlay$", "root overlay\ndocker devicemapper")


@breaks("NODE-04")
def a_node_has_1264_datasets(cloud: RecordedCloud) -> None:
    _seen(cloud, r"\Z", "datasets 1264\n")


@breaks("NODE-05")
def a_node_has_a_load_of_500(cloud: RecordedCloud) -> None:
    _seen(cloud, r"^load .*$", "load 500.00")


@breaks("NODE-06")
def a_kubelet_waits_for_its_runtime(cloud: RecordedCloud) -> None:
    _relisted(cloud, 60)


@breaks("NODE-06")
def a_kubelet_hangs_with_its_runtime(cloud: RecordedCloud) -> None:
    cloud.heard(KUBELET_METRICS, "lab-4", error="API server: Read timed out. (read timeout=15.0", seconds=15.0)


@breaks("NODE-06", consequences="NODE-01")
def a_kubelet_gives_its_runtime_up(cloud: RecordedCloud) -> None:
    _condition(cloud, "Ready", "False", "PLEG is not healthy: pleg was last seen active 3m8.6s ago; threshold is 3m0s")


@breaks("NODE-07")
def a_node_has_no_route_to_the_cluster_ips(cloud: RecordedCloud) -> None:
    _seen(cloud, r"^reaches kubernetes$", "fails kubernetes No route to host")


@breaks("NODE-07")
def a_node_does_not_reach_the_dns(cloud: RecordedCloud) -> None:
    _seen(cloud, r"^reaches dns$", "fails dns no answer")


@breaks("NODE-08")
def a_kubelet_was_left_behind(cloud: RecordedCloud) -> None:
    with cloud.objects(NODES, "lab-5") as node:
        node["status"]["nodeInfo"]["kubeletVersion"] = "v1.35.3"


@breaks("NODE-08")
def the_kubelets_are_ahead_of_the_api_server(cloud: RecordedCloud) -> None:
    with cloud.json(VERSION) as version:
        version["gitVersion"] = "v1.34.9"


@breaks("NODE-09")
def zfs_list_burns_a_core(cloud: RecordedCloud) -> None:
    _seen(cloud, r"\Z", "zfs 77 100\nsampled 1000.0\nzfs 77 198\nsampled 1001.0\nhertz 100\n")


@breaks("NODE-10")
def a_clock_is_ten_seconds_ahead(cloud: RecordedCloud) -> None:
    for entry in cloud.entries(PROBE)[:1]:
        seconds = float(re.findall(r"clock (\S+)", (cloud.folder / entry["file"]).read_text())[0])
        _seen(cloud, r"^clock .*$", f"clock {seconds + 10:.3f}")


def _condition(cloud: RecordedCloud, kind: str, status: str, message: str = "") -> None:
    with cloud.objects(NODES, "lab-5") as node:
        for condition in node["status"]["conditions"]:
            if condition["type"] == kind:
                condition.update(status=status, message=message)


def _seen(cloud: RecordedCloud, pattern: str, new: str) -> None:
    """Change what the pod of one node saw."""
    text = (cloud.folder / cloud.entries(PROBE)[0]["file"]).read_text()
    changed = re.sub(pattern, new, text, count=1, flags=re.MULTILINE)
    assert changed != text, f"the probe said nothing like {pattern}"
    cloud.write(PROBE, changed)


def _relisted(cloud: RecordedCloud, seconds_ago: float) -> None:
    entry = cloud.entries(KUBELET_METRICS)[0]
    text = (cloud.folder / entry["file"]).read_text()
    moment = entry["heard"]["started"] - seconds_ago
    cloud.write(KUBELET_METRICS, re.sub(r"(?m)^(kubelet_pleg_last_seen_seconds) .*$", rf"\1 {moment}", text))
