"""Breakages of the images."""

from __future__ import annotations

from typing import Any

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import NODES, PODS
from seatrial.fixtures.images import MANIFESTS

DEP_CHECK = "quay.io/airshipit/kubernetes-entrypoint:latest-ubuntu_noble"
OUTDATED = "quay.io/airshipit/kubernetes-entrypoint:v1.0.0"


@breaks("IMG-01")
def a_registry_serves_schema_v1(cloud: RecordedCloud) -> None:
    with cloud.json(MANIFESTS, DEP_CHECK) as manifest:
        manifest["schemaVersion"] = 1


@breaks("IMG-01")
def a_pod_names_an_image_known_to_be_outdated(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        _pod(pods, "memcached")["spec"]["initContainers"][0]["image"] = OUTDATED


@breaks("IMG-02")
def a_node_lacks_an_image_that_is_gone(cloud: RecordedCloud) -> None:
    _gone(cloud, DEP_CHECK)
    with cloud.objects(NODES, "lab-4") as node:
        listed = node["status"]["images"]
        listed[:] = [image for image in listed if DEP_CHECK not in image["names"]]


@breaks("IMG-03")
def a_pod_cannot_pull_its_image(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        status = _pod(pods, "memcached")["status"]["containerStatuses"][0]
        status["state"] = {"waiting": {"reason": "ImagePullBackOff"}}


@breaks("IMG-03")
def a_pod_stays_in_init(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        status = _pod(pods, "memcached")["status"]
        status["phase"] = "Pending"
        for init in status["initContainerStatuses"]:
            init["state"] = {"waiting": {"reason": "PodInitializing"}}


@breaks("IMG-04")
def an_image_that_is_gone_is_always_pulled(cloud: RecordedCloud) -> None:
    _gone(cloud, DEP_CHECK)
    with cloud.json(PODS) as pods:
        _pod(pods, "memcached")["spec"]["initContainers"][0]["imagePullPolicy"] = "Always"


def _gone(cloud: RecordedCloud, image: str) -> None:
    cloud.heard(MANIFESTS, image, error="registry registry:5000: status 404: MANIFEST_UNKNOWN")


def _pod(pods: Any, application: str) -> Any:
    return next(p for p in pods["items"] if p["metadata"].get("labels", {}).get("application") == application)
