"""Faults of Nova's computes, and of the way to the APIs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from seatrial.lab.containers import Container, running
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, kubectl
from seatrial.lab.openstack import NAMESPACE, Cloud, apply_certificate, in_database, make_certificate
from seatrial.lab.shell import run, wait_until
from seatrial.lab.topology import PKI, Node

_PARTS = "openstack"
_COMPUTES = "application=nova,component=compute"
_LABELS = "application=public-endpoints,component=server"
_PATIENCE = 120.0


def _wait_for_computes(*, up: int | None) -> None:
    """Return once as many computes are up, or all of them."""
    cloud = Cloud()

    def others() -> str | None:
        states = [item["state"] for item in cloud.ask("GET", "compute", "/os-services?binary=nova-compute")["services"]]
        return None if states.count("up") == (len(states) if up is None else up) else f"they are {', '.join(states)}"

    wait_until("the computes", others, timeout=_PATIENCE, interval=2)


def _compute() -> Container:
    return running(NAMESPACE, _COMPUTES, "nova-compute")


def _go_on() -> None:
    _compute().signal("CONT")
    _wait_for_computes(up=None)


@fault("compute-stopped", trips="OS-04", parts=_PARTS, heal=_go_on)
def stop_a_compute() -> None:
    """A nova-compute hangs: its process is there and does nothing."""
    _compute().signal("STOP")
    _wait_for_computes(up=2)


def _forget_the_crash() -> None:
    kubectl("-n", NAMESPACE, "delete", "pod", "--selector", _COMPUTES, "--wait=true", timeout=90)
    kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/nova-compute-default", timeout=120)
    _wait_for_computes(up=None)


@fault("compute-crashed", trips="OS-31", parts=_PARTS, heal=_forget_the_crash)
def kill_a_compute() -> None:
    """A nova-compute was killed, and started again."""
    _compute().signal("KILL")

    def running_again() -> str | None:
        pods = get("pods", "--namespace", NAMESPACE, "--selector", _COMPUTES)["items"]
        found = [status for pod in pods for status in pod["status"]["containerStatuses"]]
        return None if any(status["restartCount"] and status["ready"] for status in found) else "it is not ready"

    wait_until("the killed nova-compute to be back", running_again, timeout=_PATIENCE, interval=1)
    _wait_for_computes(up=None)


def _in_conductor(*argv: str) -> str:
    where = ("-n", NAMESPACE, "exec", "deployment/nova-conductor", "-c", "nova-conductor", "--")
    return kubectl(*where, *argv, timeout=90)


def _map_hosts() -> None:
    _in_conductor("nova-manage", "cell_v2", "discover_hosts", "--by-service")


@fault("host-without-cell", trips="OS-11", parts=_PARTS, heal=_map_hosts)
def unmap_a_host() -> None:
    """A compute host belongs to no cell: nothing is ever scheduled to it."""
    in_database(f"delete from nova.host_mappings where host = '{Node(3).name}'")  # noqa: S608 - a name of ours


def _no_nova_network() -> None:
    in_database("delete from nova_cell1.services where topic = 'network'")


@fault("nova-network-left", trips="OS-10", parts=_PARTS, heal=_no_nova_network)
def leave_nova_network() -> None:
    """A network service of Nova reports no more, and was never deleted."""
    # Today's Nova has no nova-network to run: this is the row that an older one has left behind.
    _no_nova_network()
    in_database(
        f"insert into nova_cell1.services set host = '{Node(3).name}', `binary` = 'nova-network', topic = 'network',"
        " created_at = now(), updated_at = now() - interval 1 year, report_count = 1, deleted = 0,"
        f" disabled = 0, forced_down = 0, version = 9, uuid = '{uuid5(NAMESPACE_DNS, 'nova-network.lab-fault')}'"
    )


def _present(certificate: str, private: str) -> None:
    """Let the public endpoints start anew with this certificate."""
    apply_certificate(certificate, private)
    kubectl("-n", NAMESPACE, "delete", "pod", "--selector", _LABELS, "--wait=true", timeout=60)
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/public-endpoints", timeout=90)


def _own_certificate() -> None:
    make_certificate()
    kubectl("-n", NAMESPACE, "delete", "pod", "--selector", _LABELS, "--wait=true", timeout=60)
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/public-endpoints", timeout=90)


@fault("endpoint-certificate-ends", trips="OS-33", parts=_PARTS, heal=_own_certificate)
def let_the_certificate_end() -> None:
    """The certificate of the public endpoints ends tomorrow."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "names").write_text(f"subjectAltName=IP:{Node(1).address}\n", encoding="ascii")
        subject = ["-key", PKI / "public-endpoints.key", "-subj", "/CN=public-endpoints"]
        run(["openssl", "req", "-new", *map(str, subject), "-out", folder / "request"], timeout=30)
        signer = ["-CA", PKI / "ca.crt", "-CAkey", PKI / "ca.key", "-days", "1", "-extfile", folder / "names"]
        signed = ["-in", folder / "request", "-out", folder / "certificate"]
        run(["openssl", "x509", "-req", *map(str, (*signer, *signed))], timeout=30)
        certificate = (folder / "certificate").read_text(encoding="ascii")
    _present(certificate, (PKI / "public-endpoints.key").read_text(encoding="ascii"))
