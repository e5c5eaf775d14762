"""Breakages of Helm's releases."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import CONFIGMAPS, SECRETS, WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.fixtures.question import Objects

DEPLOYMENTS, STATEFULSETS, _ = WORKLOADS


@contextmanager
def deployed(cloud: RecordedCloud, name: str) -> Iterator[Any]:
    """Change the deployed revision of a release."""
    with cloud.json(SECRETS) as secrets:
        yield next(
            item["release"]
            for item in secrets["items"]
            if item.get("release", {}).get("name") == name and item["release"]["info"]["status"] == "deployed"
        )


def upgraded(cloud: RecordedCloud, question: Objects, name: str, release: str, change: Callable[[Any], None]) -> None:
    """Change a live object and its release's manifest alike, as an upgrade with other values does."""
    kind = {"configmaps": "ConfigMap", "deployments": "Deployment", "statefulsets": "StatefulSet"}[question.kind]
    with cloud.objects(question, name) as live:
        change(live)
    with deployed(cloud, release) as revision:
        change(next(o for o in revision["manifest"] if o["kind"] == kind and o["metadata"]["name"] == name))


@breaks("HELM-01")
def an_upgrade_never_ended(cloud: RecordedCloud) -> None:
    with cloud.json(SECRETS) as secrets:
        first = next(item for item in secrets["items"] if item.get("release", {}).get("name") == "coredns")
        pending = copy.deepcopy(first)
        version = first["release"]["version"] + 90
        pending["metadata"]["name"] = f"sh.helm.release.v1.coredns.v{version}"
        pending["release"]["version"] = version
        pending["release"]["info"]["status"] = "pending-upgrade"
        secrets["items"].append(pending)


@breaks("HELM-02")
def a_live_patch_raised_a_memory_limit(cloud: RecordedCloud) -> None:
    with cloud.objects(DEPLOYMENTS, "coredns") as live:
        live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "400Mi"


@breaks("HELM-02")
def kubectl_added_a_variable(cloud: RecordedCloud) -> None:
    with cloud.objects(DEPLOYMENTS, "coredns") as live:
        live["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "GOGC", "value": "50"}]
        owned = {'k:{"name":"coredns"}': {"f:env": {".": {}, 'k:{"name":"GOGC"}': {".": {}, "f:value": {}}}}}
        live["metadata"]["managedFields"].append(
            {
                "manager": "kubectl-set",
                "operation": "Update",
                "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": owned}}}},
            }
        )


@breaks("HELM-02")
def a_config_map_was_edited(cloud: RecordedCloud) -> None:
    with cloud.objects(CONFIGMAPS, "coredns") as live:
        live["data"]["Corefile"] = live["data"]["Corefile"].replace("loadbalance", "loop")


@breaks("HELM-02")
def an_object_of_a_release_is_gone(cloud: RecordedCloud) -> None:
    with cloud.json(CONFIGMAPS) as listed:
        listed["items"] = [item for item in listed["items"] if item["metadata"]["name"] != "amqp-clients-bin"]


@breaks("HELM-03")
def a_deployment_was_scaled_by_hand(cloud: RecordedCloud) -> None:
    with cloud.objects(DEPLOYMENTS, "coredns") as live:
        live["spec"]["replicas"] = 3


@breaks("HELM-04")
def the_memcache_key_is_drawn_anew(cloud: RecordedCloud) -> None:
    with deployed(cloud, "amqp-clients") as release:
        release["chart"]["values"]["endpoints"]["oslo_cache"]["auth"]["memcache_secret_key"] = None


@breaks("HELM-05")
def novas_values_were_given_to_memcached(cloud: RecordedCloud) -> None:
    with deployed(cloud, "memcached") as release:
        release["config"] = {"pod": {"replicas": {"server": 1, "osapi": 4}}}
