"""etcd and Kubernetes' own API server on loopback, with users who have no rights but those that documents give them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from seatrial.fixtures import resources
from seatrial.fixtures.target import connect
from seatrial.lab.binaries import BUILDS
from seatrial.plugins.remediation.hand import Hand

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = {name: build.folder / name for build in BUILDS for name in build.programs}
UP_WITHIN = 90.0
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
USERS = ("mender", "reader", "loader")

MARKS = [
    pytest.mark.apiserver,
    pytest.mark.skipif(
        not all(PROGRAMS[name].exists() for name in ("etcd", "kube-apiserver")),
        reason="`seatrial lab up` has not built etcd and kube-apiserver here",
    ),
]

CONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:{port}", insecure-skip-tls-verify: true}}}}]
users: [{{name: u, user: {{token: {token}}}}}]
contexts: [{{name: c, context: {{cluster: c, user: u}}}}]
current-context: c
"""
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: [mender]
  - level: None
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """An API server with an administrator, and with users of the names in `USERS`."""

    def __init__(self, folder):
        self.folder = folder
        self.port, store, peer = free_port(), free_port(), free_port()
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        tokens = [f"{user},{user},{number}\n" for number, user in enumerate(USERS, start=2)]
        (folder / "tokens").write_text("".join(["admin,admin,1,system:masters\n", *tokens]))
        (folder / "audit.yaml").write_text(AUDIT)
        for user in ("admin", *USERS):
            (folder / user).write_text(CONFIG.format(port=self.port, token=user))
        at, beside = f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peer}"
        etcd = [
            f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={at}", f"--advertise-client-urls={at}",
            f"--listen-peer-urls={beside}", f"--initial-advertise-peer-urls={beside}",
            f"--initial-cluster=default={beside}", "--unsafe-no-fsync", "--log-level=error",
        ]  # fmt: skip
        api = [
            f"--etcd-servers={at}", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
            f"--cert-dir={folder / 'certs'}", f"--token-auth-file={folder / 'tokens'}", "--authorization-mode=RBAC",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.97.0.0/24",
            "--disable-admission-plugins=ServiceAccount", f"--audit-policy-file={folder / 'audit.yaml'}",
            f"--audit-log-path={folder / 'audit.log'}", "--endpoint-reconciler-type=none",
        ]  # fmt: skip
        self.processes = [
            self._start("etcd", PROGRAMS["etcd"], etcd),
            self._start("kube-apiserver", PROGRAMS["kube-apiserver"], api),
        ]

    def _start(self, name, program, flags):
        with (self.folder / f"{name}.log").open("w") as log:
            return subprocess.Popen([program, *flags], stdout=log, stderr=log)

    def ready(self):
        context = ssl._create_unverified_context()
        end = time.monotonic() + UP_WITHIN
        while time.monotonic() < end:
            request = urllib.request.Request(
                f"https://127.0.0.1:{self.port}/readyz", headers={"Authorization": "Bearer admin"}
            )
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(request, timeout=2, context=context).status == 200:
                    return
            assert all(process.poll() is None for process in self.processes), "it ended"
            time.sleep(0.3)
        raise AssertionError("it is not ready")

    def hand(self, user="mender", patience=3.0):
        client, _ = connect(str(self.folder / user), "")
        return Hand(client, patience, 0.05, lambda _text: None)

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def serving(tmp_path_factory):
    """An API server that answers, for the tests of a file."""
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        running.ready()
        yield running
    finally:
        running.close()


def documents(name):
    return list(yaml.safe_load_all((DOCS / f"{name}.yaml").read_text()))


def bind(admin, document, *users):
    """Give users the roles of a document."""
    for role in documents(document):
        admin.send("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
        for user in users:
            reference = {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role["metadata"]["name"],
            }
            binding = {
                "metadata": {"name": f"{role['metadata']['name']}-{user}"},
                "roleRef": reference,
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
            }
            admin.send("POST", resources.path("clusterrolebindings"), binding)
    for role in documents(document):
        for user in users:
            in_force(admin, user, role)


def in_force(admin, user, role, namespace=""):
    """Wait until a user has what a role's last rule gives: an API server heeds a role a moment after it took it."""
    rule = next(rule for rule in reversed(role["rules"]) if "resources" in rule and "resourceNames" not in rule)
    resource, _, subresource = rule["resources"][-1].partition("/")
    wanted = {"group": rule["apiGroups"][-1], "resource": resource, "subresource": subresource}
    wanted |= {"verb": rule["verbs"][-1], "namespace": namespace}
    review = {"spec": {"user": user, "resourceAttributes": wanted}}
    end = time.monotonic() + UP_WITHIN
    while not admin.send("POST", REVIEWS, review)["status"].get("allowed"):
        assert time.monotonic() < end, f"{user} still may not {rule['verbs'][-1]} {rule['resources'][-1]}"
        time.sleep(0.02)
