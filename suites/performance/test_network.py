"""The network between the nodes carries what the cloud needs of it."""

import pytest

pytestmark = pytest.mark.nodes


@pytest.mark.invariant(id="LOAD-13", severity="normal", source="operators", explained_by="NODE-01 NODE-07 NODE-05")
def test_the_network_between_nodes_carries_its_rate_without_loss_at_its_mtu(network_load):
    """A link that loses packets, or drops the large ones only, is an outage that every health check sleeps through.

    Remedy: a node that is in both of its pairs first: its link, its switch port, its bond, its CPU (NODE-05). Packets
    of full size that do not arrive: the same MTU on the node, on every switch between, and in the CNI's settings, which
    must leave room for its own headers (manual).
    """
    offending = network_load.over_budget
    assert offending == []
