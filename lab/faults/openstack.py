"""Faults that OpenStack's own APIs can make: what an operator, a tenant or an interrupted request leaves behind."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from seatrial.lab.fault import fault
from seatrial.lab.kubectl import kubectl
from seatrial.lab.openstack import NAMESPACE, PROJECT, Cloud, in_database, wait_for_server
from seatrial.lab.shell import LabError, wait_until

_PARTS = "openstack"
_NAME = "lab-fault"
"""What everything is called that a fault makes."""
_NOBODY = str(uuid5(NAMESPACE_DNS, "nobody.lab-fault"))
"""The id of a server that never was."""


def _remove(cloud: Cloud, service: str, path: str, plural: str) -> None:
    """Delete whatever a fault has made in a list."""
    for item in cloud.ask("GET", service, path)[plural]:
        if item["name"].startswith(_NAME):
            cloud.ask("DELETE", service, f"{path.partition('?')[0].removesuffix('/detail')}/{item['id']}")


def _no_servers() -> None:
    cloud = Cloud()
    listing = f"/servers/detail?all_tenants=1&name={_NAME}"

    def left() -> str | None:
        found = cloud.ask("GET", "compute", listing)["servers"]
        for server in found:
            cloud.ask("POST", "compute", f"/servers/{server['id']}/action", {"forceDelete": None})
        return f"{len(found)} servers are left" if found else None

    wait_until("the fault's servers to be gone", left, timeout=90, interval=2)
    _remove(cloud, "compute", "/flavors", "flavors")


def _boot(cloud: Cloud, flavor: str, *, number: int = 1) -> list[str]:
    """Boot servers of a flavor without a network, and return their ids when they are ACTIVE."""
    image = cloud.find("image", "/v2/images", "images", "cirros")["id"]
    made = []
    for index in range(number):
        server = {"name": f"{_NAME}-{index}", "flavorRef": flavor, "imageRef": image, "networks": "none"}
        answer = cloud.ask("POST", "compute", "/servers", {"server": server}, microversion="2.37")
        made.append(answer["server"]["id"])
    for server_id in made:
        wait_for_server(cloud, server_id, "ACTIVE", timeout=90)
    return made


@fault("server-in-error", trips="OS-32", parts=_PARTS, heal=_no_servers)
def leave_a_server_in_error() -> None:
    """A server is in ERROR, and nobody has looked at it."""
    cloud = Cloud()
    [server] = _boot(cloud, cloud.find("compute", "/flavors", "flavors", "m1.nano")["id"])
    cloud.ask("POST", "compute", f"/servers/{server}/action", {"os-resetState": {"state": "error"}})
    wait_for_server(cloud, server, "ERROR")


def _providers(cloud: Cloud) -> list[dict[str, Any]]:
    return list(cloud.ask("GET", "placement", "/resource_providers")["resource_providers"])


def _no_orphaned_allocation() -> None:
    cloud = Cloud()
    if cloud.ask("GET", "placement", f"/allocations/{_NOBODY}")["allocations"]:
        cloud.ask("DELETE", "placement", f"/allocations/{_NOBODY}")


@fault("orphaned-allocation", trips="OS-19", parts=_PARTS, heal=_no_orphaned_allocation)
def leave_an_allocation() -> None:
    """Placement keeps room for a server that does not exist."""
    cloud = Cloud()
    body = {
        "allocations": {_providers(cloud)[0]["uuid"]: {"resources": {"VCPU": 1, "MEMORY_MB": 64}}},
        "project_id": cloud.project,
        "user_id": cloud.project,
        "consumer_generation": None,
        "consumer_type": "INSTANCE",
    }
    cloud.ask("PUT", "placement", f"/allocations/{_NOBODY}", body, microversion="1.38")


def _ratio(value: float) -> None:
    cloud = Cloud()
    provider = min(_providers(cloud), key=lambda provider: str(provider["name"]))["uuid"]
    path = f"/resource_providers/{provider}/inventories/MEMORY_MB"
    inventory = cloud.ask("GET", "placement", path)
    if inventory["allocation_ratio"] != value:
        cloud.ask("PUT", "placement", path, inventory | {"allocation_ratio": value})


def _no_overcommit() -> None:
    _ratio(1.0)


@fault("memory-overcommitted", trips="OS-14", parts=_PARTS, heal=_no_overcommit)
def overcommit() -> None:
    """A host promises more memory to its servers than it has."""
    _ratio(1.5)


def _no_hoard() -> None:
    _no_servers()
    cloud = Cloud()
    cloud.ask("DELETE", "compute", f"/os-quota-sets/{cloud.project}")


@fault("no-capacity", trips="OS-21", parts=_PARTS, heal=_no_hoard)
def hoard() -> None:
    """A tenant's few huge servers have taken all hosts' memory."""
    cloud = Cloud()
    hosts = cloud.ask("GET", "compute", "/os-services?binary=nova-compute")["services"]
    cloud.ask("PUT", "compute", f"/os-quota-sets/{cloud.project}", {"quota_set": {"ram": -1}})
    provider = _providers(cloud)[0]["uuid"]
    memory = cloud.ask("GET", "placement", f"/resource_providers/{provider}/inventories/MEMORY_MB")
    flavor = {"name": f"{_NAME}-huge", "vcpus": 1, "disk": 1, "ram": memory["total"] - memory["reserved"] - 1024}
    huge = cloud.ask("POST", "compute", "/flavors", {"flavor": flavor})["flavor"]["id"]
    _boot(cloud, huge, number=len(hosts))


def _default_quota() -> None:
    cloud = Cloud()
    for project in cloud.ask("GET", "identity", "/projects")["projects"]:
        cloud.ask("DELETE", "compute", f"/os-quota-sets/{project['id']}")


@fault("quota-too-small", trips="OS-20", parts=_PARTS, heal=_default_quota)
def cut_the_quota() -> None:
    """The quotas do not allow as many servers as the trial asks for."""
    cloud = Cloud()
    for project in cloud.ask("GET", "identity", "/projects")["projects"]:
        cloud.ask("PUT", "compute", f"/os-quota-sets/{project['id']}", {"quota_set": {"instances": 10, "cores": 20}})


def _no_network() -> None:
    _remove(Cloud(), "network", "/v2.0/networks", "networks")


def _make_network(cloud: Cloud, **properties: Any) -> str:
    _no_network()
    body = {"network": {"name": _NAME, **properties}}
    return str(cloud.ask("POST", "network", "/v2.0/networks", body)["network"]["id"])


@fault("network-full", trips="OS-15", parts=_PARTS, heal=_no_network)
def make_a_small_network() -> None:
    """A network has hardly any free address."""
    cloud = Cloud()
    subnet = {"network_id": _make_network(cloud), "name": _NAME, "ip_version": 4, "cidr": "10.78.0.0/29"}
    cloud.ask("POST", "network", "/v2.0/subnets", {"subnet": subnet | {"enable_dhcp": False}})


@fault("wrong-mtu", trips="OS-16", parts=_PARTS, heal=_no_network)
def make_a_narrow_network() -> None:
    """A network has a smaller MTU than the others."""
    _make_network(Cloud(), mtu=1280)


def _no_identity_provider() -> None:
    cloud = Cloud()
    listed = cloud.ask("GET", "identity", "/OS-FEDERATION/identity_providers")["identity_providers"]
    for provider in listed:
        if provider["id"] == _NAME:
            cloud.ask("DELETE", "identity", f"/OS-FEDERATION/identity_providers/{_NAME}")


@fault("identity-provider-alone", trips="OS-09", parts=_PARTS, heal=_no_identity_provider)
def add_an_identity_provider() -> None:
    """An identity provider has no protocol and no mapping: nobody who comes through it gets in."""
    _no_identity_provider()
    body = {"identity_provider": {"enabled": True, "domain_id": "default"}}
    Cloud().ask("PUT", "identity", f"/OS-FEDERATION/identity_providers/{_NAME}", body)


def _no_dead_endpoint() -> None:
    _remove(Cloud(), "identity", "/services", "services")  # its endpoints go with it


@fault("dead-endpoint", trips="OS-08", parts=_PARTS, heal=_no_dead_endpoint)
def add_a_dead_endpoint() -> None:
    """The catalogue names an endpoint where nobody listens."""
    _no_dead_endpoint()
    cloud = Cloud()
    service = {"name": _NAME, "type": "key-manager"}
    made = cloud.ask("POST", "identity", "/services", {"service": service})["service"]["id"]
    endpoint = {
        "service_id": made,
        "interface": "public",
        "region_id": "RegionOne",
        "url": "https://10.240.0.11:9311",
    }
    cloud.ask("POST", "identity", "/endpoints", {"endpoint": endpoint})


def _project() -> str:
    found = Cloud().find("identity", "/projects", "projects", PROJECT)["id"]
    if not str(found).isalnum():
        raise LabError(f"Keystone's id of the project {PROJECT} is {found}")
    return str(found)


def _count_anew() -> None:
    kubectl("-n", NAMESPACE, "exec", "deployment/cinder-api", "-c", "cinder-api", "--",
            "cinder-manage", "quota", "sync", "--project-id", _project(), timeout=60)  # fmt: skip


@fault("quota-usage-drifted", trips="OS-13", parts=_PARTS, heal=_count_anew)
def drift() -> None:
    """Cinder counts volumes against a project's quota that it does not have."""
    # As a volume service leaves it that was killed between a delete and its commit.
    in_database("delete from cinder.quota_usages where resource = 'volumes'")
    in_database(
        "insert into cinder.quota_usages set resource = 'volumes', created_at = now(), updated_at = now(), deleted = 0,"
        f" in_use = 3, reserved = 0, project_id = '{_project()}'"
    )
