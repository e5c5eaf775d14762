"""Breakages of memcached.

MC-05 and MC-06 are judged here alone: the lab's kernel cannot delay packets, and its services name all replicas.
"""

from __future__ import annotations

import re

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import PODS, SECRETS, WORKLOADS
from seatrial.fixtures.memcached import NODE_STATS
from seatrial.fixtures.memcached_servers import ROUND_TRIPS, STATS

STATEFULSETS = next(question for question in WORKLOADS if question.kind == "statefulsets")


@breaks("MC-01")
def one_replica_is_ready(cloud: RecordedCloud) -> None:
    with cloud.objects(STATEFULSETS, "memcached-memcached") as workload:
        workload["status"]["readyReplicas"] = 1


@breaks("MC-02")
def both_replicas_are_on_one_node(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        replicas = [p for p in pods["items"] if p["metadata"].get("labels", {}).get("application") == "memcached"]
        for pod in replicas:
            pod["spec"]["nodeName"] = replicas[0]["spec"]["nodeName"]
            del pod["spec"]["affinity"]


@breaks("MC-03")
def a_replica_is_beside_a_mon(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, "memcached-memcached-0") as pod:
        pod["spec"]["nodeName"] = "lab-1"


@breaks("MC-03")
def a_replica_is_on_a_node_short_of_disk(cloud: RecordedCloud) -> None:
    for node in ("lab-4", "lab-5"):
        with cloud.json(NODE_STATS, node) as stats:
            stats["node"]["fs"]["availableBytes"] = stats["node"]["fs"]["usedBytes"] // 9


@breaks("MC-04")
def a_replica_refuses_connections(cloud: RecordedCloud) -> None:
    refused = "bash: line 1: /dev/tcp/127.0.0.1/11211: Connection refused\n"
    cloud.write(STATS, f"{refused}ended 1 1000.0\n{refused}ended 1 1002.0\n")


@breaks("MC-04")
def a_replica_accepts_connections_and_says_nothing(cloud: RecordedCloud) -> None:
    cloud.write(STATS, "ended 124 1000.0\nended 124 1006.0\n")


@breaks("MC-05")
def a_round_trip_takes_a_tenth_of_a_second(cloud: RecordedCloud) -> None:
    cloud.write(ROUND_TRIPS, "took 1000.0 1000.1 whole\n")


@breaks("MC-06")
def a_service_names_one_service_for_two_replicas(cloud: RecordedCloud) -> None:
    options = "[cache]\nmemcache_servers = memcached.openstack.svc.cluster.local:11211"
    metadata = {"name": "heat-etc", "namespace": "openstack"}
    with cloud.json(SECRETS) as secrets:
        secrets["items"].append({"metadata": metadata, "type": "Opaque", "data": {"heat.conf": options}})


@breaks("MC-07")
def a_replica_evicts_a_thousand_items(cloud: RecordedCloud) -> None:
    text = (cloud.folder / cloud.entries(STATS)[0]["file"]).read_text()
    found = list(re.finditer(r"STAT evictions (\d+)", text))[-1]
    cloud.write(STATS, text[: found.start(1)] + str(int(found[1]) + 1000) + text[found.end(1) :])
