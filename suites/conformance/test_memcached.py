"""The services' cache is there, answers at once, and survives the loss of a node."""

import pytest

pytestmark = pytest.mark.memcached


@pytest.mark.invariant(
    id="MC-01",
    severity="critical",
    source="um-cloud-4 um-cloud-7 um-cloud-11",
    explained_by="MC-04 IMG-02 NODE-01 NODE-06",
)
def test_enough_replicas_are_ready(memcached, profile):
    """Without its cache Keystone validates each token in the database: the APIs slow down until they answer 504.

    Remedy: in the Helm values of memcached `pod.replicas.server: 2`; at once `kubectl scale statefulset
    memcached-memcached --replicas=2` (a Deployment in the wallaby era), which the next upgrade undoes (safe).
    """
    few = [workload for workload in memcached.workloads if workload.ready < profile.memcached.replicas]
    assert few == []


@pytest.mark.invariant(id="MC-02", severity="normal", source="um-cloud-4")
def test_replicas_are_on_distinct_nodes(memcached):
    """Replicas that share a node are lost with it together.

    Remedy: `kubectl delete pod` of one of them so that it moves (disruptive: its keys are lost), and in the Helm values
    `pod.affinity.anti.type.default: requiredDuringSchedulingIgnoredDuringExecution`.
    """
    crowded = list(memcached.crowds)
    assert crowded == []


@pytest.mark.invariant(id="MC-03", severity="normal", source="um-cloud-4")
def test_no_replica_is_beside_a_mon_or_short_of_disk(memcached, profile):
    """Where a mon fills its node's disk, the kubelet evicts the cache first, and every API feels it.

    Remedy: keep it off such nodes by a node selector in the Helm values (`labels.server.node_selector_key`), and
    `kubectl delete pod` so that it moves (disruptive: its keys are lost).
    """
    burdened = [node for node in memcached.seats if node.burden(profile.memcached.node_disk_used_max)]
    assert burdened == []


@pytest.mark.invariant(id="MC-04", severity="critical", source="um-cloud-4", explained_by="NODE-01 NODE-06 NODE-07")
def test_every_replica_stores_a_value_and_gives_it_back(memcached):
    """A replica that refuses connections makes each client wait and try anew: Keystone's answers become 504s.

    Remedy: `kubectl delete pod POD` (disruptive: its keys are lost); at its connection limit, raise
    `conf.memcached.max_connections` in the Helm values.
    """
    refusing = [replica for replica in memcached.replicas if replica.silence]
    assert refusing == []


@pytest.mark.invariant(
    id="MC-05", severity="normal", source="um-cloud-4", explained_by="MC-04 MC-01 NODE-05 NODE-07 NODE-06 NODE-01"
)
def test_the_round_trip_from_nova_api_is_short(memcached, profile):
    """Each API request asks the cache several times, so that its latency is paid several times over.

    Remedy: look at the load of the nodes between (NODE-05) and at their network.
    """
    slow = [
        trip for trip in memcached.round_trips if trip.silence or trip.milliseconds > profile.memcached.round_trip_ms
    ]
    assert slow == []


@pytest.mark.invariant(id="MC-06", severity="minor", source="own")
def test_every_service_names_all_replicas(memcached):
    """Behind one Service with client affinity each replica holds other keys: an invalidated token lives on in one.

    Remedy: name each replica in the Helm values, `conf.SERVICE.keystone_authtoken.memcached_servers` and
    `conf.SERVICE.cache.memcache_servers`, as memcached-memcached-0.memcached...:11211 and so on (by hand).
    """
    partial = [service for service in memcached.wiring if service.reached < service.replicas]
    assert partial == []


@pytest.mark.invariant(id="MC-07", severity="minor", source="own")
def test_few_items_are_evicted(memcached, profile):
    """A cache that throws items out before their time is too small, and its services do their work twice.

    Remedy: raise `conf.memcached.memory` in the Helm values (disruptive: the replicas restart and are empty).
    """
    crammed = [replica for replica in memcached.evictions if replica.per_s > profile.memcached.evictions_per_s_max]
    assert crammed == []
