"""RabbitMQ carries every call between OpenStack's services without holding anybody back."""

import pytest

pytestmark = pytest.mark.rabbitmq


@pytest.mark.invariant(id="RMQ-01", severity="normal", source="um-cloud-3 um-cloud-11")
def test_every_broker_has_its_schedulers_online(rabbitmq, profile):
    """A broker with one scheduler handles one message at a time, however many cores its node has.

    Remedy: set `SERVER_ADDITIONAL_ERL_ARGS` of `rabbitmq-env.conf` in ConfigMap rabbitmq-rabbitmq-etc to
    `+S 4:4 +A 128 +K true +sbwt none +sbwtdcpu none +sbwtdio none`, in the Helm values too, and restart one pod after
    the other (disruptive: its clients connect anew). openstack-helm derives `+S 1:1` from a CPU limit below one core.
    """
    odd = [reading for reading in rabbitmq.schedulers if reading.value != profile.rabbitmq.schedulers_online]
    assert odd == []


@pytest.mark.invariant(id="RMQ-02", severity="normal", source="um-cloud-3 um-cloud-11")
def test_every_broker_has_its_pool_of_async_threads(rabbitmq, profile):
    """Too small a pool makes file operations of durable queues wait for each other.

    Remedy: `+A 128` in `SERVER_ADDITIONAL_ERL_ARGS` of `rabbitmq-env.conf`, as in RMQ-01 (disruptive).
    """
    odd = [reading for reading in rabbitmq.async_threads if reading.value != profile.rabbitmq.async_threads]
    assert odd == []


@pytest.mark.invariant(id="RMQ-03", severity="normal", source="um-cloud-3")
def test_no_broker_waits_busily(rabbitmq):
    """A virtual machine whose idle schedulers spin takes the CPU that the node's other services need.

    Remedy: `+sbwt none +sbwtdcpu none +sbwtdio none` in `SERVER_ADDITIONAL_ERL_ARGS` of `rabbitmq-env.conf`, as in
    RMQ-01 (disruptive).
    """
    spinning = [reading for reading in rabbitmq.busy_waits if reading.value != "none"]
    assert spinning == []


@pytest.mark.invariant(id="RMQ-04", severity="normal", source="um-cloud-3")
def test_every_broker_uses_its_share_of_memory_before_it_blocks(rabbitmq, profile):
    """A lower watermark blocks every publisher while memory is still free; a higher one risks the OOM killer.

    Remedy: `rabbitmqctl set_vm_memory_high_watermark 0.6` in each pod (safe), and
    `vm_memory_high_watermark.relative = 0.6` in ConfigMap rabbitmq-rabbitmq-etc, so that the next restart keeps it.
    """
    odd = [mark for mark in rabbitmq.memory_watermarks if mark.value != profile.rabbitmq.vm_memory_high_watermark]
    assert odd == []


@pytest.mark.invariant(id="RMQ-05", severity="critical", source="um-cloud-3")
def test_every_disk_limit_is_the_agreed_one_and_can_be_met(rabbitmq, profile):
    """A limit that the volume can never meet, such as the node's RAM, raises the disk alarm for good.

    Remedy: `rabbitmqctl set_disk_free_limit 50MB` in each pod (safe), and `disk_free_limit.absolute = 50MB` in the
    place of `disk_free_limit.relative` in ConfigMap rabbitmq-rabbitmq-etc, so that the next restart keeps it.
    """
    agreed = profile.rabbitmq.disk_free_limit_bytes
    odd = [limit for limit in rabbitmq.disk_limits if limit.limit != agreed or not limit.attainable]
    assert odd == []


@pytest.mark.invariant(id="RMQ-06", severity="blocker", source="um-cloud-3", explained_by="RMQ-05 RMQ-04")
def test_no_alarm_blocks_publishers(rabbitmq):
    """An alarm blocks everybody who publishes: every compute goes down, lists take minutes, the APIs answer 504.

    Remedy: `rabbitmqctl set_disk_free_limit 50MB` if the limit is what is wrong (safe), otherwise make room on the
    volume; for memory, find the queue that grows (`rabbitmqctl list_queues -p VHOST name messages memory`).
    """
    blocking = [*rabbitmq.alarms, *rabbitmq.blocked_clients]
    assert blocking == []


@pytest.mark.invariant(id="RMQ-07", severity="minor", source="um-cloud-3")
def test_brokers_log_from_the_agreed_level_on(rabbitmq, profile):
    """At lower levels each connection of each service writes lines, which hide the warnings and fill the disk.

    Remedy: `rabbitmqctl set_log_level warning` in each pod (safe), and `log.console.level = warning` in ConfigMap
    rabbitmq-rabbitmq-etc, so that the next restart keeps it.
    """
    odd = [level for level in rabbitmq.log_levels if level.value not in {profile.rabbitmq.log_level, "none"}]
    assert odd == []


@pytest.mark.invariant(id="RMQ-08", severity="minor", source="um-cloud-3")
def test_brokers_collect_statistics_at_the_agreed_interval(rabbitmq, profile):
    """Every queue, channel and connection emits its statistics each interval, which costs a large cloud whole cores.

    Remedy: `collect_statistics_interval = 30000` in ConfigMap rabbitmq-rabbitmq-etc and a rolling restart
    (disruptive: clients connect anew).
    """
    agreed = profile.rabbitmq.collect_statistics_interval_ms
    odd = [interval for interval in rabbitmq.statistics_intervals if interval.value != agreed]
    assert odd == []


@pytest.mark.invariant(id="RMQ-09", severity="critical", source="um-cloud-3")
def test_every_configured_key_is_known_to_the_running_version(rabbitmq):
    """A broker refuses to start on a key that it does not know: the next restart of the pod is its last.

    Remedy: remove the key from ConfigMap rabbitmq-rabbitmq-etc and from the Helm values (safe until a restart).
    """
    unknown = [key for key in rabbitmq.keys if not key.known]
    assert unknown == []


@pytest.mark.invariant(id="RMQ-10", severity="normal", source="own")
def test_no_broker_owes_a_restart(rabbitmq, profile):
    """A setting that waits for a restart, or that a restart undoes, changes the broker when nobody expects it.

    Remedy: restart one pod after the other if the ConfigMap is right (disruptive: clients connect anew); correct the
    ConfigMap and the Helm values if what runs is right. What runs and is wrong itself, RMQ-04 and RMQ-05 name.
    """
    agreed = {profile.rabbitmq.vm_memory_high_watermark, profile.rabbitmq.disk_free_limit_bytes}
    lost = [setting for setting in rabbitmq.overridden if setting.amount in agreed]
    pending = [*rabbitmq.restarts_owed, *lost]
    assert pending == []


@pytest.mark.invariant(id="RMQ-11", severity="normal", source="um-cloud-3")
def test_the_administrator_may_do_everything_on_the_root_vhost(rabbitmq):
    """Without it, the jobs that create users and vhosts for services fail, and so does the next upgrade.

    Remedy: `rabbitmqctl set_permissions -p / USER '.*' '.*' '.*'` (safe).
    """
    restricted = [grant for grant in rabbitmq.administrators if not grant.full]
    assert restricted == []


@pytest.mark.invariant(id="RMQ-12", severity="normal", source="um-cloud-8")
def test_openstack_declares_only_queues_of_the_agreed_kind(rabbitmq, profile):
    """Durable classic queues write every message to disk, and a service that declares another kind is refused.

    Remedy: set `amqp_durable_queues` (or `rabbit_quorum_queue`) alike in every service, stop the services of the vhost,
    delete its queues, start them again (manual: calls in flight are lost).
    """
    odd = [queue for queue in rabbitmq.openstack_queues if queue.kind not in profile.rabbitmq.queue_kinds]
    assert odd == []


@pytest.mark.invariant(id="RMQ-13", severity="normal", source="operators")
def test_every_connection_has_a_heartbeat(rabbitmq):
    """Without a heartbeat neither side notices that the other is gone: calls hang until TCP gives up.

    Remedy: set `heartbeat_timeout_threshold` in the service's `[oslo_messaging_rabbit]` and restart it (manual).
    """
    heartless = [client for client in rabbitmq.clients if not client.heartbeat]
    assert heartless == []


@pytest.mark.invariant(id="RMQ-14", severity="minor", source="operators", explained_by="NODE-01")
def test_no_connection_is_stale(rabbitmq, profile):
    """A connection whose peer is gone keeps its consumers: messages are delivered to nobody.

    Remedy: `rabbitmqctl list_connections pid peer_host peer_port`, then `rabbitmqctl close_connection PID stale`
    (safe: a living client connects anew).
    """
    stale = [client for client in rabbitmq.clients if client.stale(profile.rabbitmq.idle_heartbeats)]
    assert stale == []


@pytest.mark.invariant(id="RMQ-15", severity="normal", source="operators", explained_by="RMQ-16")
def test_no_queue_is_orphaned(rabbitmq, profile):
    """Messages that nobody consumes fill memory and disk; a queue without a leader answers nobody.

    Remedy: `rabbitmqctl delete_queue -p VHOST NAME --if-unused --if-empty` for what is empty and unused (safe); start
    the consumer of the others, or purge them (manual: the messages are lost).
    """
    orphaned = [queue for queue in rabbitmq.queues if queue.orphaned(profile.rabbitmq.orphan_grace_s)]
    orphaned += rabbitmq.leaderless_queues
    assert orphaned == []


@pytest.mark.invariant(id="RMQ-16", severity="blocker", source="operators", explained_by="NODE-01")
def test_the_brokers_are_one_cluster_of_one_version(rabbitmq):
    """Parted brokers keep a truth each: a call published on one side waits for a consumer on the other.

    Remedy: restart the pods of the smaller side, one after the other (manual: what they hold is lost); finish the
    upgrade where versions differ.
    """
    divided = rabbitmq.divisions
    assert list(divided) == []


@pytest.mark.invariant(id="RMQ-17", severity="normal", source="own", explained_by="RMQ-15 RMQ-06")
def test_queues_and_descriptors_are_within_their_limits(rabbitmq, profile):
    """A backlog means calls that time out before they are read; without descriptors nobody can connect.

    Remedy: find who should consume the queue and why it does not; raise the limit of open files of the container.
    """
    limits = profile.rabbitmq
    full = [queue for queue in rabbitmq.queues if queue.backlog > limits.backlog_max]
    full += [queue for queue in rabbitmq.queues if queue.unacknowledged > limits.unacknowledged_max]
    full += [share for share in rabbitmq.usages if share.fraction >= limits.descriptors_used_max]
    assert full == []


@pytest.mark.invariant(id="RMQ-18", severity="minor", source="um-cloud-10")
def test_no_broker_keeps_its_data_on_storage_that_it_must_survive(rabbitmq, profile):
    """When the shared storage stalls, a broker on it stalls with it, and takes every service along.

    Remedy: move the StatefulSet to a StorageClass of local volumes, one pod after the other (manual: a new volume
    starts empty, and gets its data from the rest of the cluster).
    """
    shared = [volume for volume in rabbitmq.data_volumes if volume.on(profile.rabbitmq.shared_storage_classes)]
    assert shared == []
