"""The judge: a real cloud, broken for real, judged live by a user who may only read."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections import Counter

import pytest

from seatrial.command import catalogue
from seatrial.fixtures.live import Live
from seatrial.fixtures.question import Command, Pods, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.target import connect
from seatrial.lab import kubectl
from seatrial.lab.faults import all_faults
from seatrial.lab.topology import LOGS, NOBODY_KUBECONFIG, READER_KUBECONFIG

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

FAULTS = all_faults()
SUBSYSTEMS = {entry["id"]: entry["subsystem"] for entry in catalogue.entries() if entry["kind"] == "conformance"}
CAUSES = {invariant.id: invariant.explained_by for invariant, _ in catalogue.collected()}

SAMPLE = {
    "pool-with-one-copy",
    "maintenance-flag-left",
    "cordoned-node",
    "missing-dep-check-image",
    "rabbitmq-no-permissions",
    "rabbitmq-disk-limit-of-ram",
    "galera-member-lost",
    "hung-memcached",
    "anti-affinity-violated",
    "live-patch",
    "prometheus-dead-target",
}
"""Faults that `make lab-test` tries: every subsystem that OpenStack stands on. `ALL=1` tries every one."""


def marks(name):
    of_openstack = FAULTS[name].parts & {"openstack", "horizon", "ironic"}
    return [*([] if name in SAMPLE else [pytest.mark.round]), *([pytest.mark.with_openstack] if of_openstack else [])]


READING = {"get", "list", "watch"}
LIMIT = 180


@pytest.fixture
def told(capsys):
    """Say a line of the table fault, claim, seconds past pytest's capture."""

    def tell(line):
        with capsys.disabled():
            print(f"\n{line} s", end="")

    return tell


class Verdict:
    """What a live gate said."""

    def __init__(self, folder, *options):
        started = time.monotonic()
        path = folder / f"verdict-{time.time_ns()}.json"
        evidence = ["--evidence", str(folder / "evidence"), "--verdict", str(path)]
        command = [sys.executable, "-m", "seatrial.command", "gate", "--cloud", "lab", *evidence, *options]
        run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        self.seconds = time.monotonic() - started
        self.status = run.returncode
        self.said = run.stdout + run.stderr
        self.invariants = json.loads(path.read_text())["invariants"] if path.exists() else []

    def causes(self, invariant):
        """Return the violated invariants that explain this one."""
        return set(CAUSES[invariant]) & set(self.ids("violated"))

    def ids(self, outcome):
        """Return the ids with an outcome."""
        return [entry["id"] for entry in self.invariants if entry["outcome"] == outcome]


def reader(folder, *options):
    return Verdict(folder, "--kubeconfig", str(READER_KUBECONFIG), *options)


def settled(folder, *options):
    """Judge a lab that was just healed: what lingers in a window or a counter is waited for."""
    return reader(folder, "--settle", "90s", *options)


def test_the_gate_opens_on_the_sound_lab_for_a_user_who_may_only_read(tmp_path):
    verdict = settled(tmp_path)
    assert verdict.ids("violated") == [], verdict.said
    assert verdict.ids("undetermined") == [], verdict.said
    assert verdict.status == 0
    assert len(verdict.ids("holds")) > len(verdict.ids("not concerned"))


def test_a_reading_run_uses_no_verb_but_reading_ones_and_exec(tmp_path):
    log = LOGS / "audit.log"
    before = log.stat().st_size
    reader(tmp_path)
    with log.open() as lines:
        lines.seek(before)
        events = [json.loads(line) for line in lines if line.startswith("{")]
    mine = [event for event in events if event["user"]["username"] == "seatrial-reader"]
    used = Counter(
        (
            event["verb"],
            event.get("objectRef", {}).get("resource", ""),
            event.get("objectRef", {}).get("subresource", ""),
        )
        for event in mine
    )
    writing = {key: count for key, count in used.items() if key[0] not in READING and key[1:] != ("pods", "exec")}
    assert len(mine) > 0
    assert writing == {}


@pytest.mark.round
@pytest.mark.with_openstack
def test_a_kubeconfig_alone_is_enough_to_ask_openstack_and_writes_nothing_but_the_request_for_a_token(tmp_path):
    settings = tmp_path / "seatrial.toml"
    settings.write_text(f'[clouds.lab]\nkubeconfig = "{READER_KUBECONFIG}"\nprofile = "lab"\n')
    log = LOGS / "audit.log"
    before = log.stat().st_size
    verdict = Verdict(tmp_path, "--settings", str(settings), "-k", "openstack_api")
    with log.open() as lines:
        lines.seek(before)
        events = [json.loads(line) for line in lines if line.startswith("{")]
    proxied = [
        event
        for event in events
        if event["user"]["username"] == "seatrial-reader"
        and event.get("objectRef", {}).get("subresource") == "proxy"
        and event["verb"] not in READING
    ]
    assert verdict.ids("undetermined") == [], verdict.said
    assert verdict.ids("violated") == ["OS-33"], "the lab's own authority is known to clouds.yaml only"
    paths = {event["requestURI"].partition("/proxy/")[2].partition("?")[0] for event in proxied}
    assert paths == {"v3/auth/tokens"}


def test_a_user_without_rights_hears_what_is_missing_claim_by_claim(tmp_path):
    verdict = Verdict(tmp_path, "--kubeconfig", str(NOBODY_KUBECONFIG))
    assert verdict.status == 10
    # Who may ask Kubernetes nothing may still be somebody to OpenStack, as the lab's clouds.yaml says.
    assert [held for held in verdict.ids("holds") if not held.startswith("OS-")] == []
    assert "docs/clusterrole.yaml" in verdict.said
    assert "Traceback" not in verdict.said


def test_what_was_heard_live_is_judged_alike_from_the_bundle(tmp_path):
    live = reader(tmp_path)
    bundle = next((tmp_path / "evidence").iterdir())
    again = Verdict(tmp_path, "--bundle", str(bundle), "--profile", "lab")
    assert {e["id"]: e["outcome"] for e in again.invariants} == {e["id"]: e["outcome"] for e in live.invariants}


def test_a_command_that_never_ends_is_given_up():
    client, context = connect(str(READER_KUBECONFIG), "")
    with contextlib.closing(Live(Cloud(), client, context)) as live:
        endless = Command(Pods("ceph-toolbox", "app=rook-ceph-tools"), ("sleep", "300"), timeout=2)
        with pytest.raises(Unavailable, match="gave no end within 2 s"):
            live.ask(endless)


def test_a_toolbox_that_is_not_ready_leaves_ceph_undetermined(tmp_path):
    kubectl.kubectl("scale", "deployment/rook-ceph-tools", "--namespace", "rook-ceph", "--replicas", "0", timeout=30)
    try:
        kubectl.kubectl("wait", "--for=delete", "pod", "-l", "app=rook-ceph-tools", "-n", "rook-ceph", timeout=90)
        verdict = reader(tmp_path, "-m", "ceph")
    finally:
        kubectl.kubectl(
            "scale", "deployment/rook-ceph-tools", "--namespace", "rook-ceph", "--replicas", "1", timeout=30
        )
        kubectl.kubectl("rollout", "status", "deployment/rook-ceph-tools", "-n", "rook-ceph", timeout=120)
    assert verdict.status == 10
    assert "CEPH-01" in verdict.ids("undetermined")
    assert "ceph-toolbox pod (app=rook-ceph-tools): there is none" in verdict.said


READ = [name for name, fault in FAULTS.items() if fault.trips in SUBSYSTEMS]
"""Those that a claim sees which reads; what takes load to be seen is in tests/test_load_lab.py."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in READ])
def test_a_fault_is_named_by_its_claim_and_gone_after_healing(name, tmp_path, told):
    fault = FAULTS[name]
    try:
        started = time.monotonic()
        fault.break_()
        broken = reader(tmp_path, "--fail-at", "trivial")
        told(f"{name} | {fault.trips} | {time.monotonic() - started:.1f}")
    finally:
        fault.heal()
    assert fault.trips in broken.ids("violated"), broken.said
    others = set(broken.ids("violated")) - {fault.trips}
    assert {other for other in others if fault.trips not in broken.causes(other)} == set(), broken.said
    assert broken.status == 1
    healed = settled(tmp_path, "-m", SUBSYSTEMS[fault.trips])
    assert healed.ids("violated") == [], healed.said
    assert healed.status == 0, healed.said


@pytest.mark.round
@pytest.mark.parametrize("name", ["one-memcached", "recovery-under-way"])
def test_what_converges_while_the_gate_settles_opens_it(name, tmp_path):
    fault = FAULTS[name]
    fault.break_()
    options = ["--settle", "120s", "--evidence", str(tmp_path), "-m", SUBSYSTEMS[fault.trips]]
    command = [sys.executable, "-m", "seatrial.command", "gate", "--cloud", "lab", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith(f"settling: {fault.trips}"):
                break
        fault.heal()
        said += process.stdout.readlines()
    assert process.returncode == 0, "".join(said)


@pytest.mark.round
def test_what_does_not_move_while_the_gate_settles_is_called_stuck(tmp_path):
    fault = FAULTS["placement-groups-stuck"]
    try:
        fault.break_()
        verdict = reader(tmp_path, "-m", "ceph", "--settle", "20s")
    finally:
        fault.heal()
    stuck = next(entry for entry in verdict.invariants if entry["id"] == fault.trips)
    assert stuck["settling"].startswith("stuck: unchanged"), verdict.said


def test_the_samples_are_faults_and_touch_every_subsystem_that_openstack_stands_on():
    assert set(FAULTS) >= SAMPLE
    of_openstack = {"openstack", "horizon", "ironic"}
    assert {SUBSYSTEMS[FAULTS[name].trips] for name in SAMPLE} == set(SUBSYSTEMS.values()) - of_openstack


def test_a_network_that_the_machine_routes_itself_is_left_alone_and_named():
    others = "ip link add other type bridge && ip link set other up && ip route add 10.77.0.0/16 dev other"
    make = "from seatrial.lab.control_plane import make_bridge; make_bridge()"
    script = f"{others} && {sys.executable} -c '{make}'; ip -4 route show 10.77.0.0/16"
    run = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "this machine routes 10.77.0.0/16 already (10.77.0.0/16 dev other" in run.stderr
    assert run.stdout.startswith("10.77.0.0/16 dev other "), run.stdout
