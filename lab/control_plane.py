"""etcd and Kubernetes' control plane, as processes of this machine that listen on the bridge only."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from seatrial.lab import kubectl
from seatrial.lab.binaries import binary
from seatrial.lab.pki import READER
from seatrial.lab.shell import HopelessError, LabError, run, say, wait_until
from seatrial.lab.topology import (
    API_PORT,
    AUDIT_LOG,
    BRIDGE,
    CHECKOUT,
    CONTROLLER_MANAGER_PORT,
    ETCD_METRICS_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    LOGS,
    MACHINE_ADDRESS,
    PKI,
    POD_NETWORK,
    ROOM,
    SCHEDULER_PORT,
    SERVER_NETWORK,
    SERVICE_NETWORK,
    STATE_FOLDER,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.lab.state import State

API_SERVER = "kube-apiserver"
NAMES = ("etcd", API_SERVER, "kube-controller-manager", "kube-scheduler")
"""In the order in which they start; they end in the opposite one."""

_PORTS = {
    "etcd": (ETCD_PORT, ETCD_PEER_PORT, ETCD_METRICS_PORT),
    API_SERVER: (API_PORT,),
    "kube-controller-manager": (CONTROLLER_MANAGER_PORT,),
    "kube-scheduler": (SCHEDULER_PORT,),
}


def make_bridge() -> None:
    """Make the bridge that the control plane and the nodes meet on. It has no way out of the machine."""
    try:
        run(["ip", "link", "show", BRIDGE], timeout=10)
    except LabError:
        if f" {MACHINE_ADDRESS}/" in run(["ip", "-4", "-oneline", "address"], timeout=10):
            taken = f"{MACHINE_ADDRESS} is an address of this machine already; the lab wants it for itself"
            raise LabError(taken) from None
        run(["ip", "link", "add", BRIDGE, "type", "bridge"], timeout=10)
    run(["ip", "addr", "replace", f"{MACHINE_ADDRESS}/24", "dev", BRIDGE], timeout=10)
    run(["ip", "link", "set", BRIDGE, "up"], timeout=10)
    # Without these, a pod that is gone and a server that only Nova knows would be looked for outside of this machine.
    for network in (POD_NETWORK, SERVICE_NETWORK, SERVER_NETWORK):
        known = run(["ip", "-4", "route", "show", network], timeout=10)
        if known and f"dev {BRIDGE}" not in known:
            raise LabError(f"this machine routes {network} already ({known.strip()}); the lab wants it for itself")
        run(["ip", "route", "replace", network, "dev", BRIDGE], timeout=10)


def start(state: State) -> None:
    """Start what does not run of the control plane; the API server may not answer yet when this returns."""
    for name in NAMES[:2]:
        _start(state, name)


def finish(state: State) -> None:
    """Wait for the API server, then start what can only start after it."""
    wait_until("kube-apiserver", lambda: _not_ready(state), timeout=120, interval=0.2)
    for name in NAMES[2:]:
        _start(state, name)
    _grant()


def restart_api_server(state: State, overrides: Mapping[str, str] | None = None) -> None:
    """Restart the API server with flags changed, for example {"max-requests-inflight": "5"}, and wait for it."""
    # It would wait for every watch to end: its clients have to cope with a crash anyway.
    state.processes[API_SERVER].end(patience=1)
    _start(state, API_SERVER, overrides or {})
    wait_until("kube-apiserver", lambda: _not_ready(state), timeout=120, interval=0.2)


def stop(state: State) -> list[str]:
    """End the control plane and return the names of what would not end."""
    return [name for name in reversed(NAMES) if name in state.processes and not state.processes[name].end(patience=5)]


def _start(state: State, name: str, overrides: Mapping[str, str] | None = None) -> None:
    if state.alive(name):
        return
    for port in _PORTS[name]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((MACHINE_ADDRESS, port))
            except OSError as error:
                raise LabError(
                    f"{name} cannot have {MACHINE_ADDRESS}:{port}: {error.strerror}; `ss -ltnp` shows who has it"
                ) from None
    flags = {**_FLAGS[name], **(overrides or {})}
    state.spawn(name, [binary(name), *(f"--{flag}={value}" for flag, value in flags.items())])
    say(f"{name} started")


def _not_ready(state: State) -> str | None:
    for name in NAMES[:2]:
        if not state.alive(name):
            log = LOGS / f"{name}.log"
            last = (log.read_text(encoding="utf-8", errors="replace").strip() or "nothing").splitlines()[-1]
            raise HopelessError(f"{name} ended; it last said: {last[:300]} (see {log})")
    try:
        kubectl.kubectl("get", "--raw=/readyz", timeout=5)
    except LabError as error:
        failing = re.findall(r"\[-\](?:poststarthook/)?(\S+)", error.message)
        return f"not ready: {', '.join(failing)}" if failing else "it does not answer yet"
    return None


def _grant() -> None:
    """Give kube-proxy and the reader their rights, as an installer and an administrator would."""
    role = CHECKOUT / "docs" / "clusterrole.yaml"
    bindings = [_binding("seatrial-lab-node-proxier", "system:node-proxier", "system:kube-proxy")]
    if role.exists():
        bindings = [role.read_text(encoding="utf-8"), *bindings, _binding("seatrial-lab-reader", READER, READER)]
    kubectl.apply("\n---\n".join(bindings))


def _binding(name: str, role: str, user: str) -> str:
    return f"""apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{role}"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{user}"}}]
"""


def _as_user(name: str) -> dict[str, str]:
    kubeconfig = str(PKI / f"{name}.kubeconfig")
    return {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": MACHINE_ADDRESS,
        "tls-cert-file": str(PKI / f"{name}.crt"),
        "tls-private-key-file": str(PKI / f"{name}.key"),
        "leader-elect": "false",
        "profiling": "false",
    }


_ETCD_URL = f"http://{MACHINE_ADDRESS}:{ETCD_PORT}"
_ETCD_PEER_URL = f"http://{MACHINE_ADDRESS}:{ETCD_PEER_PORT}"

# Histograms of three thousand series, which every scrape would make the API server write and Prometheus read.
_UNREAD_METRICS = (
    "apiserver_request_sli_duration_seconds",
    "apiserver_request_body_size_bytes",
    "apiserver_response_sizes",
    "apiserver_watch_cache_read_wait_seconds",
    "apiserver_watch_events_sizes",
    "apiserver_watch_list_duration_seconds",
    "etcd_request_duration_seconds",
)

_FLAGS: dict[str, dict[str, str]] = {
    "etcd": {
        "name": "lab",
        "data-dir": str(STATE_FOLDER / "etcd"),
        "unsafe-no-fsync": "true",  # a lab that loses its power is brought up anew
        "listen-client-urls": _ETCD_URL,
        "advertise-client-urls": _ETCD_URL,
        "listen-peer-urls": _ETCD_PEER_URL,
        "initial-advertise-peer-urls": _ETCD_PEER_URL,
        "initial-cluster": f"lab={_ETCD_PEER_URL}",
        "listen-metrics-urls": f"http://{MACHINE_ADDRESS}:{ETCD_METRICS_PORT}",
        "auto-compaction-retention": "5m",
        "log-level": "warn",
    },
    API_SERVER: {
        "etcd-servers": _ETCD_URL,
        "etcd-prefix": "/seatrial-lab",
        "bind-address": MACHINE_ADDRESS,
        "advertise-address": MACHINE_ADDRESS,
        "secure-port": str(API_PORT),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "service-cluster-ip-range": SERVICE_NETWORK,
        "client-ca-file": str(PKI / "ca.crt"),
        "tls-cert-file": str(PKI / "kube-apiserver.crt"),
        "tls-private-key-file": str(PKI / "kube-apiserver.key"),
        "kubelet-client-certificate": str(PKI / "kubelet-client.crt"),
        "kubelet-client-key": str(PKI / "kubelet-client.key"),
        "kubelet-certificate-authority": str(PKI / "ca.crt"),
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(PKI / "accounts.pub"),
        "service-account-signing-key-file": str(PKI / "accounts.key"),
        "audit-policy-file": str(ROOM / "audit.yaml"),
        "audit-log-path": str(AUDIT_LOG),
        "audit-log-maxsize": "100",
        "audit-log-maxbackup": "2",
        "disabled-metrics": ",".join(_UNREAD_METRICS),
        "profiling": "false",
    },
    "kube-controller-manager": {
        **_as_user("kube-controller-manager"),
        "secure-port": str(CONTROLLER_MANAGER_PORT),
        "root-ca-file": str(PKI / "ca.crt"),
        "service-account-private-key-file": str(PKI / "accounts.key"),
        "use-service-account-credentials": "true",
        "allocate-node-cidrs": "false",
        "node-monitor-period": "2s",
        "node-monitor-grace-period": "24s",  # so that a crashed node shows in seconds, and a busy one does not
        "controllers": "*,-bootstrap-signer-controller,-token-cleaner-controller",
    },
    "kube-scheduler": {**_as_user("kube-scheduler"), "secure-port": str(SCHEDULER_PORT)},
}
