"""Who mends the lab in tests: a service account that has the documented roles and no other right, and its gate."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import yaml

from seatrial.lab import kubectl
from seatrial.lab.topology import ADMIN_KUBECONFIG

DOCS = Path(__file__).parents[1] / "docs"
MENDER = "seatrial-mender"
SPACE = "default"
"""Where its account is: of those in kube-system the lab's audit log tells nothing."""
ROLES = ("seatrial-reader", "seatrial-mender", "seatrial-migrator")
LIMIT = 1500
SEATRIAL = (sys.executable, "-m", "seatrial.command")


@contextmanager
def account(folder):
    """Give a kubeconfig of the service account, and take the account away afterwards."""
    roles = [(DOCS / name).read_text() for name in ("clusterrole.yaml", "clusterrole-remedies.yaml")]
    owner = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {MENDER}, namespace: {SPACE}}}
"""
    bindings = [
        f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {MENDER}-{role}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}
subjects: [{{kind: ServiceAccount, name: {MENDER}, namespace: {SPACE}}}]
"""
        for role in ROLES
    ]
    kubectl.apply("\n---\n".join([*roles, owner, *bindings]))
    token = kubectl.kubectl("-n", SPACE, "create", "token", MENDER, "--duration=8h").strip()
    config = yaml.safe_load(ADMIN_KUBECONFIG.read_text())
    config["users"] = [{"name": MENDER, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = MENDER
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    for role in ROLES:
        kubectl.kubectl("delete", "clusterrolebinding", f"{MENDER}-{role}")
    kubectl.kubectl("-n", SPACE, "delete", "serviceaccount", MENDER)


class Gate:
    """A gate of the lab about one claim."""

    def __init__(self, kubeconfig, folder, *options):
        self.verdict = folder / f"verdict-{time.time_ns()}.json"
        command = [*SEATRIAL, "gate", "--cloud", "lab", "--kubeconfig", str(kubeconfig)]
        run = subprocess.run(
            [*command, "--evidence", "evidence", "--verdict", str(self.verdict), *options],
            capture_output=True, text=True, timeout=LIMIT, check=False, cwd=folder,
        )  # fmt: skip
        self.status, self.said = run.returncode, run.stdout + run.stderr
        self.entries = json.loads(self.verdict.read_text())["invariants"] if self.verdict.exists() else []

    def outcome(self, claim):
        return next(entry["outcome"] for entry in self.entries if entry["id"] == claim)


def about(claim):
    return ("-m", f"invariant(id='{claim}')", "--fail-at", "trivial")


def journal(folder):
    return max(folder.glob("evidence/*/journal.jsonl"), key=lambda path: path.stat().st_mtime)


def undone(kubeconfig, folder):
    """Undo the newest journal of a folder, and return the finished command."""
    command = [*SEATRIAL, "undo", str(journal(folder)), "--no-judge", "--cloud", "lab", "--profile", "lab"]
    return subprocess.run(
        [*command, "--kubeconfig", str(kubeconfig)],
        capture_output=True, text=True, timeout=LIMIT, check=False, cwd=folder,
    )  # fmt: skip
