"""A played cloud whose broker is a real one of this machine, and gates that put loads on it."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import time

from fake_kubernetes import KUBECONFIG, FakeKubernetes


def put_broker(kubernetes, ready="True", **secret):
    """Let a cluster have the pod of a broker, and the Secret with its credentials."""
    pod = kubernetes.pod("rabbitmq-0", "openstack", "n1", ("rabbitmq",), application="rabbitmq", component="server")
    pod["status"]["conditions"] = [{"type": "Ready", "status": ready}]
    if secret:
        name = "rabbitmq-default-user" if "username" in secret else "rabbitmq-admin-user"
        data = {key: base64.b64encode(value.encode()).decode() for key, value in secret.items()}
        kubernetes.put("secrets", {"metadata": {"name": name, "namespace": "openstack"}, "data": data})
    return kubernetes


def executed_on(broker):
    """Return what runs `rabbitmqctl` on a real broker, whatever comes of it."""

    def run(_pod, argv):
        try:
            return broker.ctl(*argv[2:]), 0
        except RuntimeError as refused:
            return str(refused), 64

    return run


@contextlib.contextmanager
def cloud_of(broker, folder, more=""):
    """A cloud whose only pod is the broker; what is executed in it is executed on the real one."""
    kubernetes = put_broker(FakeKubernetes(), RABBITMQ_ADMIN_USERNAME="guest", RABBITMQ_ADMIN_PASSWORD="guest")
    kubernetes.runs = executed_on(broker)
    (folder / "kubeconfig").write_text(KUBECONFIG % kubernetes.url)
    address = f'[clouds.test.rabbitmq]\naddress = "127.0.0.1:{broker.port}"\n'
    (folder / "seatrial.toml").write_text(
        f'default = "test"\n[clouds.test]\nkubeconfig = "kubeconfig"\n{address}{more}'
    )
    try:
        yield kubernetes
    finally:
        kubernetes.close()


def gate(folder, profile, *ids):
    """Write the profile, and return the command that judges these claims by it."""
    (folder / "load.toml").write_text(profile)
    chosen = " or ".join(f"invariant(id='{id_}')" for id_ in ids)
    command = [sys.executable, "-m", "pytest", "-p", "seatrial", "-p", "no:cacheprovider"]
    options = ["-m", chosen, "--allow", "load", "--profile", "load.toml", "--verdict", "verdict.json"]
    return [*command, "--pyargs", "seatrial.suites", *options]


def judged(folder, command):
    """Run a gate to its end; return how it ended, and the verdict's entries by their claims' ids."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert (folder / "verdict.json").exists(), done.stdout + done.stderr
    verdict = json.loads((folder / "verdict.json").read_text())
    return done, {entry["id"]: entry for entry in verdict["invariants"]}


def begun(folder, command):
    """Begin a gate whose end the test itself brings about."""
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seatrial(folder, *words):
    """Run one of seatrial's other commands."""
    command = [sys.executable, "-m", "seatrial.command", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def vhosts(broker):
    return broker.ctl("list_vhosts").split()[1:]


def loaded(broker):
    """Whether somebody is connected to the broker."""
    return "guest" in broker.ctl("list_connections", "user")


def until(done, patience=180):
    deadline = time.monotonic() + patience
    while not done():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
