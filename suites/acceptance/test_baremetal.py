"""Ironic takes a node in and lets it go."""

import pytest

pytestmark = pytest.mark.ironic


@pytest.mark.invariant(id="ACC-08", severity="critical", source="own", explained_by="IRON-01")
def test_an_operator_enrolls_and_deletes_a_node(tenant):
    """A cloud that takes in no nodes cannot grow, and cannot replace what breaks.

    Remedy: the log lines of the request that is named, in ironic-api and ironic-conductor (manual).
    """
    failed = tenant.nodes()
    assert failed == []
