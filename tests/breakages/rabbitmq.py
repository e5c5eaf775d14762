"""Breakages of RabbitMQ."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import CONFIGMAPS, SECRETS
from seatrial.fixtures.rabbitmq import VOLUMES
from seatrial.fixtures.rabbitmq_questions import NODE, QUEUES, TRAFFIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.question import Question

CONFIGMAP = "rabbitmq-rabbitmq-etc"
RAM = 25_288_638_464


@contextmanager
def value(cloud: RecordedCloud, question: Question) -> Iterator[Any]:
    with cloud.json(question) as said:
        yield said["value"]


def configure(cloud: RecordedCloud, old: str, new: str) -> None:
    """Change the configured rabbitmq.conf by way of a Helm upgrade, so that nothing drifts."""
    with cloud.objects(CONFIGMAPS, CONFIGMAP) as configmap:
        assert old in configmap["data"]["rabbitmq.conf"]
        configmap["data"]["rabbitmq.conf"] = configmap["data"]["rabbitmq.conf"].replace(old, new)
    with cloud.json(SECRETS) as secrets:
        for release in (item["release"] for item in secrets["items"] if item.get("release")):
            for item in release.get("manifest", []):
                if item["kind"] == "ConfigMap" and item["metadata"]["name"] == CONFIGMAP:
                    item["data"]["rabbitmq.conf"] = item["data"]["rabbitmq.conf"].replace(old, new)


@breaks("RMQ-01")
def a_cpu_limit_below_one_core_left_one_scheduler(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["schedulers_online"] = 1


@breaks("RMQ-02")
def the_thread_pool_has_half_its_size(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["thread_pool_size"] = 64


@breaks("RMQ-03")
def a_later_flag_turns_busy_waiting_on(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["flags"] += ["-sbwt", "long"]


@breaks("RMQ-03")
def the_flags_for_busy_waiting_are_not_given(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["flags"] = ["-S", "4:4", "-A", "128"]


@breaks("RMQ-04")
def the_watermark_is_the_default(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["memory_watermark"] = 0.4


@breaks("RMQ-04")
def the_watermark_is_absolute(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["memory_watermark"] = "{absolute,2000000000}"


@breaks("RMQ-05")
def the_disk_limit_is_the_ram(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["disk_free_limit"] = RAM


@breaks("RMQ-05")
def the_volume_is_smaller_than_the_limit(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["volume_kib"] = 40_000


@breaks("RMQ-06")
def the_volume_is_full(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["alarms"] = [{"what": "disk", "where": node["name"]}]


@breaks("RMQ-06")
def a_publisher_is_blocked(cloud: RecordedCloud) -> None:
    with value(cloud, TRAFFIC) as traffic:
        traffic["clients"][0]["state"] = "blocked"


@breaks("RMQ-06")
def memory_is_short(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["alarms"] = [{"what": "memory", "where": node["name"]}]


@breaks("RMQ-07")
def a_category_is_logged_in_detail(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        log = next(log for log in node["logs"] if log["categories"])
        log["level"] = "debug"
        next(category for category in log["categories"] if category[0] == "connection")[1] = "info"


@breaks("RMQ-08")
def the_interval_is_the_default(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["collect_statistics_interval"] = 5000


@breaks("RMQ-09")
def a_key_of_an_older_format_is_configured(cloud: RecordedCloud) -> None:
    configure(cloud, "loopback_users.guest", "queue_index_max_journal_entries = 8192\nloopback_users.guest")


@breaks("RMQ-10")
def a_setting_waits_for_a_restart(cloud: RecordedCloud) -> None:
    configure(cloud, "cluster_partition_handling = autoheal", "cluster_partition_handling = pause_minority")


@breaks("RMQ-10")
def a_restart_would_undo_the_disk_limit(cloud: RecordedCloud) -> None:
    old, new = "disk_free_limit.absolute = 50MB", "disk_free_limit.relative = 1.0"
    configure(cloud, old, new)
    with value(cloud, NODE) as node:
        file = next(file for file in node["settings"] if file["path"].endswith("rabbitmq.conf"))
        file["text"] = file["text"].replace(old, new)


@breaks("RMQ-11")
def the_administrator_has_no_permission(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        next(user for user in node["administrators"] if user["user"] != "guest")["root"] = []


@breaks("RMQ-11")
def the_administrator_may_not_write(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        next(user for user in node["administrators"] if user["user"] != "guest")["root"] = [[".*", "", ".*"]]


@breaks("RMQ-12")
def a_service_declares_a_durable_queue(cloud: RecordedCloud) -> None:
    with value(cloud, QUEUES) as known:
        next(queue for queue in known["queues"] if queue["vhost"] != "/")["kind"] = "durable"


@breaks("RMQ-13")
def a_client_has_no_heartbeat(cloud: RecordedCloud) -> None:
    with value(cloud, TRAFFIC) as traffic:
        traffic["clients"][0]["timeout"] = 0


@breaks("RMQ-14")
def a_client_has_an_address_that_nobody_has(cloud: RecordedCloud) -> None:
    with value(cloud, TRAFFIC) as traffic:
        traffic["clients"][0]["peer_host"] = "::ffff:192.0.2.7"


@breaks("RMQ-14")
def a_client_misses_its_heartbeats(cloud: RecordedCloud) -> None:
    with value(cloud, TRAFFIC) as traffic:
        traffic["clients"][0]["silent_ms"] = (traffic["clients"][0]["timeout"] * 2 + 1) * 1000


@breaks("RMQ-15")
def nobody_consumes_a_queue(cloud: RecordedCloud) -> None:
    with value(cloud, TRAFFIC) as traffic:
        traffic["held"][0].update(consumers=0, ready=12, held_s=600)


@breaks("RMQ-15")
def a_queue_is_led_by_a_node_that_is_gone(cloud: RecordedCloud) -> None:
    with value(cloud, QUEUES) as known:
        known["queues"][0]["leader"] = "rabbit@rabbitmq-rabbitmq-7.rabbitmq.openstack.svc.cluster.local"


@breaks("RMQ-16")
def the_cluster_is_parted(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        other = node["name"].replace("rabbitmq-0", "rabbitmq-1")
        node["members"].append(other)
        node["partitions"].append(other)


@breaks("RMQ-16")
def a_member_is_down(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["members"].append(node["name"].replace("rabbitmq-0", "rabbitmq-1"))


@breaks("RMQ-17")
def a_consumer_does_not_keep_up(cloud: RecordedCloud) -> None:
    with value(cloud, TRAFFIC) as traffic:
        next(queue for queue in traffic["held"] if queue["consumers"])["ready"] = 123_456


@breaks("RMQ-17")
def descriptors_run_short(cloud: RecordedCloud) -> None:
    with value(cloud, NODE) as node:
        node["descriptors"]["open"] = node["descriptors"]["most"] - 100


@breaks("RMQ-18")
def the_data_is_on_ceph(cloud: RecordedCloud) -> None:
    with cloud.json(VOLUMES) as volumes:
        held = next(item for item in volumes["items"] if "rabbitmq-data" in str(item["spec"].get("claimRef")))
        del held["spec"]["local"]
        held["spec"]["csi"] = {"driver": "rook-ceph.rbd.csi.ceph.com", "volumeHandle": "0001"}
