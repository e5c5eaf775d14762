"""Ironic looks after all its nodes in time."""

import pytest

pytestmark = pytest.mark.ironic


@pytest.mark.invariant(
    id="LOAD-15", severity="minor", source="understack", explained_by="IRON-05 IRON-01 DB-01 RMQ-06 NODE-05"
)
def test_power_states_of_all_nodes_are_synced_fast(power_rounds, profile):
    """Slow BMCs, or too few workers, hold nodes locked while their power state is asked for.

    Remedy: raise `[conductor] sync_power_state_workers`, then look at the BMCs of that conductor's nodes; more
    conductors share them out (disruptive: the conductors restart).
    """
    slow = [one for one in power_rounds if one.s_per_node > profile.ironic.power_sync_s_per_node]
    assert slow == []
