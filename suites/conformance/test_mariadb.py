"""The database is one whole cluster with room to work."""

import pytest

pytestmark = pytest.mark.mariadb


@pytest.mark.invariant(id="DB-01", severity="blocker", source="own", explained_by="NODE-01 NODE-06 NODE-07")
def test_every_galera_member_serves_in_the_whole_cluster(mariadb):
    """A member outside the primary component refuses every query, and with each one lost the quorum comes nearer.

    Remedy: look at the member's log; `kubectl delete pod mariadb-server-N` makes it join anew (disruptive: a state
    transfer loads another member). Where no member is Primary, start with the one whose grastate.dat has the highest
    seqno.
    """
    apart = list(mariadb.apart)
    assert apart == []


@pytest.mark.invariant(id="DB-02", severity="normal", source="um-cloud-12")
def test_every_database_pod_requests_what_it_needs(mariadb, profile):
    """A pod that requests nothing is the first to be evicted or killed when its node runs short, a database included.

    Remedy: in the Helm values of mariadb `pod.resources.enabled: true` and `pod.resources.server.requests` (cpu 500m,
    memory 1Gi), or `kubectl set resources statefulset mariadb-server` until the next upgrade (disruptive: the members
    restart one after another).
    """
    wanted = profile.mariadb.cpu_request, profile.mariadb.memory_request
    thin = [pod for pod in mariadb.footings if pod.thin(*wanted)]
    assert thin == []


@pytest.mark.invariant(id="DB-03", severity="normal", source="thousand-nodes")
def test_transactions_rarely_lose_against_those_of_other_members(mariadb, profile):
    """Services that write the same rows through several members get deadlocks, and not all of them try again.

    Remedy: send all writers to one member (the Service `mariadb` through mariadb-controller or the ingress).
    """
    conflicting = [
        member
        for member in mariadb.conflicts
        if member.certification_failures_per_s > profile.mariadb.certification_failures_per_s_max
        or member.brute_force_aborts_per_s > profile.mariadb.brute_force_aborts_per_s_max
    ]
    assert conflicting == []


@pytest.mark.invariant(id="DB-04", severity="normal", source="own", explained_by="NODE-05")
def test_replication_is_hardly_paused(mariadb, profile):
    """Flow control stops the writers of all members until the slowest has caught up.

    Remedy: find the member with the longest `wsrep_local_recv_queue`, and look at its disk and CPU.
    """
    paused = [member for member in mariadb.flow_control if member.paused >= profile.mariadb.flow_control_paused_max]
    assert paused == []


@pytest.mark.invariant(id="DB-05", severity="normal", source="thousand-nodes", explained_by="DB-01 DB-03 DB-06 NODE-07")
def test_no_database_error_reaches_a_service(mariadb, profile):
    """A DBDeadlock or DBError in a service's log is a request that failed, or a state that was not written.

    Remedy: as for DB-03; a service that names other errors needs its own look (`kubectl logs`).
    """
    failing = mariadb.errors_in(profile.window_s)
    assert failing == []


@pytest.mark.invariant(id="DB-06", severity="normal", source="own")
def test_connections_are_to_spare(mariadb, profile):
    """At max_connections the database turns every further request of every service away.

    Remedy: look for a service with too many workers (`show processlist`); raise `max_connections` in the Helm values
    `conf.database.base_conf` (disruptive: the members restart one after another).
    """
    full = [member for member in mariadb.connections if member.used >= profile.mariadb.connections_used_max]
    assert full == []
