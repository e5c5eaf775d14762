"""The acceptance suites on a real OpenStack: how many at once, what is left when they are killed, whose things stay."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seatrial.fixtures.leftovers import found
from seatrial.fixtures.settings import load_cloud
from seatrial.fixtures.tenant_login import login_of
from seatrial.fixtures.tenant_session import Session
from seatrial.lab.faults import all_faults

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.with_openstack, pytest.mark.usefixtures("lab")]

CLOUD = "lab"
SEATRIAL = [sys.executable, "-m", "seatrial.command"]
MANY = 100
QUOTAS = {"compute": "/os-quota-sets/{}", "network": "/quotas/{}", "block-storage": "/os-quota-sets/{}"}


@pytest.fixture
def project():
    """A session with the project that the trials use."""
    _, cloud, _ = load_cloud(CLOUD)
    return Session(login_of(cloud.openstack))


def demanding(folder, servers, parallel_creates=5, active_within_s=None):
    profile = folder / f"{servers}-servers.toml"
    # Many wait for each other: two cores build one a second.
    slowly = active_within_s or (900.0 if servers > MANY else 137.0)
    sizes = (
        f"servers = {servers}\nparallel_creates = {parallel_creates}\nactive_within_s = {slowly}\nspread_s = {slowly}\n"
    )
    profile.write_text(f'extends = "lab"\nabout = "so many servers"\n\n[acceptance]\n{sizes}')
    return str(profile)


def gate(folder, *options):
    """Judge the lab in a folder; return the exit status, the verdict and what was said."""
    command = [*SEATRIAL, "gate", "--cloud", CLOUD, "--allow", "load", "--verdict", "verdict.json", *options]
    run = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=1800)
    return run.returncode, json.loads((folder / "verdict.json").read_text()), run.stdout + run.stderr


def entry(verdict, invariant):
    return next(judged for judged in verdict["invariants"] if judged["id"] == invariant)


def possessions(session):
    """Everything that the project has, and its quotas, so that before and after can be compared."""
    own = f"?project_id={session.project}"
    return {
        "servers": {item["id"] for item in session.pages("compute", "/servers", "servers")},
        "volumes": {item["id"] for item in session.pages("block-storage", "/volumes", "volumes")},
        "networks": {item["id"] for item in session.pages("network", f"/networks{own}", "networks")},
        "ports": {item["id"] for item in session.pages("network", f"/ports{own}", "ports")},
        "key pairs": {item["keypair"]["name"] for item in session.pages("compute", "/os-keypairs", "keypairs")},
        **{service: session.get(service, path.format(session.project)).json for service, path in QUOTAS.items()},
    }


@pytest.mark.parametrize("servers", [1, 40, 200])
def test_servers_at_once_are_all_active_and_nothing_is_left(tmp_path, project, servers):
    before = possessions(project)
    status, verdict, said = gate(tmp_path, "-m", "acceptance", "--profile", demanding(tmp_path, servers))
    assert status == 0, said
    assert entry(verdict, "LOAD-05")["measured"]["active"] == servers
    assert possessions(project) == before


@pytest.fixture
def broken(request):
    """The lab with the fault in it whose name is the parameter."""
    fault = all_faults()[request.param]
    try:
        fault.break_()
        yield fault
    finally:
        fault.heal()


@pytest.mark.parametrize("broken", ["compute-stopped"], indirect=True)
@pytest.mark.usefixtures("broken")
def test_forty_servers_are_active_where_one_compute_hangs(tmp_path, project):
    before = possessions(project)
    status, verdict, said = gate(tmp_path, "-k", "at_once", "--profile", demanding(tmp_path, 40))
    assert status == 0, said
    assert entry(verdict, "LOAD-05")["measured"]["active"] == 40
    assert possessions(project) == before


@pytest.mark.parametrize("broken", ["rabbitmq-volume-full"], indirect=True)
def test_a_disk_alarm_closes_the_gate_as_the_cause_and_nothing_is_left(tmp_path, project, broken):
    before = possessions(project)
    profile = demanding(tmp_path, 5, active_within_s=30)
    status, verdict, said = gate(tmp_path, "-k", "at_once or alarm", "--profile", profile)
    assert entry(verdict, "RMQ-06")["outcome"] == "violated", said
    assert entry(verdict, "LOAD-05")["outcome"] == "violated", said
    assert status in (1, 11), said
    broken.heal()
    done = cleanup(tmp_path, str(next(tmp_path.glob("evidence/*/ledger.jsonl"))))
    assert done.returncode == 0, done.stdout + done.stderr
    assert possessions(project) == before


def test_workers_of_xdist_share_a_ledger_and_leave_nothing(tmp_path, project):
    before = possessions(project)
    status, _, said = gate(tmp_path, "-m", "acceptance", "-n", "2", "--profile", demanding(tmp_path, 5))
    assert status == 0, said
    assert len(list(tmp_path.glob("evidence/*/ledger.jsonl"))) == 1
    assert possessions(project) == before


def test_an_image_that_is_not_there_is_told_with_the_nearest_names_and_nothing_is_made(tmp_path):
    profile = Path(demanding(tmp_path, 5))
    profile.write_text(profile.read_text() + 'image = "ciros"\n')
    status, verdict, _ = gate(tmp_path, "-k", "at_once", "--profile", str(profile))
    assert status == 10
    assert entry(verdict, "LOAD-05")["reason"] == "there is no image ciros (the nearest: cirros)"


def test_more_servers_than_there_is_room_for_are_refused_before_the_first(tmp_path):
    status, verdict, _ = gate(tmp_path, "-k", "at_once", "--profile", demanding(tmp_path, 100_000))
    assert status == 10
    assert "100000 are wanted" in entry(verdict, "LOAD-05")["reason"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_takes_away_what_it_made(tmp_path, project, how):
    before = possessions(project)
    process, ledger = begun(tmp_path, "-k", "at_once")
    while b'"made"' not in ledger.read_bytes():
        time.sleep(0.1)
    process.send_signal(how)
    assert process.wait(timeout=300) == 2
    assert possessions(project) == before


def begun(folder, *options):
    """Start a run in a folder; return its process and its ledger, once there is one."""
    profile = demanding(folder, 12)
    command = [*SEATRIAL, "gate", "--cloud", CLOUD, "--allow", "load", "--profile", profile, *options]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, start_new_session=True)
    while not (ledgers := list(folder.glob("evidence/*/ledger.jsonl"))):
        assert process.poll() is None, (folder / "said").read_text()
        time.sleep(0.1)
    return process, ledgers[0]


@pytest.mark.parametrize("attempt", range(20))
def test_after_kill_9_cleanup_leaves_nothing_and_touches_nobody(tmp_path, project, decoys, attempt):
    before = possessions(project)
    process, ledger = begun(tmp_path, "-m", "acceptance", *(["-n", "2"] if attempt % 5 == 4 else []))
    time.sleep(random.uniform(0, 60))
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run = ledger.parent.name
    project.put("compute", f"/servers/{decoys[0]}", {"server": {"name": f"seatrial-{run}-boot-001"}})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(ledger, elsewhere / "the-ledger")
    if attempt % 4 == 3:
        assert cleanup(elsewhere, run).returncode == 0
        assert found(project, CLOUD) == {}
    done = cleanup(elsewhere, "the-ledger")
    assert done.returncode == 0, done.stdout + done.stderr
    assert possessions(project) == before


def cleanup(folder, what):
    command = [*SEATRIAL, "cleanup", "--cloud", CLOUD, what]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.fixture
def decoys(project):
    """Servers of somebody else that look as if a run had made them; their ids."""
    image = project.pages("image", "/images?name=cirros", "images")[0]["id"]
    flavor = next(f["id"] for f in project.pages("compute", "/flavors", "flavors") if f["name"] == "m1.nano")
    network = project.pages("network", "/networks?name=lab", "networks")[0]["id"]
    run = "20260101T000000Z-abcd"
    looks = [("web-1", {}), (f"seatrial-{run}-boot-001", {}), ("web-2", {"seatrial-run": run})]
    ids = []
    for name, metadata in looks:
        body = {"name": name, "metadata": metadata, "imageRef": image, "flavorRef": flavor}
        made = project.post("compute", "/servers", {"server": {**body, "networks": [{"uuid": network}]}})
        ids.append(made.json["server"]["id"])
    while {project.get("compute", f"/servers/{id_}").json["server"]["status"] for id_ in ids} != {"ACTIVE"}:
        time.sleep(1)
    yield ids
    for id_ in ids:
        project.delete("compute", f"/servers/{id_}")
    while set(ids) & {item["id"] for item in project.pages("compute", "/servers", "servers")}:
        time.sleep(1)
