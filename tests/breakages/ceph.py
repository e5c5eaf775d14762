"""Breakages of Ceph."""

from breakage import RecordedCloud, breaks
from seatrial.fixtures.ceph import POOLS


@breaks("CEPH-01")
def a_pool_has_one_copy(cloud: RecordedCloud) -> None:
    with cloud.json(POOLS) as pools:
        next(pool for pool in pools if pool["type"] == 1)["size"] = 1
