"""Ceph writes and reads as fast as its disks and its network allow."""

import pytest

pytestmark = pytest.mark.ceph


@pytest.mark.invariant(id="LOAD-12", severity="normal", source="um-cloud-1", explained_by="CEPH-06 CEPH-07 CEPH-14")
def test_ceph_writes_reads_and_commits_within_budget(rados_load):
    """Every disk of every server waits for this, and so do databases and brokers whose volumes stand here.

    Remedy: the OSD that commits late first: its disk, then its host (NODE); all of them alike: the network, or a
    backfill that is going on (CEPH) (manual).
    """
    slow = rados_load.over_budget
    assert slow == []
