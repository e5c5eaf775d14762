"""Every service does for a tenant what it is there for."""

import pytest

pytestmark = pytest.mark.openstack


@pytest.mark.invariant(id="ACC-01", severity="critical", source="own", explained_by="DB-01 MC-04")
def test_a_tenant_creates_and_deletes_an_application_credential(tenant):
    """Automation that cannot get credentials of its own runs with somebody's password.

    Remedy: the log lines of the request that is named, in keystone-api (manual).
    """
    failed = tenant.credentials()
    assert failed == []


@pytest.mark.invariant(id="ACC-02", severity="critical", source="own", explained_by="DB-01 MC-04")
def test_a_tenant_uploads_and_deletes_an_image(tenant):
    """Without images no server starts; an upload that fails is often the store behind glance.

    Remedy: the log lines of the request that is named, in glance-api; then its store (CEPH) (manual).
    """
    failed = tenant.images()
    assert failed == []


@pytest.mark.invariant(id="ACC-03", severity="critical", source="own", explained_by="DB-01 MC-04")
def test_a_tenant_creates_and_deletes_a_network_with_a_port(tenant):
    """Without networks and ports no server starts.

    Remedy: the log lines of the request that is named, in neutron-server (manual).
    """
    failed = tenant.networks()
    assert failed == []


@pytest.mark.invariant(id="ACC-04", severity="critical", source="own", explained_by="DB-01 MC-04")
def test_a_tenant_creates_and_deletes_a_key_pair(tenant):
    """Key pairs are nova's API and database alone: where they fail, all of nova does.

    Remedy: the log lines of the request that is named, in nova-api-osapi (manual).
    """
    failed = tenant.key_pairs()
    assert failed == []


@pytest.mark.invariant(id="ACC-05", severity="blocker", source="own", explained_by="RMQ-06 DB-01 MC-04 OS-04")
def test_a_tenant_creates_and_deletes_a_server(tenant):
    """A cloud that starts no server is down, whatever its dashboards say.

    Remedy: the fault that is named, and the log lines of its request, in nova-scheduler, nova-conductor and
    nova-compute (manual).
    """
    failed = tenant.servers()
    assert failed == []


@pytest.mark.invariant(id="ACC-06", severity="critical", source="own", explained_by="RMQ-06 DB-01 MC-04 OS-04")
def test_a_tenant_creates_and_deletes_a_volume(tenant):
    """Data that outlives a server needs volumes.

    Remedy: the log lines of the request that is named, in cinder-scheduler and cinder-volume; then its store (CEPH)
    (manual).
    """
    failed = tenant.volumes()
    assert failed == []


@pytest.mark.invariant(
    id="ACC-07", severity="critical", source="own", explained_by="RMQ-06 DB-01 MC-04 OS-04 ACC-05 ACC-06"
)
def test_a_tenant_attaches_and_detaches_a_volume(tenant):
    """An attachment needs nova, cinder and the store to agree; one that hangs keeps its volume from everybody.

    Remedy: the log lines of the request that is named, in nova-compute and cinder-volume (manual).
    """
    failed = tenant.attachments()
    assert failed == []
