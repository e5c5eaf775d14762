"""Each guard on the lab: what it keeps from being changed stays as it was, and the gate ends with 12 and the reason."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

import pytest
from mender import LIMIT, SEATRIAL, Gate, about

from seatrial.fixtures.bundle import Bundle
from seatrial.fixtures.settings import load_profile
from seatrial.lab.ceph import ceph
from seatrial.lab.containers import running
from seatrial.lab.faults import all_faults
from seatrial.lab.faults.ceph import wait_until_clean
from seatrial.lab.kubectl import apply, get, kubectl
from seatrial.lab.upgrades import upgrade
from seatrial.plugins.remediation.change import Refused
from seatrial.plugins.remediation.guards import Guards
from seatrial.plugins.remediation.manual import ByHand

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.usefixtures("lab")]

FAULTS = all_faults()
ANTI, PREFERRED = "pod.affinity.anti.type.default", "preferredDuringSchedulingIgnoredDuringExecution"


@pytest.fixture
def broken():
    """Break by faults, one after the other; what was broken is healed in the end, the last one first."""
    made = []

    def break_(*names):
        for name in names:
            made.append(FAULTS[name])
            FAULTS[name].break_()

    yield break_
    for fault in reversed(made):
        fault.heal()


def refused(kubeconfig, folder, claim, level, *options):
    """Have a claim mended, see that nothing is changed, and return what was said."""
    gate = Gate(kubeconfig, folder, *about(claim), f"--remedy={level}", "--yes", *options)
    assert (gate.status, gate.outcome(claim)) == (12, "violated"), gate.said
    assert "nothing was changed" in gate.said
    return " ".join(gate.said.split())


def is_cordoned():
    return any(node["spec"].get("unschedulable") for node in get("nodes")["items"])


def test_another_run_holds_the_lease(mender, tmp_path, broken):
    broken("cordoned-node")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease = ("lease", "seatrial", "--namespace", "kube-system")
    try:
        apply(f"""
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: seatrial, namespace: kube-system}}
spec: {{holderIdentity: somebody-else, leaseDurationSeconds: 600, acquireTime: "{now}", renewTime: "{now}"}}
""")
        said = refused(mender, tmp_path, "NODE-02", "safe")
        assert "refused: another run holds the cloud: somebody-else, by Lease kube-system/seatrial" in said
        assert get(*lease)["spec"]["holderIdentity"] == "somebody-else"
    finally:
        kubectl("delete", *lease)
    assert is_cordoned()


def test_a_release_is_pending(mender, tmp_path, broken):
    broken("pending-release", "cordoned-node")
    assert "refused: a Helm release is pending: release openstack/interrupted" in refused(
        mender, tmp_path, "NODE-02", "safe"
    )
    assert is_cordoned()


def test_the_profile_is_in_its_pause_window(mender, tmp_path, broken):
    broken("cordoned-node")
    (tmp_path / "paused.toml").write_text('extends = "lab"\nabout = "never"\n\n[remedies]\npause = ["00:00-24:00"]\n')
    said = refused(mender, tmp_path, "NODE-02", "safe", "--profile", "paused.toml")
    assert "allows no remedy now: its pause window is 00:00-24:00 (UTC)" in said
    assert is_cordoned()


def test_galera_would_lose_its_quorum(mender, tmp_path, broken):
    broken("database-requests-nothing", "galera-member-lost")
    revision = get("statefulset", "mariadb-server", "--namespace", "openstack")["metadata"]["generation"]
    said = refused(mender, tmp_path, "DB-02", "disruptive")
    assert "refused: Galera would lose its quorum: 1 of 3 members would be left" in said
    assert get("statefulset", "mariadb-server", "--namespace", "openstack")["metadata"]["generation"] == revision


def test_rabbitmq_would_not_start_again(mender, tmp_path, broken):
    broken("rabbitmq-one-scheduler", "rabbitmq-unknown-key")
    brokers = ("pods", "--namespace", "openstack", "--selector", "application=rabbitmq,component=server")
    before = [pod["metadata"]["uid"] for pod in get(*brokers)["items"]]
    gate = Gate(mender, tmp_path, *about("RMQ-01"), "--remedy=disruptive", "--yes")
    assert (gate.status, gate.outcome("RMQ-01")) == (12, "violated"), gate.said
    said = " ".join(gate.said.split())
    assert "refused: RabbitMQ would not start again" in said
    assert "(RMQ-09)" in said
    assert [pod["metadata"]["uid"] for pod in get(*brokers)["items"]] == before, "its file is right, and it runs on"


def test_ceph_would_lose_its_quorum(tmp_path, broken):
    broken("mon-out-of-quorum")
    bundle = tmp_path / "lab.tar.zst"
    command = [*SEATRIAL, "capture", str(bundle), "--cloud", "lab"]
    captured = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert bundle.exists(), captured.stdout + captured.stderr
    guards = Guards(Bundle(bundle), load_profile("lab"))
    pods = get("pods", "--namespace", "rook-ceph", "--selector", "app=rook-ceph-mon")["items"]
    takes = {pod["metadata"]["labels"]["mon"]: f"pod rook-ceph/{pod['metadata']['name']}" for pod in pods}
    for mon in ("a", "b"):
        with pytest.raises(Refused, match=f"Ceph would lose its quorum: 1 of 3 mons would be left without {mon}"):
            guards.before(ByHand(offender="x: y", claim="CEPH-06", run=("x",), takes=takes[mon]))
    guards.before(ByHand(offender="x: y", claim="CEPH-03", run=("x",), takes=takes["c"]))


def test_raw_space_would_not_hold_a_second_copy(mender, tmp_path, broken):
    pool = "kubeai-cephfs"
    toolbox = ("-n", "rook-ceph", "exec", "deployment/rook-ceph-tools", "--")
    try:
        kubectl(*toolbox, "sh", "-c", f"head -c 1000000 /dev/zero | rados -p {pool} -N fault put one -", timeout=60)
        broken("pool-with-one-copy")
        # What is free is what OSDs take before they refuse backfill: here, nothing.
        ceph("osd", "set-nearfull-ratio", "0.0001")
        ceph("osd", "set-backfillfull-ratio", "0.0002")
        said = refused(mender, tmp_path, "CEPH-01", "moves-data")
        assert "refused: CEPH-01: raw space would not hold it" in said
        assert "0 are free before OSDs refuse backfill" in said
    finally:
        ceph("osd", "set-backfillfull-ratio", "0.9")
        ceph("osd", "set-nearfull-ratio", "0.85")
        kubectl(*toolbox, "rados", "-p", pool, "-N", "fault", "rm", "one", timeout=60)
    wait_until_clean()


def test_most_of_four_offend(mender, tmp_path):
    replicas = range(4)
    hung = []
    try:
        # Two nodes hold no mon: four replicas are together on them, as soon as none is left that wants its node alone.
        for setting in (f"{ANTI}={PREFERRED}", f"pod.replicas.server={len(replicas)}"):
            upgrade("memcached", "openstack", setting)
            rollout = ("rollout", "status", "statefulset", "memcached-memcached", "--namespace", "openstack")
            kubectl(*rollout, "--timeout=120s", timeout=150)
        for number in replicas[:3]:
            pod = f"statefulset.kubernetes.io/pod-name=memcached-memcached-{number}"
            hung.append(running("openstack", pod, "memcached"))
            hung[-1].signal("STOP")
        said = refused(mender, tmp_path, "MC-04", "disruptive")
        assert "refused: MC-04: 3 of 4 offend: the cause is not in each of them" in said
    finally:
        for container in hung:
            container.signal("CONT")
        FAULTS["one-memcached"].heal()
