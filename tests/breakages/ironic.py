"""Breakages of Ironic and of the dnsmasq beside it."""

from __future__ import annotations

import copy

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import NODES, PODS, SECRETS, WORKLOADS
from seatrial.fixtures.ironic import CLAIMS
from seatrial.fixtures.ironic_conductors import CPU_STAT, rounds
from seatrial.fixtures.openstack_services import CONDUCTORS
from seatrial.fixtures.settings import load_profile

STATEFULSETS = next(question for question in WORKLOADS if question.kind == "statefulsets")
ROUNDS = rounds(load_profile("lab").window_s)


@breaks("IRON-01")
def one_conductor_is_ready(cloud: RecordedCloud) -> None:
    with cloud.objects(STATEFULSETS, "ironic-conductor") as workload:
        workload["status"]["readyReplicas"] = 1


@breaks("IRON-01")
def ironic_knows_one_conductor(cloud: RecordedCloud) -> None:
    with cloud.json(CONDUCTORS) as listed:
        del listed["conductors"][1:]


@breaks("OS-04", consequences="IRON-01")
def a_conductor_misses_its_heartbeat(cloud: RecordedCloud) -> None:
    with cloud.json(CONDUCTORS) as listed:
        listed["conductors"][0]["alive"] = False


@breaks("IRON-02")
def both_conductors_are_on_one_node(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, "ironic-conductor-1") as pod:
        pod["spec"]["nodeName"] = "lab-4"


@breaks("IRON-07")
def a_conductor_is_on_a_network_node(cloud: RecordedCloud) -> None:
    with cloud.objects(NODES, "lab-4") as node:
        node["metadata"]["labels"]["openstack-network-node"] = "enabled"


@breaks("IRON-07")
def a_conductor_is_on_a_node_without_its_label(cloud: RecordedCloud) -> None:
    with cloud.objects(NODES, "lab-5") as node:
        del node["metadata"]["labels"]["ironic_role"]


@breaks("IRON-03")
def dnsmasq_is_not_ready(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, "ironic-dnsmasq-0") as pod:
        for condition in pod["status"]["conditions"]:
            if condition["type"] == "Ready":
                condition["status"] = "False"


@breaks("IRON-03")
def dnsmasq_runs_twice(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        only = next(pod for pod in pods["items"] if pod["metadata"]["name"] == "ironic-dnsmasq-0")
        second = copy.deepcopy(only)
        second["metadata"] |= {"name": "ironic-dnsmasq-1", "uid": "second"}
        pods["items"].append(second)


@breaks("IRON-08")
def dnsmasq_requires_a_conductor_beside_it(cloud: RecordedCloud) -> None:
    conductor = [{"key": "component", "operator": "In", "values": ["conductor"]}]
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchExpressions": conductor}}
    with cloud.objects(STATEFULSETS, "ironic-dnsmasq") as workload:
        affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        workload["spec"]["template"]["spec"]["affinity"] = affinity


def _claim(cloud: RecordedCloud, name: str, **spec: object) -> None:
    """Give a claim of the release another spec."""
    with cloud.objects(CLAIMS, name) as claim:
        claim["spec"] |= spec
    with cloud.json(SECRETS) as secrets:
        for item in secrets["items"]:
            for made in item.get("release", {}).get("manifest", ()):
                if (made["kind"], made["metadata"]["name"]) == ("PersistentVolumeClaim", name):
                    made["spec"] |= spec


@breaks("IRON-04")
def a_volume_is_written_by_one_node(cloud: RecordedCloud) -> None:
    _claim(cloud, "dnsmasq-dhcp", accessModes=["ReadWriteOnce"])


@breaks("IRON-04")
def a_volume_is_of_another_class(cloud: RecordedCloud) -> None:
    _claim(cloud, "dnsmasq-ironic", storageClassName="standard")


@breaks("IRON-05")
def a_conductor_may_use_one_core(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, "ironic-conductor-0") as pod:
        pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1"


@breaks("IRON-05")
def a_conductor_is_throttled(cloud: RecordedCloud) -> None:
    cloud.write(CPU_STAT, "nr_periods 1000\nnr_throttled 400\nthrottled_time 90000000000\n", "ironic-conductor-1")


@breaks("IRON-06")
def a_round_takes_longer_than_its_interval(cloud: RecordedCloud) -> None:
    told = "DEBUG ironic.conductor.manager [None req-1] Completed power state sync operation, evaluated 1 nodes with "
    cloud.write(ROUNDS, f"2026-11-21 15:00:00.000 1 {told}2 workers in 15.02 seconds\n", "ironic-conductor-0")


@breaks("IRON-06")
def a_conductor_complains_of_its_rounds(cloud: RecordedCloud) -> None:
    told = "WARNING ironic.conductor.manager [None req-1] The power state sync operation runtime is 3x the [conductor]"
    cloud.write(ROUNDS, f"2026-11-21 15:00:00.000 1 {told}sync_power_state_interval setting.\n", "ironic-conductor-1")


@breaks("LOAD-15", options="--allow load")
def a_round_is_slow_for_the_nodes_that_it_has(cloud: RecordedCloud) -> None:
    told = "DEBUG ironic.conductor.manager [None req-1] Completed power state sync operation, evaluated 2 nodes with "
    cloud.write(ROUNDS, f"2026-11-21 15:00:00.000 1 {told}2 workers in 4.20 seconds\n", "ironic-conductor-0")
