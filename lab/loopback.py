"""A control plane of its own on loopback: etcd, Kubernetes and KWOK, for as long as whoever wanted it.

It needs neither root nor a node, and leaves the lab alone: ports are free ones, and everything stands in one folder.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Self

import msgspec

from seatrial.lab.binaries import binary
from seatrial.lab.shell import HopelessError, LabError, run, say, wait_until
from seatrial.lab.state import Process
from seatrial.lab.topology import CHECKOUT, ROOM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
"""In the order in which they start; they end in the opposite one."""

READER = "seatrial-reader"
"""The user that may only read what `docs/clusterrole.yaml` names."""

LOADER = "seatrial-loader"
"""The user that may do what `docs/clusterrole-scheduling.yaml` names as well."""

_USERS = {
    "admin": "system:masters",
    "kwok": "system:masters",
    READER: "",
    LOADER: "",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
}
"""Everybody who asks, and the group that gives rights beside those of Kubernetes' own roles."""

ROLES = {READER: "clusterrole.yaml", "seatrial-scheduling": "clusterrole-scheduling.yaml"}
"""The roles of the documentation, by name: the reader has the first one, the loader all of them."""

_SERVICES = "10.97.0.0/16"

AUDIT = f"""apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [{READER}, {LOADER}]
- level: None
"""


class Loopback:
    """The running control plane. Leaving the block ends every process of it."""

    def __init__(self, folder: Path, flags: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Keep everything in `folder`, which must be empty; `flags` adds to those of a program, by its name."""
        self.folder = folder
        self._flags = flags or {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._tokens = {user: secrets.token_hex(16) for user in _USERS}
        self.port = 0
        self._turn = threading.local()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return the kubeconfig of a user: `admin`, `seatrial-reader`, `seatrial-loader`, or one of the programs'."""
        return self.folder / f"{user.rpartition(':')[2]}.kubeconfig"

    def process(self, name: str) -> Process:
        """Return the running process of a program."""
        found = Process.of(self._children[name].pid)
        if found is None:
            raise LabError(f"{name} has ended; its log is {self.folder / name}.log")
        return found

    @property
    def audit(self) -> Path:
        """The log of what the reader and the loader asked."""
        return self.folder / "audit.log"

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> bytes:
        """Send the API server a request as administrator; each thread has a connection. Raises LabError."""
        if getattr(self._turn, "connection", None) is None:
            context = ssl.create_default_context(cafile=str(self.folder / "certificates" / "apiserver.crt"))
            self._turn.connection = HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        connection: HTTPSConnection = self._turn.connection
        headers = {"Authorization": f"Bearer {self._tokens['admin']}", "Content-Type": kind}
        try:
            connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
            response = connection.getresponse()
            said = response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            raise LabError(f"{method} {path}: {error}") from None
        if response.status >= 400:
            raise LabError(f"{method} {path}: {response.status}: {said[:300].decode(errors='replace')}")
        return said

    def close(self) -> None:
        """End what runs, KWOK first and etcd last."""
        for name in reversed(NAMES):
            child = self._children.pop(name, None)
            if child is not None:
                child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(10)
                child.kill()
                child.wait(10)

    def _start(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port, store, peer, manager, scheduler = _free_ports(5)
        key = self.folder / "accounts.key"
        run(["openssl", "genrsa", "-out", key, "2048"], timeout=60)
        people = [f"{self._tokens[user]},{user},{user},{group}" for user, group in _USERS.items()]
        (self.folder / "tokens").write_text("\n".join(people) + "\n", encoding="ascii")
        (self.folder / "audit.yaml").write_text(AUDIT, encoding="ascii")
        at, beside = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peer}"
        self._spawn(
            "etcd",
            {
                "data-dir": self.folder / "etcd",
                "unsafe-no-fsync": "true",  # nobody wants it back after a loss of power
                "listen-client-urls": at,
                "advertise-client-urls": at,
                "listen-peer-urls": beside,
                "initial-advertise-peer-urls": beside,
                "initial-cluster": f"default={beside}",
                "log-level": "error",
            },
        )
        self._spawn(
            "kube-apiserver",
            {
                "etcd-servers": at,
                "bind-address": "127.0.0.1",
                "secure-port": self.port,
                "cert-dir": self.folder / "certificates",
                "token-auth-file": self.folder / "tokens",
                "authorization-mode": "RBAC",
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": key,
                "service-account-signing-key-file": key,
                "service-cluster-ip-range": _SERVICES,
                "kubelet-preferred-address-types": "InternalIP",
                "endpoint-reconciler-type": "none",
                "audit-policy-file": self.folder / "audit.yaml",
                "audit-log-path": self.audit,
                "profiling": "false",
            },
        )
        wait_until("kube-apiserver", self._not_ready, timeout=300, interval=0.2)
        self._write_kubeconfigs()
        self._let_in()
        common = {"bind-address": "127.0.0.1", "leader-elect": "false", "profiling": "false"}
        # At the default of 20 to 50 requests a second, thousands of pods would take minutes to come to be.
        fast = {"kube-api-qps": 2000, "kube-api-burst": 4000}
        self._spawn(
            "kube-controller-manager",
            {
                **common,
                **fast,
                **self._as("system:kube-controller-manager"),
                "secure-port": manager,
                "concurrent-deployment-syncs": 10,
                "concurrent-replicaset-syncs": 10,
                "node-monitor-grace-period": "600s",  # leases are renewed seldom: they would disturb what is measured
                # Its controllers have rights, it has none of its own.
                "service-account-private-key-file": key,
                "use-service-account-credentials": "true",
            },
        )
        self._spawn("kube-scheduler", {**common, **fast, **self._as("system:kube-scheduler"), "secure-port": scheduler})
        self._spawn(
            "kwok",
            {
                "kubeconfig": self.kubeconfig("kwok"),
                "config": ROOM / "kwok.yaml",
                "manage-all-nodes": "false",
                "manage-nodes-with-label-selector": "type=kwok",
                "node-lease-duration-seconds": 400,
                "server-address": "",
            },
        )

    def _as(self, user: str) -> dict[str, object]:
        file = self.kubeconfig(user)
        return {"kubeconfig": file, "authentication-kubeconfig": file, "authorization-kubeconfig": file}

    def _spawn(self, name: str, flags: Mapping[str, object]) -> None:
        given = {**flags, **self._flags.get(name, {})}
        argv: list[str | Path] = [binary(name), *(f"--{flag}={value}" for flag, value in given.items())]
        with (self.folder / f"{name}.log").open("wb") as log:
            # It ends with this process, however that ends.
            self._children[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        pids = {known: child.pid for known, child in self._children.items()}
        (self.folder / "pids.json").write_bytes(msgspec.json.encode(pids))
        say(f"{name} started")

    def _not_ready(self) -> str | None:
        for name, child in self._children.items():
            if child.poll() is not None:
                log = self.folder / f"{name}.log"
                last = (log.read_text(encoding="utf-8", errors="replace").strip() or "nothing").splitlines()[-1]
                raise HopelessError(f"{name} ended; it last said: {last[:300]} (see {log})")
        if not (self.folder / "certificates" / "apiserver.crt").exists():
            return "it has no certificate yet"
        try:
            self.send("GET", "/readyz")
        except LabError as error:
            return " ".join(error.message.split())[:60]
        return None

    def _write_kubeconfigs(self) -> None:
        authority = b64encode((self.folder / "certificates" / "apiserver.crt").read_bytes()).decode()
        for user, token in self._tokens.items():
            self.kubeconfig(user).write_text(
                f"""apiVersion: v1
kind: Config
clusters:
- name: many-nodes
  cluster: {{server: "https://127.0.0.1:{self.port}", certificate-authority-data: {authority}}}
users:
- name: user
  user: {{token: {token}}}
contexts:
- name: many-nodes
  context: {{cluster: many-nodes, user: user}}
current-context: many-nodes
""",
                encoding="ascii",
            )

    def _let_in(self) -> None:
        """Give the reader and the loader the rights that the documentation says they need."""
        told = [(CHECKOUT / "docs" / name).read_text(encoding="utf-8") for name in ROLES.values()]
        told += [_binding(role, [READER, LOADER] if role == READER else [LOADER]) for role in ROLES]
        argv: list[str | Path] = [binary("kubectl"), "--kubeconfig", self.kubeconfig(), "apply", "-f", "-"]
        run(argv, timeout=60, stdin="\n---\n".join(told))


def _binding(role: str, users: list[str]) -> str:
    subjects = ", ".join(f"{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {user}}}" for user in users)
    return f"""apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {role}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}
subjects: [{subjects}]
"""


def _free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody has, all at once so that they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
