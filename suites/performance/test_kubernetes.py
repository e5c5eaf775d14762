"""Kubernetes gives pods their nodes fast, and the right ones."""

import pytest

pytestmark = pytest.mark.kubernetes


@pytest.mark.invariant(
    id="LOAD-09", severity="normal", source="thousand-nodes", explained_by="K8S-01 K8S-02 K8S-03 K8S-04 K8S-09 K8S-12"
)
def test_pods_are_scheduled_within_budget(scheduling_load):
    """While a pod waits for its node nothing else helps: after the loss of a node, all of its pods wait for each other.

    Remedy: the API server that the scheduler asks (K8S-02, K8S-04), etcd under it (K8S-12), and who else loads them;
    then the scheduler's own `--kube-api-qps`. Slow only where pods must be apart: anti-affinity that is not required,
    or topology spread, in its place (manual).
    """
    slow = scheduling_load.over_budget
    assert slow == []


@pytest.mark.invariant(id="LOAD-17", severity="critical", source="thousand-nodes", explained_by="K8S-04 K8S-03")
def test_pods_that_come_all_at_once_are_kept_apart(scheduling_rush):
    """A scheduler whose own requests are answered 429 works with what it knew before: replicas that must be apart came
    to share a node, and are lost together with it.

    Remedy: no second scheduler of the same name, and none that is behind: find who makes the API server answer 429
    (K8S-04), and see to K8S-03; then restart the scheduler, which makes it read everything anew (disruptive: pods wait
    for its lease).
    """
    together = scheduling_rush.together
    assert together == ()
