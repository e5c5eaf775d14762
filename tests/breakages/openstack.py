"""Breakages of OpenStack's control plane."""

from __future__ import annotations

from datetime import datetime, timedelta

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import PODS, SECRETS, WORKLOADS
from seatrial.fixtures.control_plane import BUDGETS
from seatrial.fixtures.control_plane_logs import troubles
from seatrial.fixtures.control_plane_settings import STARTED_WITH
from seatrial.fixtures.control_plane_upgrades import CHECKS

DEPLOYMENTS = next(question for question in WORKLOADS if question.kind == "deployments")
WINDOW_S = 3600
"""The window of the profile `lab`."""
REQUEST = "req-9ac9d05d-89e6-447b-a012-b856afa245d2"


def take_a_replica(cloud: RecordedCloud, name: str) -> None:
    """Scale a Deployment and its release down by one, so that no drift is told."""
    with cloud.objects(DEPLOYMENTS, name) as deployment:
        deployment["spec"]["replicas"] -= 1
        deployment["status"]["readyReplicas"] -= 1
    with cloud.json(SECRETS) as secrets:
        manifests = [item["release"].get("manifest", []) for item in secrets["items"] if "release" in item]
        for released in (entry for manifest in manifests for entry in manifest):
            if released["kind"] == "Deployment" and released["metadata"]["name"] == name:
                released["spec"]["replicas"] -= 1


@breaks("OS-01")
def a_nova_api_is_missing(cloud: RecordedCloud) -> None:
    take_a_replica(cloud, "nova-api-osapi")


@breaks("OS-24")
def a_nova_scheduler_is_missing(cloud: RecordedCloud) -> None:
    take_a_replica(cloud, "nova-scheduler")


@breaks("OS-25")
def a_nova_conductor_is_missing(cloud: RecordedCloud) -> None:
    take_a_replica(cloud, "nova-conductor")


@breaks("OS-26")
def a_placement_is_missing(cloud: RecordedCloud) -> None:
    take_a_replica(cloud, "placement-api")


@breaks("OS-27")
def a_cinder_volume_is_missing(cloud: RecordedCloud) -> None:
    take_a_replica(cloud, "cinder-volume")


@breaks("OS-28")
def a_cinder_scheduler_is_missing(cloud: RecordedCloud) -> None:
    take_a_replica(cloud, "cinder-scheduler")


@breaks("OS-28")
def a_cinder_scheduler_is_not_ready(cloud: RecordedCloud) -> None:
    with cloud.objects(DEPLOYMENTS, "cinder-scheduler") as deployment:
        deployment["status"]["readyReplicas"] -= 1


@breaks("OS-02")
def replicas_share_a_node(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        labels = {"application": "placement", "component": "api"}.items()
        replicas = [pod for pod in pods["items"] if labels <= pod["metadata"].get("labels", {}).items()]
        for pod in replicas:
            pod["spec"]["nodeName"] = replicas[0]["spec"]["nodeName"]


@breaks("OS-03", consequences="OS-30")
def an_api_has_one_worker(cloud: RecordedCloud) -> None:
    configure(cloud, "cinder-etc", "cinder-api-uwsgi.ini", "threads = 8", "threads = 1")


@breaks("OS-30")
def an_api_has_too_few_workers_for_all(cloud: RecordedCloud) -> None:
    configure(cloud, "cinder-etc", "cinder-api-uwsgi.ini", "threads = 8", "threads = 4")


@breaks("OS-29")
def neutron_has_no_rpc_worker(cloud: RecordedCloud) -> None:
    configure(cloud, "neutron-etc", "neutron.conf", "rpc_workers = 1", "rpc_workers = 0")


@breaks("OS-17")
def live_migration_goes_by_name(cloud: RecordedCloud) -> None:
    uri = "[libvirt]\nlive_migration_uri = qemu+tcp://%s/system"
    configure(cloud, "nova-compute-default", "nova.conf", "[libvirt]", uri)


@breaks("OS-17")
def live_migration_has_no_address(cloud: RecordedCloud) -> None:
    cloud.write(STARTED_WITH, "\n")


@breaks("OS-18")
def instances_are_on_local_disks(cloud: RecordedCloud) -> None:
    configure(cloud, "nova-compute-default", "nova.conf", "images_type = rbd", "images_type = qcow2")


def configure(cloud: RecordedCloud, secret: str, file: str, old: str, new: str) -> None:
    """Change a file of a Secret, and what its release says of it, so that no drift is told."""
    with cloud.json(SECRETS) as secrets:
        released = [item["release"].get("manifest", []) for item in secrets["items"] if "release" in item]
        known = [entry for manifest in released for entry in manifest if entry["kind"] == "Secret"]
        found = [item for item in (*secrets["items"], *known) if item["metadata"]["name"] == secret]
        assert found, f"no Secret {secret}"
        for item in found:
            assert old in item["data"][file], item["data"][file]
            item["data"][file] = item["data"][file].replace(old, new)


@breaks("OS-05")
def a_pod_has_no_node(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, pod_of(cloud, "glance", "api")) as pod:
        del pod["spec"]["nodeName"]
        pod["status"] = {
            "phase": "Pending",
            "qosClass": "Burstable",
            "conditions": [condition("PodScheduled", cloud, seconds=60, reason="Unschedulable")],
        }


@breaks("OS-05")
def a_pod_is_still_being_created(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, pod_of(cloud, "neutron", "rpc_server")) as pod:
        pod["status"]["phase"] = "Pending"
        pod["status"]["conditions"] = [condition("ContainersReady", cloud, seconds=60)]
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}


@breaks("OS-05", consequences="OS-31")
def a_container_crashes_again_and_again(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, pod_of(cloud, "nova", "compute")) as pod:
        ended = {"exitCode": 1, "reason": "Error", "finishedAt": before(cloud, 20)}
        pod["status"]["startTime"] = before(cloud, 600)
        pod["status"]["containerStatuses"][0].update(
            restartCount=6, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": ended}
        )


@breaks("OS-31")
def a_container_was_restarted(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, pod_of(cloud, "keystone", "api")) as pod:
        ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": before(cloud, 1800)}
        pod["status"]["containerStatuses"][0].update(restartCount=1, lastState={"terminated": ended})


@breaks("OS-06")
def a_call_was_not_answered(cloud: RecordedCloud) -> None:
    moment = before(cloud, 600)
    head = f"{moment} {moment[:19].replace('T', ' ')}.123 7 ERROR nova.api.openstack.wsgi"
    timeout = "oslo_messaging.exceptions.MessagingTimeout: Timed out waiting for a reply to message ID 5f0c"
    said = f"{head} [None {REQUEST} - - - - default default] Unexpected exception in API method\n{head} {timeout}\n"
    cloud.write(troubles(WINDOW_S), said, pod_of(cloud, "nova", "os-api"))


@breaks("OS-12")
def an_upgrade_check_fails(cloud: RecordedCloud) -> None:
    cloud.replace(CHECKS["keystone"], "Success", "Failure")
    cloud.heard(CHECKS["keystone"], exit=2)


@breaks("OS-22")
def a_pod_requests_nothing(cloud: RecordedCloud) -> None:
    with cloud.objects(PODS, pod_of(cloud, "glance", "api")) as pod:
        pod["status"]["qosClass"] = "BestEffort"


@breaks("OS-23")
def a_budget_refuses_nothing(cloud: RecordedCloud) -> None:
    with cloud.objects(BUDGETS, "placement-api") as budget:
        budget["status"]["desiredHealthy"] = 0


@breaks("OS-23")
def a_budget_selects_nothing(cloud: RecordedCloud) -> None:
    with cloud.objects(BUDGETS, "placement-api") as budget:
        budget["status"].update(expectedPods=0, desiredHealthy=0)


def pod_of(cloud: RecordedCloud, application: str, component: str) -> str:
    """Return the name of a role's first pod."""
    wanted = {"application": application, "component": component}.items()
    for pod in cloud.read(PODS)["items"]:
        if wanted <= pod["metadata"].get("labels", {}).items():
            return str(pod["metadata"]["name"])
    raise AssertionError(f"the recorded cloud has no pod of {application} {component}")


def before(cloud: RecordedCloud, seconds: float) -> str:
    """Return the moment so many seconds before the cloud was recorded, as Kubernetes writes it."""
    moment = datetime.fromisoformat(cloud.manifest["recorded"]) - timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, cloud: RecordedCloud, *, seconds: float, reason: str = "") -> dict[str, str]:
    """Return a condition of a pod that has not been met for so many seconds."""
    return {"type": kind, "status": "False", "reason": reason, "lastTransitionTime": before(cloud, seconds)}
