"""The chart on the lab: its Job judges a real cloud after each `helm upgrade`, and each result is of its own run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from seatrial.lab import lifecycle, nodes
from seatrial.lab.binaries import binary
from seatrial.lab.faults import all_faults
from seatrial.lab.kubectl import get, helm, kubectl
from seatrial.lab.topology import ADMIN_KUBECONFIG

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.usefixtures("lab")]

CHART = Path(__file__).parents[1] / "charts" / "seatrial"
SPACE = "seatrial"
VOLUMES = "/var/lib/lab-volumes"
LIMIT = 1200
VALUES = {
    "cloud": "lab",
    "profile": "lab",
    # As the lab's own seatrial.toml, where there is no API server of Nova's.
    "settings": '[clouds.lab.pods]\nmemcached-client = "application=amqp-clients"\n',
    "claims": {"subsystems": ["memcached"], "settle": "30s"},
    "cron": {"schedule": "17 5 * * *", "suspend": True},
    "history": {"storageClass": "general", "size": "600Mi", "report": False},
    "deadlineSeconds": 900,
}


@pytest.fixture(scope="module")
def installed(lab):  # noqa: ARG001 - the lab must be up
    """The chart with its own defaults for the image, which the lab makes; nothing of it stays."""
    lifecycle.up({"seatrial"}, node_count=5, rabbitmq_replicas=1)
    try:
        helm(
            *("upgrade", "--install", "trial", CHART, "--namespace", SPACE, "--create-namespace", "--values", "-"),
            stdin=yaml.safe_dump(VALUES),
        )
        yield
    finally:
        remove()


def remove():
    claims = get("persistentvolumeclaims", "--namespace", SPACE)["items"]
    volumes = [claim["spec"]["volumeName"] for claim in claims if claim["spec"].get("volumeName")]
    helm("uninstall", "trial", "--namespace", SPACE, "--ignore-not-found")
    kubectl("delete", "namespace", SPACE, "--ignore-not-found", timeout=180)
    for volume in volumes:
        # Its class keeps what was on it, and its claim: the next lab test wants it empty, and for whoever asks.
        node, _, name = volume.rpartition("-")
        nodes.run(node, ["find", f"{VOLUMES}/{name}/data", "-mindepth", "1", "-delete"])
        nodes.run(node, ["chgrp", "0", f"{VOLUMES}/{name}/data"])
        nodes.run(node, ["chmod", "0777", f"{VOLUMES}/{name}/data"])
        kubectl("patch", "persistentvolume", volume, "--type=merge", "--patch", '{"spec": {"claimRef": null}}')


def helm_test():
    """Run `helm test`; return its exit status and the log of its Job."""
    done = subprocess.run(
        [binary("helm"), "test", "trial", "--namespace", SPACE, "--timeout", "15m"],
        env={"KUBECONFIG": str(ADMIN_KUBECONFIG), "HOME": str(ADMIN_KUBECONFIG.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    return done.returncode, log("trial-seatrial-gate"), done.stdout + done.stderr


def log(job):
    return kubectl("--namespace", SPACE, "logs", f"job/{job}", timeout=60)


def runs():
    """Return the verdicts on the volume by the folders of their runs, the oldest first."""
    (claim,) = get("persistentvolumeclaims", "--namespace", SPACE)["items"]
    node, _, name = claim["spec"]["volumeName"].rpartition("-")
    folder = f"{VOLUMES}/{name}/data/runs"
    listed = nodes.run(node, ["ls", "-1", folder]).split()
    return {each: json.loads(nodes.run(node, ["cat", f"{folder}/{each}/verdict.json"])) for each in sorted(listed)}


def outcome(verdict, claim):
    return next(entry["outcome"] for entry in verdict["invariants"] if entry["id"] == claim)


@pytest.mark.usefixtures("installed")
def test_the_job_sees_what_an_upgrade_broke_and_that_another_mended_it():
    fault = all_faults()["one-memcached"]
    status, said, helms = helm_test()
    assert status == 0, said + helms
    assert "the gate is open" in said
    (first,) = runs()
    try:
        fault.break_()  # a `helm upgrade` of memcached to one replica
        status, said, helms = helm_test()
        assert status != 0, helms
        assert "MC-01 critical" in said
        assert "memcached-memcached: 1 of 1 wanted replicas ready" in said
        assert "the gate's exit status is 1" in said
    finally:
        fault.heal()  # another one, to the values that it had
    status, said, helms = helm_test()
    assert status == 0, said + helms
    assert "closed by" not in said

    kept = runs()
    assert next(iter(kept)) == first
    assert [verdict["verdict"] for verdict in kept.values()] == ["open", "closed", "open"]
    assert [outcome(verdict, "MC-01") for verdict in kept.values()] == ["holds", "violated", "holds"]
    assert len({verdict["run"] for verdict in kept.values()}) == len(kept) == 3
    assert f"kept in /history/runs/{list(kept)[-1]}" in said

    # The schedule's Job is the same, and its result one more.
    kubectl("--namespace", SPACE, "create", "job", "by-hand", "--from=cronjob/trial-seatrial")
    kubectl("--namespace", SPACE, "wait", "--for=condition=complete", "job/by-hand", "--timeout=900s", timeout=LIMIT)
    said, again = log("by-hand"), runs()
    assert "the gate's exit status is 0" in said
    assert f"kept in /history/runs/{list(again)[-1]}" in said
    assert list(again)[:3] == list(kept)
    assert len({verdict["run"] for verdict in again.values()}) == 4
