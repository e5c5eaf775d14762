"""What is made of OpenStack's answers where one lab cannot show it: clouds in motion, and those who may not see all."""

from __future__ import annotations

import json

import pytest

from seatrial.fixtures import retry_after
from seatrial.fixtures.bundle import moment
from seatrial.fixtures.cluster import PODS
from seatrial.fixtures.openstack_catalogue import ENDPOINTS, TOKEN, Catalogue
from seatrial.fixtures.openstack_compute import SERVERS, SERVICES, Compute
from seatrial.fixtures.openstack_consistency import CHANGED, MIGRATIONS, PORTS, SOFT_DELETED, Consistency
from seatrial.fixtures.openstack_network import ADDRESSES, Network
from seatrial.fixtures.openstack_placement import ALLOCATIONS, PROVIDERS
from seatrial.fixtures.openstack_quota import PROJECTS, SERVERS_AFTER, SERVERS_USED, Quotas
from seatrial.fixtures.openstack_services import AGENTS, Services
from seatrial.fixtures.question import Answer, NotConcerned, Unavailable
from seatrial.fixtures.settings import load_profile
from seatrial.fixtures.source import Source

PROFILE = load_profile("baseline")
PROJECT = "0" * 32


class Said(Source):
    """Answers what a test says, and nothing at all to other questions, as a catalogue without the service does."""

    def __init__(self, said, role="admin"):
        super().__init__()
        token = {"token": {"user": {"name": "u"}, "roles": [{"name": role}], "catalog": []}}
        self.said = {TOKEN: token, **said}
        self.now_ = moment()

    @property
    def now(self):
        return self.now_

    def fetch(self, question):
        said = self.said.get(question, ())
        if isinstance(said, dict):
            said = (Answer(json.dumps(said).encode()),)
        return said


def each(**bodies):
    return tuple(Answer(json.dumps(body).encode(), speaker) for speaker, body in bodies.items())


def service(binary, host, state="up"):
    return {"binary": binary, "host": host, "status": "enabled", "state": state}


def server(id_, status="ACTIVE", **more):
    flavor = {"vcpus": 2, "ram": 512, "disk": 1}
    times = {"created": "2026-01-01T00:00:00Z", "updated": "2026-01-01T00:00:00Z"}
    host = {"OS-EXT-SRV-ATTR:host": "c1", "OS-EXT-SRV-ATTR:hypervisor_hostname": "c1"}
    return {"id": id_, "status": status, "tenant_id": PROJECT, "flavor": flavor, **times, **host, **more}


def test_a_token_without_the_admin_role_is_told_and_shows_no_empty_cloud():
    with pytest.raises(Unavailable, match="it takes the admin role: u has member"):
        Services(Said({}, role="member"))


def test_a_cloud_without_openstack_is_told():
    with pytest.raises(NotConcerned, match="no OpenStack: nobody is named to log in"):
        Network(Said({TOKEN: ()}))


def test_a_cloud_without_a_service_is_told():
    with pytest.raises(NotConcerned, match="no network service in the catalogue"):
        _ = Network(Said({})).rooms


def test_a_record_of_a_pod_that_is_gone_is_no_service():
    reported = [service("nova-scheduler", "now"), service("nova-scheduler", "gone", "down")]
    computes = [service("nova-compute", "c1"), service("nova-compute", "c2", "down")]
    pods = {"items": [{"metadata": {"name": "now", "namespace": "n"}, "spec": {}, "status": {}}]}
    said = Said({SERVICES: {"services": [*reported, *computes]}, PODS: pods})
    assert [str(beat) for beat in Services(said).missing] == ["nova-compute on c2: enabled, down"]


def test_an_agent_that_is_dead_is_told():
    agents = {"agents": [{"binary": "neutron-l3-agent", "host": "n1", "alive": False, "admin_state_up": True}]}
    pods = {"items": [{"metadata": {"name": "now", "namespace": "n"}, "spec": {}, "status": {}}]}
    said = Said({SERVICES: {"services": [service("nova-compute", "c1")]}, AGENTS: agents, PODS: pods})
    assert [str(beat) for beat in Services(said).missing] == ["neutron-l3-agent on n1: enabled, down"]


def test_a_list_that_does_not_come_in_is_as_slow_as_the_wait_for_it():
    late = (Answer(error="compute API, GET /servers/detail: no answer within 120 s", seconds=120.0),)
    (listing,) = Compute(Said({SERVERS: late})).listings
    assert listing.seconds == 120.0


def test_a_list_that_is_refused_is_not_slow_but_unread():
    refused = (Answer(error="compute API, GET /servers/detail: status 500", seconds=9.0),)
    with pytest.raises(Unavailable, match="status 500"):
        _ = Compute(Said({SERVERS: refused})).listings


def visit(interface, **more):
    told = {"service": "compute", "interface": interface, "url": f"https://{interface}", "status": 200}
    return {**told, "trouble": "", "reached": True, "ends": ["2099-01-01T00:00:00+00:00"], **more}


def test_an_insiders_endpoint_beyond_reach_is_unread_and_a_public_one_dead():
    beyond = {"status": 0, "reached": False, "trouble": "timed out", "ends": []}
    with pytest.raises(Unavailable, match="internal endpoint of compute: https://internal cannot be reached from here"):
        _ = Catalogue(Said({ENDPOINTS: each(a=visit("internal", **beyond))}), PROFILE).dead
    (dead,) = Catalogue(Said({ENDPOINTS: each(a=visit("public", **beyond))}), PROFILE).dead
    assert str(dead) == "public endpoint of compute: https://public timed out"


def used(cores):
    use = {"instances": {"limit": 10, "in_use": 1}, "ram": {"limit": -1, "in_use": 512}}
    return each(**{PROJECT: {"quota_set": {**use, "cores": {"limit": 20, "in_use": cores}}}})


@pytest.mark.parametrize(
    ("cores", "after", "drifts"),
    [
        (2, [server("a")], []),
        (4, [server("a")], ["project demo, cores: 4 counted, 2 there"]),
        (4, [server("a"), server("b")], []),
        (3, [server("a"), server("b")], []),
    ],
)
def test_what_is_counted_may_lie_between_what_was_there_before_and_after(cores, after, drifts):
    said = {
        PROJECTS: {"projects": [{"id": PROJECT, "name": "demo"}]},
        SERVERS: {"servers": [server("a")]},
        SERVERS_USED: used(cores),
        SERVERS_AFTER: {"servers": after},
    }
    assert [str(drift) for drift in Quotas(Said(said)).drifts] == drifts


def test_a_project_in_use_that_does_not_add_up_is_unread():
    said = {
        PROJECTS: {"projects": [{"id": PROJECT, "name": "demo"}]},
        SERVERS: {"servers": [server("a")]},
        SERVERS_USED: used(9),
        SERVERS_AFTER: {"servers": [server("a"), server("b")]},
    }
    with pytest.raises(Unavailable, match="project demo was in use while its quota was read"):
        _ = Quotas(Said(said)).drifts


def consistent(**said):
    provider = {"uuid": "p1", "name": "c1"}
    held = {"a": {"resources": {}}, "m": {"resources": {}}, "new": {"resources": {}}, "old": {"resources": {}}}
    whole = {
        SERVERS: {"servers": [server("a")]},
        SOFT_DELETED: {"servers": [server("old", "SOFT_DELETED")]},
        CHANGED: {"servers": [server("new", "DELETED")]},
        MIGRATIONS: {"migrations": [{"uuid": "m", "status": said.pop("migration", "finished")}]},
        PROVIDERS: {"resource_providers": [provider]},
        ALLOCATIONS: each(p1={"allocations": held}),
        PORTS: {"ports": [{"id": "p", "device_id": "new", "device_owner": "compute:nova"}]},
    }
    return [str(orphan) for orphan in Consistency(Said(whole), PROFILE).orphans]


def test_what_belongs_to_a_server_in_motion_or_a_migration_is_no_orphan():
    assert consistent() == []


def test_what_a_migration_that_has_ended_still_holds_is_an_orphan():
    assert consistent(migration="error") == ["allocation of m: on c1, and there is no such server"]


def test_addresses_are_counted_over_all_subnets_of_one_version():
    subnets = [
        {"ip_version": 4, "used_ips": 3, "total_ips": 10},
        {"ip_version": 4, "used_ips": 1, "total_ips": 10},
        {"ip_version": 6, "used_ips": 4, "total_ips": 2**64},
    ]
    network = {"network_id": "n", "network_name": "lab", "subnet_ip_availability": subnets}
    rooms = Network(Said({ADDRESSES: {"network_ip_availabilities": [network]}})).rooms
    assert [(room.version, room.free, room.total) for room in rooms] == [(4, 16, 20), (6, 2**64 - 4, 2**64)]


@pytest.mark.parametrize(
    ("asked", "seconds"), [("3", 3.0), ("600", 10.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), (None, 1.0)]
)
def test_a_retry_after_is_obeyed_within_bounds_and_a_date_is_a_second(asked, seconds):
    assert retry_after.seconds(asked) == seconds
