"""What mends MariaDB: what its pods request. How its members agree is left to those who know their data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.mends.requests import requested
from seatrial.plugins.remediation.risk import PATCH_STATEFULSETS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.mariadb import MariaDB
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change


@remedy("DB-02", Risk.DISRUPTIVE, PATCH_STATEFULSETS)
def request_what_the_database_needs(
    source: Source, cluster: Cluster, mariadb: MariaDB, profile: Profile
) -> Iterator[Change]:
    """Sets the requests: the members restart one after another. Undo sets the old ones, with another restart."""
    wanted = profile.mariadb.cpu_request, profile.mariadb.memory_request
    thin = [footing for footing in mariadb.footings if footing.thin(*wanted)]
    workload = cluster.workload("StatefulSet", application="mariadb", component="server")
    if thin and workload is not None:
        yield requested(source, workload, "mariadb", wanted, str(thin[0]))
