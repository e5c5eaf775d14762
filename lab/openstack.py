"""OpenStack in the lab: what its releases are given, how it is asked from this machine, and when it really serves."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

from seatrial.lab.kubectl import apply, get, kubectl
from seatrial.lab.shell import LabError, wait_until
from seatrial.lab.topology import CLOUDS, COMPUTE_NODES, PKI, Node

NAMESPACE = "openstack"
CHARTS = ("keystone", "placement", "glance", "neutron", "nova", "cinder", "public-endpoints")
NEEDS = frozenset({"rabbitmq", "mariadb", "memcached"})
"""The parts of the lab that it cannot run without."""

PROJECT = "demo"
CERTIFICATE = "public-endpoints-tls"
KEYSTONE = f"https://{Node(1).address}:5000/v3"

_ADMIN = ("admin", "password", "admin")
_MEMBER = (PROJECT, "password", PROJECT)

_SMALL = {
    "placement": {"api": 1},
    "nova": {"osapi": 1, "scheduler": 1, "conductor": 1},
    "cinder": {"scheduler": 1, "volume": 1},
}
"""Replicas where the lab is to be small; the charts' own are those of the um-cloud profile."""


def values(chart: str, *, size: str, rabbitmq_replicas: int, node_count: int) -> dict[str, Any]:
    """Return the Helm values of a release that are not the chart's own."""
    if chart == "public-endpoints":
        return {}
    found: dict[str, Any] = {}
    if chart not in {"keystone", "placement"} and rabbitmq_replicas != 1:
        found["endpoints"] = {"oslo_messaging": {"statefulset": {"replicas": rabbitmq_replicas}}}
    if size == "small" and chart in _SMALL:
        found["pod"] = {"replicas": _SMALL[chart]}
    if chart == "nova" and node_count < COMPUTE_NODES:
        found["bootstrap"] = {"computes": node_count}
    return found


def make_certificate() -> None:
    """Give the cluster the certificate of the public endpoints, which the lab's authority has signed."""
    apply_certificate(
        (PKI / "public-endpoints.crt").read_text(encoding="ascii"),
        (PKI / "public-endpoints.key").read_text(encoding="ascii"),
    )


def apply_certificate(certificate: str, private: str) -> None:
    """Let the public endpoints have this certificate and its private key, both PEM, from their next start on."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": CERTIFICATE, "namespace": NAMESPACE},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": private},
    }
    apply(json.dumps(secret))


def is_installed(workload: str = "deployment/keystone-api") -> bool:
    """Tell whether the lab's OpenStack has been installed, or the part of it that a workload stands for."""
    found = kubectl("-n", NAMESPACE, "get", workload, "--ignore-not-found", "-o", "name", timeout=30)
    return bool(found)


def write_clouds() -> None:
    """Write the clouds.yaml of the lab: its administrator `lab`, and `lab-member`, who only belongs to a project."""
    clouds = {name: _cloud(*login) for name, login in (("lab", _ADMIN), ("lab-member", _MEMBER))}
    CLOUDS.touch(mode=0o600)
    CLOUDS.write_text(json.dumps({"clouds": clouds}, indent=2) + "\n", encoding="ascii")  # JSON is YAML too


def _cloud(username: str, password: str, project: str) -> dict[str, Any]:
    auth = {
        "auth_url": KEYSTONE,
        "username": username,
        "password": password,
        "project_name": project,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    return {"auth": auth, "region_name": "RegionOne", "interface": "public", "cacert": str(PKI / "ca.crt")}


class Cloud:
    """The lab's OpenStack as its administrator, or another user, reaches it from this machine.

    `project` is the id of the project that the user works in, empty for the whole system: so it is where no project is
    named.
    """

    def __init__(self, username: str = _ADMIN[0], password: str = _ADMIN[1], project: str = _ADMIN[2]) -> None:
        self._login = (username, password, project)
        self._tls = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
        self._endpoints: dict[str, str] = {}
        self._token, self.project = self._authenticate()

    def ask(
        self, method: str, service: str, path: str, body: Any = None, *, microversion: str = "", timeout: float = 60
    ) -> Any:
        """Return the decoded answer of a service (`compute`, `network`, …) to a request for `path`, or None.

        `microversion` is of the compute, volume or baremetal API, `timeout` in seconds. Raises LabError with what the
        service said where it refused.
        """
        headers = {"X-Auth-Token": self._token}
        if microversion:
            headers["OpenStack-API-Version"] = f"{service} {microversion}"
        if service == "baremetal" and microversion:
            headers["X-OpenStack-Ironic-API-Version"] = microversion
        _, answer = self._send(method, self._endpoints[service] + path, body, headers, timeout)
        return answer

    def find(self, service: str, path: str, plural: str, name: str) -> dict[str, Any]:
        """Return the object of this name in a list. Raises LabError if there is none."""
        for item in self.ask("GET", service, path)[plural]:
            if item["name"] == name:
                return dict(item)
        raise LabError(f"OpenStack has nothing called {name} in {service} {path}: `seatrial lab up` makes it")

    def _authenticate(self) -> tuple[str, str]:
        """Return a token and the id of its project, and note the catalogue."""
        username, password, project = self._login
        domain = {"id": "default"}
        user = {"name": username, "domain": domain, "password": password}
        scope = {"project": {"name": project, "domain": domain}} if project else {"system": {"all": True}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        headers, answer = self._send("POST", f"{KEYSTONE}/auth/tokens", body, {}, 60)
        for service in answer["token"]["catalog"]:
            for endpoint in service["endpoints"]:
                if endpoint["interface"] == "public":
                    self._endpoints[service["type"]] = endpoint["url"].rstrip("/")
        return headers["x-subject-token"], answer["token"].get("project", {}).get("id", "")

    def _send(
        self, method: str, url: str, body: Any, headers: dict[str, str], timeout: float
    ) -> tuple[dict[str, str], Any]:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - Keystone's own endpoints
            url, data=content, method=method, headers={"Content-Type": "application/json", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout, context=self._tls) as answer:  # noqa: S310
                read = answer.read()
                return {name.lower(): value for name, value in answer.headers.items()}, json.loads(read or b"null")
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace").strip()
            raise LabError(f"{method} {url}: {error.code} {said or error.reason}") from None
        except OSError as error:
            raise LabError(f"{method} {url}: {error}") from None


def in_database(statement: str) -> str:
    """Return what SQL prints that runs as the database's administrator."""
    client = ("mysql", "--defaults-file=/etc/mysql/admin_user.cnf", "--host=localhost", "-Nse", statement)
    return kubectl("-n", NAMESPACE, "exec", "mariadb-server-0", "-c", "mariadb", "--", *client)


def check() -> None:
    """Return once every service is up, the cell has its hosts, and what servers are made from is there."""
    wait_until("OpenStack's Jobs to succeed", _unfinished_jobs, timeout=300, interval=2)
    cloud = _logged_in()
    _forget_lost_pods(cloud)
    wait_until("OpenStack's services to be up", lambda: _down(cloud), timeout=120, interval=1)
    wait_until("what servers are made from", lambda: _lacking(cloud), timeout=120, interval=2)
    write_clouds()


def wait_for_reports() -> None:
    """Return when each of Nova's services has reported after this moment.

    One that waits for an answer which was lost with a broken pod does not report meanwhile; it logs what it gave up
    when the wait is over.
    """
    cloud = _logged_in()
    since = datetime.now(UTC).replace(tzinfo=None)
    wait_until("Nova's services to report", lambda: _silent(cloud, since), timeout=150, interval=1)


def _logged_in() -> Cloud:
    found: list[Cloud] = []
    wait_until("Keystone to let the administrator in", lambda: found.append(Cloud()), timeout=120, interval=2)
    return found[0] if found else Cloud()


def _lacking(cloud: Cloud) -> None:
    for service, path, plural, name in (
        ("image", "/v2/images", "images", "cirros"),
        ("compute", "/flavors", "flavors", "m1.tiny"),
        ("network", "/v2.0/networks", "networks", "lab"),
        ("identity", "/projects", "projects", PROJECT),
    ):
        cloud.find(service, path, plural, name)


def _silent(cloud: Cloud, since: datetime) -> str | None:
    silent = [
        f"{service['binary']} on {service['host']}"
        for service in _forget_lost_pods(cloud)
        if not service["updated_at"] or datetime.fromisoformat(service["updated_at"]) < since
    ]
    return ", ".join(silent) or None


def _unfinished_jobs() -> str | None:
    jobs = get("jobs", "--namespace", NAMESPACE)["items"]
    releases = {job["metadata"]["name"]: job["metadata"].get("annotations", {}) for job in jobs if _is_unfinished(job)}
    late = [name for name, notes in releases.items() if notes.get("meta.helm.sh/release-name") in CHARTS]
    return ", ".join(sorted(late)) or None


def _is_unfinished(job: dict[str, Any]) -> bool:
    return not job["status"].get("succeeded")


def _forget_lost_pods(cloud: Cloud) -> list[dict[str, Any]]:
    """Delete Nova's records of pods that are gone, and return the others.

    Most pods delete their own when they end, unless the API is away then.
    """
    pods = {pod["metadata"]["name"] for pod in get("pods", "--namespace", NAMESPACE)["items"]}
    services = cloud.ask("GET", "compute", "/os-services", microversion="2.53")["services"]
    lost = [s for s in services if s["binary"] != "nova-compute" and s["host"] not in pods]
    for service in lost:
        cloud.ask("DELETE", "compute", f"/os-services/{service['id']}", microversion="2.53")
    return [service for service in services if service not in lost]


def _down(cloud: Cloud) -> str | None:
    """Return what of nova and cinder is down, or not there yet."""
    compute = cloud.ask("GET", "compute", "/os-services")["services"]
    volume = cloud.ask("GET", "volumev3", f"/{cloud.project}/os-services")["services"]
    down = [f"{service['binary']} on {service['host']}" for service in (*compute, *volume) if service["state"] != "up"]
    there = {service["binary"] for service in (*compute, *volume)}
    wanted = {"nova-compute", "nova-conductor", "nova-scheduler", "cinder-scheduler", "cinder-volume"}
    return ", ".join([*down, *sorted(wanted - there)]) or None


def wait_for_server(cloud: Cloud, server: str, status: str, *, timeout: float = 60) -> None:
    """Return once a server has this status; `timeout` is in seconds."""

    def other() -> str | None:
        found = cloud.ask("GET", "compute", f"/servers/{server}")["server"]["status"]
        return None if found == status else f"it is {found}"

    wait_until(f"the server to be {status}", other, timeout=timeout)
