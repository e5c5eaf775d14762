"""Servers leave a host without those who use them noticing."""

import pytest

pytestmark = pytest.mark.openstack


@pytest.mark.invariant(
    id="LOAD-14", severity="normal", source="thousand-nodes operators", explained_by="OS-04 RMQ-06 DB-01 LOAD-13"
)
def test_servers_migrate_live_to_another_host_in_time(live_migrations):
    """A host that cannot be emptied cannot be patched, and its next failure takes its servers with it.

    Remedy: what the step says that is named: no valid host, as far as its filter or its capacity goes; a CPU model that
    all hosts have; shared storage, or room for a block migration; certificates and ports of libvirt between the hosts.
    Slow: the network between them (LOAD-13), then `live_migration_timeout_action` and post-copy (manual).
    """
    late = live_migrations.over_budget
    assert late == []


@pytest.mark.invariant(
    id="LOAD-16", severity="normal", source="thousand-nodes operators", explained_by="LOAD-14 LOAD-13"
)
def test_servers_answer_again_at_once_while_they_migrate(watched_migrations):
    """What a tenant notices of a migration is the time for which the server does not answer.

    Remedy: `[libvirt] live_migration_downtime`; where a server is away much longer than that, its network: the port is
    bound on the new host too late, or nobody announces where its address is now (manual).
    """
    away = watched_migrations.away_too_long
    assert away == []
