"""The monitoring sees the control plane, and keeps what an investigation needs."""

import pytest

pytestmark = pytest.mark.prometheus


@pytest.mark.invariant(id="PROM-01", severity="normal", source="thousand-nodes")
def test_prometheus_keeps_its_days(prometheus, profile):
    """Too short a memory loses what an investigation needs; too long a one fills the disk and slows every query.

    Remedy: set `server.retention` (or `--storage.tsdb.retention.time`) and upgrade the release; Prometheus restarts
    and replays its log, for minutes if it is large. Older data goes to a long-term storage, not to a longer memory.
    """
    wanted, tolerance = profile.prometheus.retention_days, profile.prometheus.retention_tolerance_days
    odd = [kept for kept in [prometheus.retention] if abs(kept.days - wanted) > tolerance]
    assert odd == []


@pytest.mark.invariant(id="PROM-02", severity="normal", source="own", explained_by="NODE-01 K8S-06 RMQ-01 RMQ-06 OS-05")
def test_control_plane_targets_are_up(prometheus, profile):
    """What is not scraped is not alerted on, and the next incident leaves no trace.

    Remedy: the target's own error tells (connection refused: the process or its port; 401 or 403: the ServiceAccount's
    rights; x509: the scheme or the authority); see `kubectl logs` of the target's pod.
    """
    jobs = profile.prometheus.control_plane_jobs
    down = [target for target in prometheus.targets(jobs) if target.health == "down"]
    assert down == []


@pytest.mark.invariant(id="PROM-03", severity="minor", source="thousand-nodes", explained_by="PROM-02")
def test_the_window_is_kept_with_the_evidence(prometheus):
    """Without the window's metrics beside the verdict, deleting old data ends an investigation.

    Remedy: see why the query gives nothing (`api/v1/query`): a job that is not scraped, or a metric of another name;
    name one in the profile (`prometheus.window_queries`) that the cloud has.
    """
    lost = [query for query in prometheus.window if not query.points]
    assert lost == []


@pytest.mark.invariant(id="PROM-04", severity="normal", source="thousand-nodes")
def test_long_term_storage_receives_the_metrics(prometheus, profile):
    """What long-term storage does not receive is gone after the local days.

    Remedy: configure `remote_write` (in the chart: `server.remoteWrite`) where there is none; where it fails, see
    `prometheus_remote_storage_*` and the receiver. A queue that is far behind loses what the local log has dropped.
    """
    demands = profile.prometheus
    failing = [w for w in prometheus.remote_write if w.lost or w.behind > demands.remote_write_lag_s]
    lacking = [*(prometheus.long_term_gap if demands.long_term else ()), *failing]
    assert lacking == []
