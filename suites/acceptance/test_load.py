"""Many things at once, as a busy day brings them."""

import pytest

pytestmark = pytest.mark.openstack


@pytest.mark.invariant(id="LOAD-05", severity="critical", source="um-cloud-8", explained_by="RMQ-06 DB-01 MC-04 OS-04")
def test_servers_created_at_once_are_all_active_in_time(servers_at_once):
    """A control plane that bears one server and not forty fails on the first day that somebody needs it.

    Remedy: start with the slowest state of `servers-at-once.txt` beside the run's ledger. Late before `scheduled`: the
    broker and nova-conductor (RMQ); before `spawned`: neutron and the computes. A fault names its request, whose
    log lines stand under the server.
    """
    offending = servers_at_once.offending
    assert offending == []


@pytest.mark.invariant(
    id="LOAD-11", severity="critical", source="thousand-nodes", explained_by="RMQ-06 DB-01 DB-05 MC-04"
)
def test_networks_ports_volumes_and_key_pairs_are_created_in_parallel(parallel_creates):
    """A database error under parallel writes is an object that a tenant has to clean up, and a quota that is off.

    Remedy: `wsrep_retry_autocommit` and one writing Galera node for all services (DB); look at the log line that is
    named (manual).
    """
    offending = parallel_creates.offending
    assert offending == []
