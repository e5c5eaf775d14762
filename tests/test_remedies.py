"""What remedies propose from recorded clouds: exact commands, their undo, and nothing contacted."""

from __future__ import annotations

import importlib
import json
import pkgutil
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import breakages
import pytest
import yaml

from breakage import BREAKAGES, RecordedCloud
from seatrial.command import catalogue
from seatrial.command.remedies import as_clusterrole, as_markdown
from seatrial.fixtures.bundle import Bundle, recorded, reseal, unpack
from seatrial.fixtures.cluster import PODS
from seatrial.fixtures.fact import questions_of
from seatrial.fixtures.question import NotConcerned, Raw, Unavailable
from seatrial.fixtures.settings import load_profile
from seatrial.fixtures.source import Source
from seatrial.plugins.remediation.change import Value
from seatrial.plugins.remediation.declaration import load
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.overlay import overlay
from seatrial.plugins.remediation.plan import Heard
from seatrial.plugins.remediation.risk import Risk

for module in pkgutil.iter_modules(breakages.__path__):
    importlib.import_module(f"breakages.{module.name}")

ROOT = Path(__file__).parents[1]

BROKER = "kubectl -n openstack exec rabbitmq-rabbitmq-0 -- rabbitmqctl --quiet"
RESOURCES = "kubectl -n openstack set resources"

NOTHING_TO_CHANGE = {
    "CEPH-13", "CEPH-14", "NODE-01", "NODE-05", "NODE-09", "NODE-10", "RMQ-17", "DB-01", "DB-03", "DB-04", "DB-05",
    "DB-06", "MC-05", "OS-02", "OS-05", "OS-06", "OS-07", "OS-08", "OS-09", "OS-10", "OS-12", "OS-15", "OS-21", "OS-31",
    "OS-32", "OS-33", "K8S-02", "K8S-04", "K8S-06", "K8S-10", "K8S-11", "K8S-12", "IRON-06", "PROM-02", "PROM-03",
}  # fmt: skip
"""Claims whose catalogue names no remedy: they are looked into, waited for, or follow from another."""


@pytest.fixture(scope="module")
def demands():
    return load_profile("lab")


@pytest.fixture(scope="module")
def before():
    return Bundle(recorded("um-cloud-before"))


def changes(claim, source, demands):
    return load()[claim].changes(source, demands)


def typed(claim, source, demands):
    return [command for change in changes(claim, source, demands) for command in change.typed]


def test_every_claim_has_a_remedy_or_is_known_to_have_none():
    claims = {entry["id"] for entry in catalogue.entries() if entry["kind"] == "conformance"}
    assert set(load()) - claims == set()
    assert claims - set(load()) == NOTHING_TO_CHANGE


@pytest.mark.parametrize(
    ("claim", "commands"),
    [
        ("NODE-02", ["kubectl uncordon lab-2"]),
        (
            "CEPH-01",
            ["kubectl -n rook-ceph exec deploy/rook-ceph-tools -- ceph osd pool set kubeai-cephfs size 2"],
        ),
        ("CEPH-07", ["kubectl -n rook-ceph exec deploy/rook-ceph-tools -- ceph osd in 2"]),
        (
            "CEPH-09",
            ["kubectl -n rook-ceph exec deploy/rook-ceph-tools -- ceph config set mon mon_data_avail_warn 15"],
        ),
        ("MC-01", ["kubectl -n openstack scale statefulset memcached-memcached --replicas=2"]),
        ("OS-01", ["kubectl -n openstack scale deployment nova-api-osapi --replicas=4"]),
        (
            "RMQ-05",
            ["kubectl -n openstack exec rabbitmq-rabbitmq-0 -- rabbitmqctl --quiet set_disk_free_limit 50MB"],
        ),
        (
            "RMQ-11",
            [f"{BROKER} set_permissions -p / rabbitmq '.*' '.*' '.*'"],
        ),
        (
            "DB-02",
            [f"{RESOURCES} statefulset mariadb-server -c mariadb --requests=cpu=100m,memory=256Mi"],
        ),
    ],
)
def test_a_remedy_says_what_an_operator_would_type(claim, commands, before, demands):
    assert typed(claim, before, demands) == commands


class OfOneClaim(Source):
    """What a run about one claim has heard of a recorded cloud."""

    def __init__(self, bundle, questions):
        super().__init__()
        self._bundle, self._questions = bundle, set(questions)

    def fetch(self, question):
        if question not in self._questions:
            raise Unavailable(f"{question}: was not asked in this run")
        return self._bundle.fetch(question)

    @property
    def now(self):
        return self._bundle.now

    @property
    def manifest(self):
        return self._bundle.manifest


def test_a_plan_of_one_claim_is_as_whole_as_one_of_all(before, demands):
    taken = {invariant.id: facts for invariant, facts in catalogue.collected()}
    odd = []
    for claim, remedy in load().items():
        try:
            whole = changes(claim, before, demands)
        except (NotConcerned, Unavailable):
            continue
        heard = OfOneClaim(before, [*questions_of(taken[claim], demands), *remedy.questions(demands)])
        try:
            alone = changes(claim, heard, demands)
        except Unavailable as unread:
            odd.append(f"{claim}: {unread}")
        else:
            odd += [f"{claim}: {change}" for change in [*alone, *whole] if change not in alone or change not in whole]
    assert odd == []


def test_what_undoes_a_change_is_told_exactly(before, demands):
    (pool,) = changes("CEPH-01", before, demands)
    assert [command.partition(" -- ")[2] for command in pool.typed_undo] == [
        "ceph osd pool set kubeai-cephfs size 1 --yes-i-really-mean-it",
        "ceph osd pool set kubeai-cephfs min_size 1",
    ]
    (node,) = changes("NODE-02", before, demands)
    assert node.typed_undo == ("kubectl cordon lab-2",)


def test_a_second_copy_asks_for_the_raw_space_that_it_takes(before, demands):
    (pool,) = changes("CEPH-01", before, demands)
    taken = json.loads(next(a.body for q, a in asked(before) if q.endswith("df -f json")))
    used = next(p["stats"]["bytes_used"] for p in taken["pools"] if p["name"] == "kubeai-cephfs")
    assert pool.raw_bytes == used


def asked(source):
    for question, answers in source.heard.items():
        yield str(question), answers[0]


def test_stuck_groups_are_asked_first_then_their_primary_its_pod_and_those_of_its_copies_last(before, demands):
    rungs = [(change.rung, change.risk) for change in changes("CEPH-05", before, demands)]
    assert rungs == [(0, "safe"), (1, "moves-data"), (2, "disruptive"), (3, "disruptive")]


def test_a_line_of_a_secret_is_changed_and_no_other(before, demands):
    edit, restart = changes("HZN-01", before, demands)
    assert (edit.resource, edit.name, edit.file) == ("secrets", "horizon-etc", "000-default.conf")
    assert "processes=5 threads=1 " in edit.lines[0].before
    assert edit.lines[0].after == edit.lines[0].before.replace("threads=1 ", "threads=5 ")
    assert restart.typed == ("kubectl -n openstack rollout restart deployment/horizon",)


def test_every_change_knows_its_undo_or_that_there_is_none(before, demands):
    for claim in ("MC-01", "RMQ-04", "RMQ-05", "RMQ-07", "RMQ-09", "HZN-03", "HZN-04", "HZN-05", "IMG-02", "CEPH-11"):
        for change in changes(claim, before, demands):
            assert change.typed_undo, change
            assert all(shlex.split(command.replace("$(", "").replace("`", "")) for command in change.typed_undo)


def test_the_rights_of_changes_are_those_that_are_declared(before, demands):
    for claim, remedy in load().items():
        try:
            found = remedy.changes(before, demands)
        except (NotConcerned, Unavailable):
            continue
        for change in found:
            needed = {right.within("") for right in change.rights}
            assert needed <= set(remedy.rights), (claim, needed)
            assert change.level <= remedy.risk or change.level in (Risk.MANUAL, Risk.DISRUPTIVE), claim


def test_on_the_sound_cloud_nothing_is_to_be_changed(demands):
    after = Bundle(recorded("um-cloud-after"))
    proposed = {}
    for claim, remedy in load().items():
        try:
            found = remedy.changes(after, demands)
        except (NotConcerned, Unavailable):
            continue
        if found:
            proposed[claim] = [change.typed for change in found]
    assert proposed == {}


SHOWN = sorted({b.invariant for b in BREAKAGES} & set(load()))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "cloud"
    unpack(recorded("um-cloud-after"), folder)
    return folder


def gate(*options, cwd=None):
    command = [sys.executable, "-m", "seatrial.command", "gate", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


def test_a_plan_on_a_recorded_cloud_changes_nothing_of_the_verdict(tmp_path):
    plain = gate("--bundle", "um-cloud-before", "--profile", "lab", cwd=tmp_path)
    plan = gate(
        "--bundle", "um-cloud-before", "--profile", "lab", "--remedy=plan", "--values-overlay", "o.yaml", cwd=tmp_path
    )
    assert (plain.returncode, plan.returncode) == (1, 1)
    assert "risk: moves-data" in plan.stdout
    assert "ceph osd pool set kubeai-cephfs size 2" in plan.stdout
    assert "undo: kubectl cordon lab-2" in plan.stdout
    assert "by hand" not in plain.stdout
    documents = list(yaml.safe_load_all((tmp_path / "o.yaml").read_text()))
    assert {"pod": {"replicas": {"server": 2}}} in documents
    assert "# MC-01" in (tmp_path / "o.yaml").read_text()


def test_a_plan_may_be_of_some_claims_only(tmp_path):
    options = ("--bundle", "um-cloud-before", "--profile", "lab", "--remedy=plan", "--remedy-only", "CEPH-01,MC-01")
    said = gate(*options, cwd=tmp_path).stdout
    told = said.partition("the remedies")[2]
    assert "MC-01 critical" in told
    assert "RMQ-05 critical" not in told


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--remedy=safe",), "a recorded cloud cannot be mended"),
        (("--remedy=plan", "--remedy-only", "CEPH-99"), "--remedy-only CEPH-99: no invariant"),
        (("--remedy=plan", "--remedy-limit", "0"), "--remedy-limit 0"),
        (("--remedy=disruptive",), "give --yes"),
        (("--remedy=plan", "-n", "2"), "leave out -n"),
    ],
)
def test_wrong_options_are_usage_errors(options, complaint, tmp_path):
    run = gate("--bundle", "um-cloud-before", "--profile", "lab", *options, cwd=tmp_path)
    assert run.returncode == 4, run.stdout + run.stderr
    assert complaint in run.stderr + run.stdout


def test_a_waived_object_is_left_as_it_is(tmp_path):
    waiver = '[[waiver]]\ninvariant = "{}"\nobject = "{}"\nreason = "r"\nowner = "o"\nuntil = 2099-01-01\n'
    waivers = waiver.format("CEPH-07", "osd.2") + waiver.format("MC-01", "nobody")
    (tmp_path / "waivers.toml").write_text(waivers)
    said = gate("--bundle", "um-cloud-before", "--profile", "lab", "--remedy=plan", cwd=tmp_path).stdout
    assert "ceph osd in 2" not in said
    assert "--replicas=2" in said


def test_a_plan_of_a_live_cloud_asks_nobody_anew(before):
    heard = Heard(before)
    assert before.ask(PODS) == heard.ask(PODS)
    with pytest.raises(Unavailable, match="was not asked in this run"):
        heard.ask(Raw("/nobody/asked/this"))


def test_values_of_several_claims_are_merged_and_a_contradiction_is_told():
    def by(claim, path, value=None, note=""):
        return ByHand(
            offender="x", claim=claim, run=("x",), values=(Value(release="ns/r", path=path, value=value, note=note),)
        )

    text = overlay(
        [
            by("A-01", "pod.replicas.api", 2),
            by("A-02", "pod.replicas.api", 3),
            by("A-03", "conf.x", "50MB"),
            by("A-04", "conf.list", note="look at it"),
            by("A-05", "pod.off", value=None),
        ]
    )
    assert yaml.safe_load(text) == {"pod": {"replicas": {"api": 2}, "off": None}, "conf": {"x": "50MB"}}
    assert "# A-01, A-02, another claim asks for 3" in text
    assert "# A-04: conf.list: look at it" in text
    assert overlay([]) == ""


def test_the_documents_about_remedies_are_fresh():
    assert (ROOT / "docs" / "remedies.md").read_text() == as_markdown(), "run `make docs`"
    assert (ROOT / "docs" / "clusterrole-remedies.yaml").read_text() == as_clusterrole(), "run `make docs`"


def test_the_reading_role_grants_nothing_that_writes():
    role = yaml.safe_load((ROOT / "docs" / "clusterrole.yaml").read_text())
    writing = [rule for rule in role["rules"] if not set(rule["verbs"]) <= {"get", "list", "watch"}]
    assert [rule["resources"] for rule in writing] == [["pods/exec"], ["services/proxy"]]


UNHELPED = {
    "IRON-01": "as many conductors are wanted as should be: those that are not ready are looked into",
    "MC-01": "as many replicas are wanted as should be: those that are not ready are looked into",
    "NODE-07": "no pod of the lab makes the nodes' network",
    "PROM-04": "a receiver is named already: its own log says why it is behind",
}
"""Claims whose breakages are not what their remedy mends, and why."""


@pytest.mark.parametrize("claim", SHOWN)
def test_a_remedy_has_something_to_say_of_a_breakage_of_its_claim(claim, sound, tmp_path, demands):
    found = []
    for number, breakage in enumerate(b for b in BREAKAGES if b.invariant == claim):
        folder = tmp_path / str(number)
        shutil.copytree(sound, folder)
        breakage.change(RecordedCloud(folder))
        reseal(folder)
        try:
            found += load()[claim].changes(Bundle(folder), demands)
        except Unavailable as unread:
            pytest.skip(f"the recorded answers do not tell where to mend: {unread}")
    assert bool(found) == (claim not in UNHELPED)
    for change in found:
        assert change.typed
        assert change.offender
