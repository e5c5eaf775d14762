"""What mends the monitoring: values that restart it, for a person to choose the hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.risk import Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.prometheus import Prometheus
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change

_UPGRADE = "helm upgrade prometheus CHART -n monitoring --reuse-values"


@remedy("PROM-01", Risk.MANUAL)
def keep_the_agreed_days(prometheus: Prometheus, profile: Profile) -> Iterator[Change]:
    """Sets the retention: Prometheus restarts, and replays its log."""
    kept, demands = prometheus.retention, profile.prometheus
    if abs(kept.days - demands.retention_days) > demands.retention_tolerance_days:
        yield ByHand(
            offender=str(kept),
            run=(f"{_UPGRADE} --set server.retention={demands.retention_days:g}d",),
            back=("helm rollback prometheus -n monitoring",),
        )


@remedy("PROM-04", Risk.MANUAL)
def write_to_long_term_storage(prometheus: Prometheus, profile: Profile) -> Iterator[Change]:
    """Names a receiver, where there is none; where one fails, its own log says why."""
    for gap in prometheus.long_term_gap if profile.prometheus.long_term else ():
        yield ByHand(
            offender=str(gap),
            run=(f"{_UPGRADE} --set 'server.remoteWrite[0].url=https://RECEIVER/api/v1/write'",),
            back=("helm rollback prometheus -n monitoring",),
        )
