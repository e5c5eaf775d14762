"""Remedies on a real cloud: a fault, a closed gate, its plan, mended, an open gate, undone, closed, mended again.

Not mended here, since their faults of the lab cannot be mended by what the catalogue names: NODE-06 (a runtime that is
stopped starts no exec either, and no node has systemd), NODE-07 (kube-proxy is no pod), CEPH-12 (nobody attaches),
RMQ-15 (its orphan holds messages, which are an operator's to throw away). Their changes are judged on recorded clouds
and by a real API server.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from mender import MENDER, SEATRIAL, Gate, about, journal, undone

from seatrial.lab.faults import all_faults
from seatrial.lab.kubectl import get, kubectl
from seatrial.lab.topology import LOGS
from seatrial.plugins.remediation.declaration import load
from seatrial.plugins.remediation.risk import OF_EVERY_RUN

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.usefixtures("lab")]

FAULTS = all_faults()
SHOWS_WITHIN_S = 120.0


@dataclass(frozen=True)
class Case:
    """A fault and how it is mended: up to which risk, whether that can be taken back, and a claim that holds then."""

    fault: str
    level: str
    undone: bool = True
    then: str = ""


CASES = [
    Case("pool-with-one-copy", "moves-data"),
    Case("mon-out-of-quorum", "disruptive", undone=False),
    Case("placement-groups-stuck", "disruptive", undone=False),
    Case("slow-operations", "disruptive", undone=False),
    Case("osd-out", "moves-data"),
    Case("osd-down", "disruptive", undone=False),
    Case("unread-crash", "safe", undone=False),
    Case("mons-warn-too-early", "safe"),
    Case("stale-mon-folder", "disruptive"),
    Case("maintenance-flag-left", "moves-data"),
    Case("pool-without-application", "safe"),
    Case("cordoned-node", "safe"),
    Case("missing-dep-check-image", "safe"),
    Case("rabbitmq-one-scheduler", "disruptive"),
    Case("rabbitmq-few-async-threads", "disruptive"),
    Case("rabbitmq-busy-wait", "disruptive"),
    Case("rabbitmq-memory-watermark", "safe"),
    Case("rabbitmq-disk-limit", "safe"),
    Case("rabbitmq-disk-limit-of-ram", "safe"),
    Case("rabbitmq-log-level", "safe"),
    Case("rabbitmq-statistics-interval", "disruptive", undone=False),
    Case("rabbitmq-unknown-key", "safe"),
    Case("rabbitmq-restart-owed", "disruptive", undone=False),
    Case("rabbitmq-no-permissions", "safe"),
    Case("database-requests-nothing", "disruptive"),
    Case("one-memcached", "safe"),
    Case("memcached-on-one-node", "disruptive", undone=False),
    Case("memcached-beside-mons", "disruptive", undone=False),
    Case("hung-memcached", "disruptive", undone=False),
    Case("few-horizon-threads", "disruptive", then="HZN-06"),
    Case("empty-apache-site", "safe"),
    Case("hasty-horizon-probe", "disruptive"),
    Case("sessions-in-the-cache", "disruptive", then="HZN-06"),
    Case("horizon-requests-little", "disruptive"),
    Case("horizon-restart-owed", "disruptive", undone=False),
    Case("few-nova-apis", "safe"),
    Case("few-nova-schedulers", "safe"),
    Case("few-nova-conductors", "safe"),
    Case("few-placements", "safe"),
    Case("few-cinder-volumes", "safe"),
    Case("few-cinder-schedulers", "safe"),
    Case("host-without-cell", "safe", undone=False),
    Case("quota-usage-drifted", "safe", undone=False),
    Case("orphaned-allocation", "safe", undone=False),
    Case("quota-too-small", "safe"),
    Case("rabbitmq-stale-connection", "safe", undone=False),
    Case("small-dns", "disruptive"),
    Case("anti-affinity-violated", "disruptive", undone=False),
    Case("one-conductor", "safe"),
    Case("conductors-on-one-node", "disruptive", undone=False),
    Case("hung-conductor", "disruptive", undone=False),
    Case("throttled-conductor", "disruptive"),
]

SAMPLE = {"pool-with-one-copy", "cordoned-node", "rabbitmq-disk-limit-of-ram", "one-memcached"}
"""What `make lab-test` tries; `ALL=1` tries every one."""


def marked(case):
    fault = FAULTS[case.fault]
    marks = [] if case.fault in SAMPLE else [pytest.mark.round]
    if fault.parts & {"openstack", "horizon", "ironic"}:
        marks.append(pytest.mark.with_openstack)
    return pytest.param(case, id=f"{fault.trips}-{case.fault}", marks=marks)


def violated_again(mender, folder, claim):
    """The first gate that is closed once more: what was undone takes a moment to show."""
    end = time.monotonic() + SHOWS_WITHIN_S
    while True:
        gate = Gate(mender, folder, *about(claim))
        if gate.status == 1 or time.monotonic() > end:
            return gate


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_a_fault_is_mended_undone_and_mended_again(case, mender, tmp_path, capsys):
    fault = FAULTS[case.fault]
    claim = fault.trips
    mend = (*about(claim), f"--remedy={case.level}", *(["--yes"] if case.level == "disruptive" else []))
    try:
        fault.break_()
        plan = Gate(mender, tmp_path, *about(claim), "--remedy=plan")
        assert (plan.status, plan.outcome(claim)) == (1, "violated"), plan.said
        assert re.search(r"^ +(kubectl|openstack) ", plan.said.partition("the remedies")[2], re.MULTILINE), plan.said
        started = time.monotonic()
        mended = Gate(mender, tmp_path, *mend)
        seconds = time.monotonic() - started
        assert (mended.status, mended.outcome(claim)) == (0, "mended"), mended.said
        if case.then:
            also = Gate(mender, tmp_path, *about(case.then))
            assert also.outcome(case.then) == "holds", also.said
        again = Gate(mender, tmp_path, *mend)
        assert (again.status, again.outcome(claim)) == (0, "holds"), again.said
        undo = ""
        if case.undone:
            taken = undone(mender, tmp_path)
            assert taken.returncode == 0, taken.stdout + taken.stderr
            undo = "undone"
            closed = violated_again(mender, tmp_path, claim)
            assert (closed.status, closed.outcome(claim)) == (1, "violated"), closed.said
            third = Gate(mender, tmp_path, *mend)
            assert (third.status, third.outcome(claim)) == (0, "mended"), third.said
        with capsys.disabled():
            print(f"\n{claim} | {case.fault} | {case.level} | {seconds:.1f} s | {undo or 'nothing to undo'}", end="")
    finally:
        fault.heal()


def test_the_audit_log_names_only_verbs_that_are_documented_for_the_remedy(mender, tmp_path):
    log = LOGS / "audit.log"
    before = log.stat().st_size
    fault = FAULTS["cordoned-node"]
    try:
        fault.break_()
        assert Gate(mender, tmp_path, *about("NODE-02"), "--remedy=safe").status == 0
    finally:
        fault.heal()
    with log.open() as lines:
        lines.seek(before)
        events = [json.loads(line) for line in lines if line.startswith("{")]
    mine = [e for e in events if e["user"]["username"].endswith(f":{MENDER}") and "objectRef" in e]
    used = {
        (
            e["verb"],
            e["objectRef"].get("apiGroup", ""),
            e["objectRef"]["resource"],
            e["objectRef"].get("subresource", ""),
        )
        for e in mine
        if e["verb"] not in {"get", "list", "watch"}
    }
    documented = {(r.verb, r.group, r.resource, r.subresource) for r in (*OF_EVERY_RUN, *load()["NODE-02"].rights)}
    assert used <= {*documented, ("create", "", "pods", "exec")}, "exec is how the reading part asks"
    assert ("patch", "", "nodes", "") in used


def test_a_change_by_another_client_in_between_is_refused(mender, tmp_path):
    fault = FAULTS["mons-warn-too-early"]
    from seatrial.lab.ceph import ceph  # noqa: PLC0415 - of this test alone

    profile = tmp_path / "p.toml"
    profile.write_text('extends = "lab"\nabout = "x"\n')
    try:
        fault.break_()
        bundle = Gate(mender, tmp_path, *about("CEPH-09"))
        assert bundle.status == 1
        ceph("config", "set", "mon", "mon_data_avail_warn", "22")
        mended = Gate(mender, tmp_path, *about("CEPH-09"), "--remedy=safe")
        assert mended.outcome("CEPH-09") == "mended"
        ceph("config", "set", "mon", "mon_data_avail_warn", "23")
        taken = undone(mender, tmp_path)
        assert taken.returncode == 12, taken.stdout + taken.stderr
        assert "changed since it was judged" in taken.stderr
    finally:
        fault.heal()


@pytest.mark.round
def test_a_change_that_does_not_help_ends_the_run_and_is_undone_on_request(mender, tmp_path):
    replicas = ("statefulset", "memcached-memcached", "--namespace", "openstack")
    fault = FAULTS["one-memcached"]
    (tmp_path / "hasty.toml").write_text('extends = "lab"\nabout = "a test"\n\n[remedies]\nsettle_safe_s = 20.0\n')
    nodes = [node["metadata"]["name"] for node in get("nodes")["items"]]
    try:
        fault.break_()
        # No node takes the second replica, so that scaling alone does not mend what it should.
        kubectl("cordon", *nodes)
        gate = Gate(mender, tmp_path, *about("MC-01"), "--remedy=safe", "--profile", "hasty.toml")
        assert (gate.status, gate.outcome("MC-01")) == (1, "violated"), gate.said
        assert re.search(r"did not help: .*1 of 2 wanted replicas ready", " ".join(gate.said.split())), gate.said
        lines = [json.loads(line) for line in journal(tmp_path).read_text().splitlines()]
        assert [line["became"] for line in lines if line["what"] == "outcome"] == ["applied", "did not help"]
        assert get(*replicas)["spec"]["replicas"] == 2, "it is left as it is until somebody decides"
        taken = undone(mender, tmp_path)
        assert taken.returncode == 0, taken.stdout + taken.stderr
        assert get(*replicas)["spec"]["replicas"] == 1
    finally:
        kubectl("uncordon", *nodes)
        fault.heal()


@pytest.mark.round
def test_values_keep_a_claim_over_the_next_upgrade_and_without_them_it_is_lost(mender, tmp_path):
    from seatrial.lab.kubectl import helm  # noqa: PLC0415 - of this test alone
    from seatrial.lab.releases import CHARTS  # noqa: PLC0415 - likewise

    fault = FAULTS["one-memcached"]
    overlay = tmp_path / "values-overlay.yaml"
    upgrade = ("upgrade", "memcached", str(CHARTS / "memcached"), "--namespace", "openstack", "--reuse-values")
    try:
        fault.break_()
        mended = Gate(mender, tmp_path, *about("MC-01"), "--remedy=safe", "--values-overlay", str(overlay))
        assert mended.status == 0, mended.said
        drift = Gate(mender, tmp_path, "-m", "invariant(id='HELM-03')")
        assert drift.outcome("HELM-03") == "violated", "what was scaled by hand is told"
        helm(*upgrade, "--values", str(overlay), "--description", "a fault of the lab")
        kept = Gate(mender, tmp_path, "-m", "invariant(id='MC-01') or invariant(id='HELM-03')", "--settle", "60s")
        assert (kept.outcome("MC-01"), kept.outcome("HELM-03")) == ("holds", "holds"), kept.said
    finally:
        fault.heal()


BY_HAND = {
    "CEPH-10": "what fills a mon's disk is an operator's to throw away",
    "HELM-02": "what was patched by hand is kept or undone by the next upgrade, with the values that are printed",
    "HELM-03": "likewise, of replicas",
    "IMG-01": "an OCI image for dep_check is a value of every chart",
    "IMG-03": "the pod asks for an image that nobody has",
    "RMQ-12": "a durable queue is declared by a service, which must be told otherwise",
    "OS-06": "the hour's logs keep telling the calls that the disk alarm left unanswered",
}
"""Claims of the report's cloud whose remedies are manual, or that have none, and why."""
IN_TIME = {"HELM-03", "OS-06"}
"""Of these, what comes of the others: of a remedy's own scaling, and of a call's minute without an answer."""


CALL_S = 60
"""How long a call between services waits for its answer: oslo.messaging's `rpc_response_timeout`."""


def late_timeouts(gate, folder):
    """Return the waived timeouts (OS-06) of calls that were made when the disk alarm was over."""
    lines = [json.loads(line) for line in journal(folder).read_text().splitlines()]
    alarm = next(line["number"] for line in lines if line["what"] == "intended" and line["claim"] == "RMQ-05")
    over = next(line["at"] for line in lines if line["what"] == "outcome" and line["number"] == alarm)
    last = datetime.fromisoformat(over) + timedelta(seconds=CALL_S)
    waived = next(entry["waived"] for entry in gate.entries if entry["id"] == "OS-06")
    moments = {line: re.search(r"MessagingTimeout at (\S+ \S+) in", line)[1] for line in waived}
    return [line for line, moment in moments.items() if datetime.fromisoformat(f"{moment}+00:00") > last]


@pytest.mark.round
@pytest.mark.with_openstack
def test_one_run_opens_the_gate_of_the_reports_cloud_but_for_what_an_operator_answers_for(mender, tmp_path, capsys):
    from seatrial.lab import um_cloud  # noqa: PLC0415 - of this test alone

    waivers = "".join(
        f'[[waiver]]\ninvariant = "{claim}"\nobject = "*"\nreason = "{why}"\nowner = "the lab"\n'
        f"until = {datetime.now(UTC).date() + timedelta(days=30)}\n"
        for claim, why in BY_HAND.items()
    )
    (tmp_path / "waivers.toml").write_text(waivers)
    try:
        um_cloud.break_all()
        before = Gate(mender, tmp_path, "--no-waivers", "--fail-at", "trivial")
        violated = {entry["id"] for entry in before.entries if entry["outcome"] == "violated"}
        assert before.status == 1, before.said
        assert set(BY_HAND) - IN_TIME <= violated, "each is there to be answered for"
        after = Gate(mender, tmp_path, "--remedy=disruptive", "--yes", "--remedy-limit", "80", "--fail-at", "trivial")
        assert after.status == 0, after.said
        assert {entry["id"] for entry in after.entries if entry["outcome"] == "mended"} >= violated - set(BY_HAND)
        assert not late_timeouts(after, tmp_path), "of the time after the alarm, which nobody waives"
        headline = subprocess.run(
            [*SEATRIAL, "report", str(before.verdict), str(after.verdict), "--headline", "md"],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        assert all(f"| **{claim}** " in headline for claim in violated), headline
        with capsys.disabled():
            print(f"\n{headline}")
    finally:
        um_cloud.heal_all()


def test_every_case_is_of_a_fault_and_of_a_claim_with_a_remedy():
    assert {case.fault for case in CASES} <= set(FAULTS)
    assert {FAULTS[case.fault].trips for case in CASES} <= set(load())
    assert {case.fault for case in CASES} >= SAMPLE
