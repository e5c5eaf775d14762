"""The nodes that carry the cloud are fit to do it."""

import pytest

pytestmark = pytest.mark.nodes


@pytest.mark.invariant(id="NODE-01", severity="critical", source="um-cloud-4 thousand-nodes")
def test_every_node_is_ready_and_under_no_pressure(nodes):
    """Pods on a node that is not ready are unreachable, and those on one under pressure are evicted.

    Remedy: look at the node's kubelet and disk; `kubectl describe node` names the condition.
    """
    unfit = [node for node in nodes.all if node.trouble]
    assert unfit == []
