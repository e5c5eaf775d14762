"""Ceph keeps its data through the loss of a disk, a host or a monitor."""

import pytest

pytestmark = pytest.mark.ceph


@pytest.mark.invariant(id="CEPH-01", severity="critical", source="um-cloud-1 um-cloud-11")
def test_every_pool_keeps_a_second_copy(ceph, profile):
    """A pool with one copy loses data with its first failed disk.

    Remedy: check that raw space allows it, then `ceph osd pool set POOL size 2`.
    """
    thin = [pool for pool in ceph.pools if pool.replicated and pool.size < profile.ceph.pool_size]
    assert thin == []
