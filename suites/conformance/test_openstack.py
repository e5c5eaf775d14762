"""OpenStack's control plane runs as it should: enough of it, apart, up, configured for its load, and protected."""

import pytest

pytestmark = pytest.mark.openstack


def replicas(id_, role):
    """One role that a profile counts, as an invariant of its own."""
    cause = "OS-05 OS-31 IMG-03 IMG-02 NODE-01 NODE-06 NODE-07 HELM-03 DB-01 RMQ-06 RMQ-16 MC-04"
    claim = pytest.mark.invariant(id=id_, severity="normal", source="um-cloud-7", explained_by=cause)
    return pytest.param(role, id=id_, marks=claim)


@pytest.mark.parametrize(
    "role",
    [
        replicas("OS-01", "nova-api-osapi"),
        replicas("OS-24", "nova-scheduler"),
        replicas("OS-25", "nova-conductor"),
        replicas("OS-26", "placement-api"),
        replicas("OS-27", "cinder-volume"),
        replicas("OS-28", "cinder-scheduler"),
    ],
)
def test_enough_replicas_are_wanted_and_ready(control_plane, role):
    """Too few replicas are the bottleneck when many servers are asked for at once, and nothing when their node is lost.

    Remedy: in the Helm values of the service `pod.replicas.ROLE` (of nova `osapi`, `scheduler`, `conductor`); at once
    `kubectl scale deployment NAME --replicas=N`, which the next upgrade undoes (safe). Memcached's replicas are MC-01.
    """
    short = control_plane.short(role)
    assert short == ()


@pytest.mark.invariant(id="OS-02", severity="normal", source="thousand-nodes understack", explained_by="NODE-01 K8S-08")
def test_replicas_of_a_role_are_on_distinct_nodes(control_plane):
    """Replicas that share a node are lost with it together, although other nodes were free.

    Remedy: in the Helm values `pod.affinity.anti.type.default: requiredDuringSchedulingIgnoredDuringExecution`, and
    `kubectl delete pod` of one of those that share (clients of that pod notice).
    """
    crowded = control_plane.crowds
    assert crowded == ()


@pytest.mark.invariant(id="OS-03", severity="normal", source="um-cloud-7 um-cloud-10")
def test_every_api_server_has_its_workers(service_settings, profile):
    """An API server with one worker makes everybody wait for the slowest request of all.

    Remedy: in the Helm values `conf.nova_api_uwsgi.uwsgi.processes`, likewise `conf.neutron_api_uwsgi` and
    `conf.cinder_api_uwsgi`; in charts of the wallaby era `conf.nova.DEFAULT.osapi_compute_workers` and
    `metadata_workers`, `conf.neutron.DEFAULT.api_workers`, `conf.cinder.DEFAULT.osapi_volume_workers`. Each upgrade
    rolls the pods.
    """
    idle = [server for server in service_settings.api_servers if server.workers < profile.openstack.api_workers]
    assert idle == []


@pytest.mark.invariant(id="OS-29", severity="normal", source="um-cloud-7 um-cloud-10")
def test_neutron_has_its_rpc_workers(service_settings, profile):
    """All agents wait for neutron's few RPC workers when many ports are made at once, until their calls time out.

    Remedy: in the Helm values of neutron `conf.neutron.DEFAULT.rpc_workers`. The upgrade rolls its pods.
    """
    narrow = [server for server in service_settings.rpc_servers if server.workers < profile.openstack.rpc_workers]
    assert narrow == []


@pytest.mark.invariant(
    id="OS-30",
    severity="normal",
    source="um-cloud-7",
    explained_by="OS-03 OS-01 OS-05 OS-31 IMG-03 NODE-01 NODE-06 NODE-07 HELM-03 DB-01 MC-04",
)
def test_the_apis_serve_the_expected_concurrency(service_settings, profile):
    """What all replicas together cannot serve at once waits in a queue, and its clients give up with a 504.

    Remedy: raise `pod.replicas` or the workers (OS-03) in the Helm values. The upgrade rolls the pods.
    """
    overrun = [
        server
        for server in service_settings.api_servers
        if server.serves_users and server.concurrency < profile.openstack.api_concurrency
    ]
    assert overrun == []


@pytest.mark.invariant(
    id="OS-05",
    severity="critical",
    source="um-cloud-10",
    explained_by="IMG-03 NODE-01 NODE-06 NODE-07 CEPH-12 DB-01 RMQ-06 RMQ-16 MC-04",
)
def test_no_pod_is_late_or_crashes_again_and_again(control_plane, profile):
    """A pod that does not come up serves nobody, and the next one that is lost is one too many.

    Remedy: `kubectl describe pod` tells what it waits for, `kubectl logs -p` why it ended.
    """
    late = [pod for pod in control_plane.late if pod.since_s > profile.pod_grace_s]
    assert late == []


@pytest.mark.invariant(
    id="OS-31",
    severity="normal",
    source="um-cloud-10",
    explained_by="OS-05 NODE-01 NODE-06 NODE-07 DB-01 RMQ-06 RMQ-16 MC-04",
)
def test_no_container_has_restarted_lately(control_plane):
    """What was under way in a container that ends is lost: a server that was being built goes to ERROR.

    Remedy: `kubectl logs -p POD` tells why it ended; OOMKilled asks for a larger memory limit, a failed liveness probe
    for a longer timeout. `kubectl delete pod` of one that is well again forgets the count (clients of it notice).
    """
    restarted = control_plane.restarts
    assert restarted == ()


@pytest.mark.invariant(
    id="OS-06",
    severity="critical",
    source="um-cloud-5 um-cloud-8",
    explained_by="RMQ-06 RMQ-16 RMQ-05 DB-01 MC-04 OS-04 OS-05 OS-31 NODE-01 NODE-06 NODE-07",
)
def test_no_service_logs_a_messaging_timeout(service_logs):
    """A call between services that nobody answers holds its caller for a minute, and fails the server it was made for.

    Remedy: look for the request's id in the logs of those that should have answered, then at the broker (RMQ-06,
    RMQ-15) and at whether the called service is up (OS-04).
    """
    unanswered = service_logs.messaging_timeouts
    assert unanswered == ()


@pytest.mark.invariant(
    id="OS-12", severity="normal", source="operators", explained_by="OS-11 OS-05 DB-01 NODE-01 NODE-06 NODE-07"
)
def test_upgrade_checks_succeed(upgrade_checks):
    """What a service's own upgrade check refuses breaks that service in the midst of the next upgrade.

    Remedy: the details name what to do, `nova-status upgrade check` (likewise of cinder, neutron, placement, keystone)
    in a pod tells them in full.
    """
    failing = upgrade_checks.failed
    assert failing == ()


@pytest.mark.invariant(id="OS-17", severity="normal", source="thousand-nodes")
def test_live_migration_goes_to_an_address_of_its_own(service_settings):
    """With the deprecated `live_migration_uri` each target's name must resolve, and migration takes whatever network
    that leads to.

    Remedy: in the Helm values of nova set `conf.libvirt.live_migration_interface`, from which each node's
    `live_migration_inbound_addr` is made, and take `conf.nova.libvirt.live_migration_uri` out. Its computes restart.
    """
    misled = [migration for migration in service_settings.migrations if migration.uri or not migration.inbound_address]
    assert misled == []


@pytest.mark.invariant(id="OS-18", severity="normal", source="operators")
def test_instances_live_on_ceph(service_settings):
    """An instance on its host's own disk is lost with the host, and must be copied whole to migrate.

    Remedy: in the Helm values of nova `conf.nova.libvirt.images_type: rbd`; instances that are there move only when
    they are rebuilt or migrated with their blocks.
    """
    local = [store for store in service_settings.instance_stores if store.images_type != "rbd"]
    assert local == []


@pytest.mark.invariant(id="OS-22", severity="normal", source="um-cloud-12")
def test_no_pod_of_the_control_plane_is_best_effort(control_plane):
    """When a node runs short of memory, BestEffort pods are evicted first; openstack-helm's default leaves all so.

    Remedy: in the Helm values `pod.resources.enabled: true` with requests for each component. Each upgrade rolls the
    pods.
    """
    expendable = control_plane.unrequested
    assert expendable == ()


@pytest.mark.invariant(id="OS-23", severity="minor", source="own")
def test_every_disruption_budget_protects_something(control_plane):
    """A budget that never refuses an eviction lets a drain take all replicas of a service at once.

    Remedy: in the Helm values `pod.lifecycle.disruption_budget.COMPONENT.min_available: 1`, with two replicas or more.
    """
    idle = control_plane.idle_budgets
    assert idle == ()
