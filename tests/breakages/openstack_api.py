"""Breakages of what OpenStack's APIs tell."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from breakage import RecordedCloud, breaks
from seatrial.fixtures import openstack_compute, openstack_services
from seatrial.fixtures.openstack_catalogue import ENDPOINTS
from seatrial.fixtures.openstack_compute import CELL_HOSTS, CELLS, SERVERS
from seatrial.fixtures.openstack_consistency import PORTS
from seatrial.fixtures.openstack_federation import MAPPINGS, PROTOCOLS, PROVIDERS
from seatrial.fixtures.openstack_network import ADDRESSES, NETWORKS
from seatrial.fixtures.openstack_placement import ALLOCATIONS, HYPERVISORS, INVENTORIES, USAGES
from seatrial.fixtures.openstack_quota import OWN_LIMITS, SERVERS_AFTER, SERVERS_USED, VOLUMES_AFTER, VOLUMES_USED
from seatrial.fixtures.openstack_storage import VOLUMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.question import Question

GONE = "5f2cb1a5-8c0b-4c27-9a53-5a2a7a52c9a1"
"""The id of a server that is not there."""
OTHER = "c0e0a6f4-63d4-4f4a-a4b0-3f3d9d2ff2b7"
"""The id of something else that a breakage adds."""


def when(cloud: RecordedCloud, question: Question, ago_s: float) -> str:
    """Return a moment so long before a question was put, as the APIs write it."""
    put = cloud.entries(question)[0]["heard"]["started"]
    return (datetime.fromtimestamp(put, UTC) - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def endpoint(cloud: RecordedCloud, name: str) -> Iterator[dict[str, Any]]:
    """Change what became of the visit to an endpoint, by its interface and service."""
    (speaker,) = [
        entry["heard"]["speaker"]
        for entry in cloud.entries(ENDPOINTS)
        if entry["heard"]["speaker"].startswith(f"{name} at ")
    ]
    with cloud.json(ENDPOINTS, speaker) as visit:
        yield visit


def project_of(cloud: RecordedCloud) -> str:
    """Return the first project that quotas were asked of."""
    return str(cloud.entries(SERVERS_USED)[0]["heard"]["speaker"])


@breaks("OS-04")
def a_scheduler_of_cinder_is_down(cloud: RecordedCloud) -> None:
    with cloud.json(openstack_services.VOLUME_SERVICES) as said:
        said["services"][0]["state"] = "down"


@breaks("OS-04")
def a_compute_is_down(cloud: RecordedCloud) -> None:
    with cloud.json(openstack_compute.SERVICES) as said:
        compute = next(service for service in said["services"] if service["binary"] == "nova-compute")
        compute["state"] = "down"
    with cloud.json(HYPERVISORS) as said:
        hypervisor = next(
            h for h in said["hypervisors"] if h["hypervisor_hostname"].partition(".")[0] == compute["host"]
        )
        hypervisor["state"] = "down"


@breaks("OS-04")
def an_operator_forgot_a_disabled_compute(cloud: RecordedCloud) -> None:
    with cloud.json(openstack_compute.SERVICES) as said:
        compute = next(service for service in said["services"] if service["binary"] == "nova-compute")
        compute |= {"status": "disabled", "disabled_reason": "disk replaced on Monday"}


@breaks("OS-04")
def an_agent_is_dead(cloud: RecordedCloud) -> None:
    with cloud.json(openstack_services.AGENTS) as said:
        said["agents"].append(
            {"binary": "neutron-dhcp-agent", "host": "lab-1", "alive": False, "admin_state_up": True, "id": OTHER}
        )


@breaks("OS-07")
def the_server_list_takes_minutes(cloud: RecordedCloud) -> None:
    cloud.heard(SERVERS, seconds=231.0)


@breaks("OS-08")
def nobody_is_behind_an_endpoint(cloud: RecordedCloud) -> None:
    with endpoint(cloud, "internal image") as visit:
        visit |= {"status": 503}


@breaks("OS-08")
def an_endpoint_of_a_service_that_is_gone_stayed_in_the_catalogue(cloud: RecordedCloud) -> None:
    with endpoint(cloud, "public placement") as visit:
        visit |= {"status": 0, "ends": [], "trouble": "[Errno 111] Connection refused"}


@breaks("OS-08")
def an_endpoint_shows_its_certificate_and_answers_nothing(cloud: RecordedCloud) -> None:
    with endpoint(cloud, "public volumev3") as visit:
        visit |= {"status": 0, "trouble": "no answer within 10 s"}


@breaks("OS-33")
def a_public_certificate_ends_next_week(cloud: RecordedCloud) -> None:
    with endpoint(cloud, "public identity") as visit:
        visit["ends"] = [(datetime.fromisoformat(cloud.manifest["recorded"]) + timedelta(days=7)).isoformat()]


@breaks("OS-33")
def a_public_certificate_is_for_another_name(cloud: RecordedCloud) -> None:
    with endpoint(cloud, "public compute") as visit:
        visit |= {"status": 0, "distrust": "its certificate is not trusted: IP address mismatch"}


@breaks("OS-33")
def a_public_endpoint_is_without_tls(cloud: RecordedCloud) -> None:
    with endpoint(cloud, "public network") as visit:
        visit |= {"url": visit["url"].replace("https:", "http:"), "ends": []}


def federate(cloud: RecordedCloud, *, protocols: list[dict[str, str]], mappings: list[dict[str, Any]]) -> None:
    """Make Keystone trust an identity provider."""
    with cloud.json(PROVIDERS) as said:
        said["identity_providers"].append({"id": "campus", "enabled": True, "remote_ids": [], "domain_id": OTHER})
    with cloud.json(MAPPINGS) as said:
        said["mappings"].extend(mappings)
    cloud.add(PROTOCOLS, "campus", {"protocols": protocols})


RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]


@breaks("OS-09")
def the_mapping_of_a_protocol_is_gone(cloud: RecordedCloud) -> None:
    mapping = {"id": "staff", "rules": RULES}
    federate(cloud, protocols=[{"id": "openid", "mapping_id": "students"}], mappings=[mapping])


@breaks("OS-09")
def a_mapping_says_nothing_of_who_comes(cloud: RecordedCloud) -> None:
    mapping = {"id": "students", "rules": [{"local": RULES[0]["local"], "remote": []}]}
    federate(cloud, protocols=[{"id": "openid", "mapping_id": "students"}], mappings=[mapping])


@breaks("OS-10")
def a_nova_network_was_never_taken_down(cloud: RecordedCloud) -> None:
    with cloud.json(openstack_compute.SERVICES) as said:
        said["services"].append(
            {
                "binary": "nova-network",
                "host": "lab-1",
                "status": "enabled",
                "state": "up",
                "zone": "internal",
                "id": 99,
            }
        )


@breaks("OS-11")
def a_compute_host_is_in_no_cell(cloud: RecordedCloud) -> None:
    (path,) = [cloud.folder / entry["file"] for entry in cloud.entries(CELL_HOSTS)]
    rows = path.read_text().splitlines(keepends=True)
    last = max(number for number, row in enumerate(rows) if row.startswith("|"))
    cloud.replace(CELL_HOSTS, rows[last], "")


@breaks("OS-11")
def cell0_is_missing(cloud: RecordedCloud) -> None:
    (path,) = [cloud.folder / entry["file"] for entry in cloud.entries(CELLS)]
    row = next(row for row in path.read_text().splitlines(keepends=True) if row.startswith("| cell0 "))
    cloud.replace(CELLS, row, "")


@breaks("OS-13")
def cinder_counts_volumes_that_are_gone(cloud: RecordedCloud) -> None:
    with cloud.json(VOLUMES_USED, project_of(cloud)) as said:
        said["quota_set"]["volumes"]["in_use"] += 2
        said["quota_set"]["gigabytes"]["in_use"] += 20


@breaks("OS-13")
def nova_counts_cores_that_nobody_has(cloud: RecordedCloud) -> None:
    with cloud.json(SERVERS_USED, project_of(cloud)) as said:
        said["quota_set"]["cores"]["in_use"] += 4


@breaks("OS-14")
def memory_is_promised_half_again(cloud: RecordedCloud) -> None:
    with cloud.json(INVENTORIES) as said:
        said["inventories"]["MEMORY_MB"]["allocation_ratio"] = 1.5


@breaks("OS-14")
def a_host_keeps_no_memory_for_itself(cloud: RecordedCloud) -> None:
    with cloud.json(INVENTORIES) as said:
        said["inventories"]["MEMORY_MB"]["reserved"] = 0


@breaks("OS-15")
def a_network_is_nearly_full(cloud: RecordedCloud) -> None:
    with cloud.json(ADDRESSES) as said:
        subnet = said["network_ip_availabilities"][0]["subnet_ip_availability"][0]
        subnet["used_ips"] = subnet["total_ips"] - 3


@breaks("OS-16")
def a_networks_packets_do_not_fit(cloud: RecordedCloud) -> None:
    with cloud.json(NETWORKS) as said:
        said["networks"][0]["mtu"] = 9000


@breaks("OS-19")
def an_allocation_outlived_its_server(cloud: RecordedCloud) -> None:
    with cloud.json(ALLOCATIONS) as said:
        said["allocations"][GONE] = {"resources": {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}}


@breaks("OS-19")
def a_port_outlived_its_server(cloud: RecordedCloud) -> None:
    with cloud.json(PORTS) as said:
        said["ports"].append({"id": OTHER, "device_id": GONE, "device_owner": "compute:nova", "status": "DOWN"})


@breaks("OS-19")
def a_volume_is_attached_to_a_server_that_is_gone(cloud: RecordedCloud) -> None:
    add_volume(cloud, status="in-use", attachments=[{"server_id": GONE, "attachment_id": OTHER}])


@breaks("OS-19")
def a_server_has_no_allocation(cloud: RecordedCloud) -> None:
    add_server(cloud, status="ACTIVE", ago_s=3600)


@breaks("OS-32")
def a_server_is_in_error(cloud: RecordedCloud) -> None:
    add_server(cloud, status="ERROR", ago_s=3600)


@breaks("OS-32")
def a_volume_is_being_attached_for_an_hour(cloud: RecordedCloud) -> None:
    add_volume(cloud, status="attaching", attachments=[])


@breaks("OS-20")
def the_quota_is_what_nova_gives_by_itself(cloud: RecordedCloud) -> None:
    with cloud.json(OWN_LIMITS) as said:
        said["limits"]["absolute"] |= {"maxTotalInstances": 10, "maxTotalCores": 20}


@breaks("OS-21")
def the_hosts_are_full(cloud: RecordedCloud) -> None:
    for entry in cloud.entries(USAGES):
        with cloud.json(USAGES, entry["heard"]["speaker"]) as said:
            said["usages"]["MEMORY_MB"] = 1_000_000


def add_server(cloud: RecordedCloud, status: str, ago_s: float) -> None:
    """Add a server to both lists of them, counted in its project's quota."""
    hypervisor = cloud.read(HYPERVISORS)["hypervisors"][0]["hypervisor_hostname"]
    server = {
        "id": OTHER,
        "name": "web",
        "status": status,
        "tenant_id": project_of(cloud),
        "created": when(cloud, SERVERS, ago_s),
        "updated": when(cloud, SERVERS, ago_s),
        "flavor": {"vcpus": 1, "ram": 512, "disk": 1, "original_name": "m1.tiny"},
        "OS-EXT-SRV-ATTR:host": hypervisor if status == "ACTIVE" else None,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": hypervisor if status == "ACTIVE" else None,
    }
    for question in (SERVERS, SERVERS_AFTER):
        with cloud.json(question) as said:
            said["servers"].append(server)
    with cloud.json(SERVERS_USED, project_of(cloud)) as said:
        for resource, more in (("instances", 1), ("cores", 1), ("ram", 512)):
            said["quota_set"][resource]["in_use"] += more


def add_volume(cloud: RecordedCloud, status: str, attachments: list[dict[str, str]]) -> None:
    """Add a volume of an hour's age to both lists of them, counted in its project's quota."""
    volume = {
        "id": GONE[::-1],
        "status": status,
        "size": 1,
        "created_at": when(cloud, VOLUMES, 3600).removesuffix("Z"),
        "os-vol-tenant-attr:tenant_id": project_of(cloud),
        "attachments": attachments,
    }
    for question in (VOLUMES, VOLUMES_AFTER):
        with cloud.json(question) as said:
            said["volumes"].append(volume)
    with cloud.json(VOLUMES_USED, project_of(cloud)) as said:
        for resource in ("volumes", "gigabytes"):
            said["quota_set"][resource]["in_use"] += 1
