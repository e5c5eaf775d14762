"""What is measured between the lab's nodes and its computes: sound, broken for real, and refused before it begins."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from seatrial.fixtures.settings import load_cloud
from seatrial.fixtures.tenant_login import login_of
from seatrial.fixtures.tenant_session import Session
from seatrial.lab import kubectl
from seatrial.lab.faults import all_faults
from seatrial.lab.openstack import Cloud
from seatrial.lab.topology import ADMIN_KUBECONFIG, READER_KUBECONFIG, SETTINGS

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.usefixtures("lab")]

FAULTS = all_faults()
SEATRIAL = [sys.executable, "-m", "seatrial.command"]
NETWORK, MIGRATION = "the_network_between_nodes", "migrate"
LIMIT = 900


def gate(folder, what, *options, cloud="lab"):
    """Judge one measurement of the lab in a folder; return the exit status, the verdict's entries and what was said."""
    allowed = ["--allow", "load", "--no-history", "--verdict", "verdict.json", "-m", "performance", "-k", what]
    command = [*SEATRIAL, "gate", "--cloud", cloud, *allowed, *options]
    run = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    entries = {entry["id"]: entry for entry in json.loads((folder / "verdict.json").read_text())["invariants"]}
    return run.returncode, entries, run.stdout + run.stderr


def pods_left():
    listed = kubectl.get("pods", "--all-namespaces", "--selector", "seatrial-run")["items"]
    return [pod["metadata"]["name"] for pod in listed]


def profile(folder, section, **settings):
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    path = folder / "own.toml"
    path.write_text(f'extends = "lab"\nabout = "a test"\n\n[{section}]\n{lines}\n')
    return str(path)


def test_the_network_between_the_labs_nodes_carries_its_rate_and_no_pod_is_left(tmp_path):
    status, entries, said = gate(tmp_path, NETWORK)
    assert (status, entries["LOAD-13"]["outcome"]) == (0, "holds"), said
    measured = entries["LOAD-13"]["measured"]
    assert (measured["pairs"], measured["measured"], measured["mtu"]) == (5, 5, 1500)
    assert pods_left() == []


OF_THE_NETWORK = [name for name, fault in FAULTS.items() if fault.trips == "LOAD-13"]


@pytest.mark.parametrize("name", OF_THE_NETWORK)
def test_a_fault_of_the_network_is_told_by_the_node_that_has_it_and_gone_after_healing(name, tmp_path):
    fault = FAULTS[name]
    try:
        fault.break_()
        status, broken, said = gate(tmp_path, NETWORK)
    finally:
        fault.heal()
    assert (status, broken["LOAD-13"]["outcome"]) == (1, "violated"), said
    assert all("lab-4" in line.partition(":")[0] for line in broken["LOAD-13"]["offenders"]), said
    status, healed, said = gate(tmp_path, NETWORK)
    assert (status, healed["LOAD-13"]["outcome"]) == (0, "holds"), said
    assert pods_left() == []


def test_the_faults_of_the_network_are_three():
    assert sorted(OF_THE_NETWORK) == ["no-route-between-two-nodes", "node-with-slow-link", "node-with-smaller-mtu"]


def test_who_may_only_read_hears_which_rights_are_missing_and_no_pod_is_made(tmp_path):
    status, entries, said = gate(tmp_path, NETWORK, "--kubeconfig", str(READER_KUBECONFIG))
    assert (status, entries["LOAD-13"]["outcome"]) == (10, "undetermined"), said
    why = "no pod is made without these rights in namespace default: create pods, delete pods"
    assert entries["LOAD-13"]["reason"] == why
    assert pods_left() == []


def test_an_image_that_cannot_be_pulled_is_told_and_its_pods_are_taken_away(tmp_path):
    settings = f'[clouds.x]\nkubeconfig = "{ADMIN_KUBECONFIG}"\n[clouds.x.iperf3]\nimage = "docker.io/library/none:1"\n'
    (tmp_path / "seatrial.toml").write_text(settings)
    chosen = ["--settings", "seatrial.toml", "--profile", profile(tmp_path, "pod_network", start_s=15.0)]
    status, entries, said = gate(tmp_path, NETWORK, *chosen, cloud="x")
    assert (status, entries["LOAD-13"]["outcome"]) == (10, "undetermined"), said
    assert "0 of 5 pods are ready after 15 s; node lab-1: pod default/seatrial-" in entries["LOAD-13"]["reason"]
    assert "ImagePull" in entries["LOAD-13"]["reason"]
    assert pods_left() == []


@pytest.fixture
def project():
    """A session with the project that the trials use."""
    _, cloud, _ = load_cloud("lab", SETTINGS)
    return Session(login_of(cloud.openstack))


def servers(session):
    return {item["id"] for item in session.pages("compute", "/servers", "servers")}


@pytest.mark.with_openstack
def test_servers_migrate_live_between_the_labs_computes_and_no_downtime_is_made_up(tmp_path, project):
    before = servers(project)
    status, entries, said = gate(tmp_path, MIGRATION)
    assert (status, entries["LOAD-14"]["outcome"]) == (0, "holds"), said
    measured = entries["LOAD-14"]["measured"]
    assert (measured["servers"], measured["migrated"]) == (3, 3)
    assert measured["total_p95_s"] > 0
    assert not any("downtime" in name for name in measured), "Nova's fake driver has no guest to stand still"
    assert entries["LOAD-16"]["outcome"] == "not concerned"
    kept = json.loads(next(tmp_path.glob("evidence/*/live-migrations.json")).read_text())
    assert all(move["source"] != move["destination"] for move in kept["servers"])
    assert "compute_live_migration" in {step for move in kept["servers"] for step, _, _ in move["steps"]}
    assert servers(project) == before


@pytest.mark.with_openstack
def test_migrations_over_their_budget_close_the_gate(tmp_path, project):
    before = servers(project)
    hasty = profile(tmp_path, "live_migration", servers=1, total_p50_s=0.01, total_p95_s=0.01)
    status, entries, said = gate(tmp_path, MIGRATION, "--profile", hasty)
    assert (status, entries["LOAD-14"]["outcome"]) == (1, "violated"), said
    assert entries["LOAD-14"]["offenders"][0].startswith("live migration: p50 took ")
    assert servers(project) == before


@pytest.mark.with_openstack
def test_servers_that_nobody_reaches_leave_their_downtime_undetermined(tmp_path, project):
    before = servers(project)
    watched = profile(tmp_path, "live_migration", servers=1, port=22, answers_within_s=2.0)
    status, entries, said = gate(tmp_path, "answer_again", "--profile", watched)
    assert (status, entries["LOAD-16"]["outcome"]) == (10, "undetermined"), said
    assert "nobody can see from here for how long it is away" in entries["LOAD-16"]["reason"]
    assert servers(project) == before


@pytest.mark.with_openstack
def test_a_plain_user_hears_that_an_administrator_migrates_and_nothing_is_made(tmp_path, project):
    before = servers(project)
    status, entries, said = gate(tmp_path, MIGRATION, "--os-cloud", "lab-member")
    assert (status, entries["LOAD-14"]["outcome"]) == (10, "undetermined"), said
    assert "this user may not migrate servers: an administrator may" in entries["LOAD-14"]["reason"]
    assert servers(project) == before


@pytest.fixture
def one_compute():
    """A Nova of whose computes all but one are disabled."""
    cloud = Cloud()
    services = cloud.ask("GET", "compute", "/os-services?binary=nova-compute", microversion="2.53")["services"]
    try:
        for service in services[1:]:
            cloud.ask("PUT", "compute", f"/os-services/{service['id']}", {"status": "disabled"}, microversion="2.53")
        yield services[0]["host"]
    finally:
        for service in services[1:]:
            cloud.ask("PUT", "compute", f"/os-services/{service['id']}", {"status": "enabled"}, microversion="2.53")


@pytest.mark.with_openstack
def test_where_all_other_computes_are_disabled_no_server_can_go_and_none_is_made(tmp_path, project, one_compute):
    before = servers(project)
    status, entries, said = gate(tmp_path, MIGRATION)
    assert (status, entries["LOAD-14"]["outcome"]) == (1, "violated"), said
    assert entries["LOAD-14"]["offenders"] == [f"computes: 1 of 3 up and enabled ({one_compute}): no server can go"]
    assert servers(project) == before
