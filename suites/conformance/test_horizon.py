"""The dashboard serves everybody at once, keeps them logged in, and runs with the settings that it was given."""

import pytest

pytestmark = pytest.mark.horizon


@pytest.mark.invariant(
    id="HZN-01", severity="normal", source="um-cloud-6 um-cloud-11 um-cloud-12", explained_by="HZN-02"
)
def test_horizon_serves_enough_requests_at_once(horizon, profile):
    """Each open page polls its rows: with too few threads the pages wait for each other until they answer 504.

    Remedy: in Secret `horizon-etc` the `WSGIDaemonProcess` line of `000-default.conf` (`horizon.conf` in today's
    chart), in the Helm values `conf.horizon.apache`, with more processes and threads; then `kubectl rollout restart
    deployment horizon` (disruptive: pages in progress are cut off). Each process takes some 150 MiB.
    """
    demanded = profile.horizon
    few = [
        server
        for server in [horizon.concurrency]
        if server.per_pod < demanded.requests_per_pod or server.total < demanded.requests_in_all
    ]
    assert few == []


@pytest.mark.invariant(id="HZN-02", severity="critical", source="um-cloud-6")
def test_apaches_site_starts_one_daemon_for_horizon(horizon):
    """Without its WSGIDaemonProcess line the next pod serves nothing, and the running ones hide it until they restart.

    Remedy: restore the file from a running pod (`kubectl exec` … `cat /etc/apache2/sites-enabled/000-default.conf`) or
    from the Helm values `conf.horizon.apache`; writing the Secret changes no running pod (safe).
    """
    odd = [site for site in [horizon.site] if site.daemons != 1]
    assert odd == []


@pytest.mark.invariant(id="HZN-03", severity="normal", source="um-cloud-6")
def test_the_readiness_probe_is_patient(horizon, profile):
    """A busy dashboard that misses an impatient probe leaves its Service, and the others drown in what it would serve.

    Remedy: in the Helm values `pod.probes.horizon.horizon.readiness.params` (`timeoutSeconds`, `initialDelaySeconds`),
    or `kubectl patch deployment horizon` until the next upgrade (disruptive: the pods are replaced).
    """
    hasty = [
        probe
        for probe in horizon.readiness
        if probe.timeout_s < profile.horizon.probe_timeout_s or probe.delay_s < profile.horizon.probe_delay_s
    ]
    assert hasty == []


@pytest.mark.invariant(id="HZN-04", severity="normal", source="um-cloud-12")
def test_sessions_survive_the_cache(horizon, profile):
    """Sessions that are kept in the cache alone end with an evicted key or a restarted memcached: users are logged out.

    Remedy: `SESSION_ENGINE` in `local_settings` of Secret `horizon-etc`, in the Helm values
    `conf.horizon.local_settings`, then `kubectl rollout restart deployment horizon` (disruptive: all log in again).
    """
    forgetful = [sessions for sessions in [horizon.sessions] if sessions.engine not in profile.horizon.session_engines]
    assert forgetful == []


@pytest.mark.invariant(id="HZN-05", severity="normal", source="um-cloud-12")
def test_every_horizon_pod_requests_what_it_needs(horizon, profile):
    """A dashboard that requests nothing shares its node with whatever is put there, and is the first to be evicted.

    Remedy: in the Helm values of horizon `pod.resources.enabled: true` and `pod.resources.server.requests` (cpu 100m,
    memory 512Mi), or `kubectl set resources deployment horizon` until the next upgrade (disruptive: the pods are
    replaced).
    """
    thin = [pod for pod in horizon.requests if pod.below(profile.horizon.cpu_request, profile.horizon.memory_request)]
    assert thin == []


@pytest.mark.invariant(id="HZN-06", severity="normal", source="own", explained_by="HZN-02")
def test_the_running_pods_use_the_secret_as_it_is_now(horizon):
    """A mounted file is never updated: what was written into the Secret since comes with the next restart, good or bad.

    Remedy: read the Secret first, then `kubectl rollout restart deployment horizon` (disruptive: pages in progress are
    cut off); `kubectl rollout resume` where the rollout was paused.
    """
    outdated = list(horizon.outdated)
    assert outdated == []
