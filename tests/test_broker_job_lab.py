"""LOAD-01 to LOAD-03 on the lab's RabbitMQ, from pods of seatrial's own image, as a user with the documented rights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from real_apiserver import DOCS

from seatrial.lab import lifecycle
from seatrial.lab.faults import all_faults
from seatrial.lab.kubectl import apply, get, kubectl
from seatrial.lab.topology import ADMIN_KUBECONFIG

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.usefixtures("lab")]

SPACE = "openstack"
LOADER = "seatrial-loader"
IMAGE = "seatrial:2026.11.0"
PROFILE = """
extends = "lab"
about = "some seconds from pods, and what two cores bear that carry the whole lab"
[broker_load]
warm_up_s = 1.0
duration_s = {duration}
pods = {pods}
pods_within_s = {within}
[broker_load.baseline]
messages_per_s = 1.0
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
[broker_load.realistic]
messages_per_s = 1.0
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
[broker_load.stress]
messages_per_s = 1.0
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
"""
ALL = ("LOAD-01", "LOAD-02", "LOAD-03")
NAMES = {"LOAD-01": "baseline", "LOAD-02": "realistic", "LOAD-03": "stress"}


@pytest.fixture(scope="module")
def loader(lab, tmp_path_factory):  # noqa: ARG001 - the lab must be up
    """A kubeconfig of a service account with the documented roles of reading and of loading, and no other right."""
    lifecycle.up({"seatrial"}, node_count=5, rabbitmq_replicas=1)
    roles = [(DOCS / name).read_text() for name in ("clusterrole.yaml", "clusterrole-load.yaml")]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": LOADER, "namespace": SPACE}}
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"{LOADER}-{role}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": LOADER, "namespace": SPACE}],
        }
        for role in ("seatrial-reader", LOADER)
    ]
    apply("\n---\n".join([*roles, *(json.dumps(each) for each in (account, *bindings))]))
    config = yaml.safe_load(ADMIN_KUBECONFIG.read_text())
    token = kubectl("-n", SPACE, "create", "token", LOADER, "--duration=8h").strip()
    config["users"] = [{"name": LOADER, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = LOADER
    path = tmp_path_factory.mktemp("loader") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    for binding in bindings:
        kubectl("delete", "clusterrolebinding", binding["metadata"]["name"])
    kubectl("-n", SPACE, "delete", "serviceaccount", LOADER)
    kubectl("delete", "clusterrole", LOADER)


def command(folder, loader, *ids, pods, duration=4.0, within=120.0, image=IMAGE):
    settings = f'default = "lab"\n[clouds.lab]\nkubeconfig = "{loader}"\n[clouds.lab.load_pods]\nimage = "{image}"\n'
    (folder / "seatrial.toml").write_text(settings)
    (folder / "pods.toml").write_text(PROFILE.format(pods=pods, duration=duration, within=within))
    chosen = " or ".join(f"invariant(id='{id_}')" for id_ in ids)
    options = ["-m", chosen, "--allow", "load", "--profile", "pods.toml", "--verdict", "verdict.json"]
    return [sys.executable, "-m", "seatrial.command", "gate", "--settings", "seatrial.toml", *options]


def judged(folder, loader, *ids, **wanted):
    done = subprocess.run(
        command(folder, loader, *ids, **wanted), cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    said = done.stdout + done.stderr
    assert (folder / "verdict.json").exists(), said
    verdict = json.loads((folder / "verdict.json").read_text())
    return done.returncode, {entry["id"]: entry for entry in verdict["invariants"]}, said


def left():
    """What there is of any run of seatrial."""
    kinds = [
        (kind, get(kind, "--all-namespaces", "--selector", "seatrial-run")["items"]) for kind in ("jobs", "secrets")
    ]
    kinds.append(
        ("pods", get("pods", "--all-namespaces", "--selector", "app.kubernetes.io/name=seatrial-load")["items"])
    )
    named = [f"{kind} {item['metadata']['name']}" for kind, items in kinds for item in items]
    listed = kubectl(
        "-n", SPACE, "exec", "rabbitmq-rabbitmq-0", "--", "rabbitmqctl", "--quiet", "list_vhosts", timeout=60
    )
    return [*named, *(f"vhost {name}" for name in listed.split() if name.startswith("seatrial-"))]


@pytest.mark.parametrize("pods", [1, 3])
def test_each_scenario_is_put_on_the_broker_from_pods_which_account_for_every_message(loader, tmp_path, pods, capsys):
    status, entries, said = judged(tmp_path, loader, *ALL, pods=pods)
    assert status == 0, said
    for id_ in ALL:
        measured = entries[id_]["measured"]
        kept = json.loads(next(tmp_path.glob(f"evidence/*/broker-{NAMES[id_]}.json")).read_text())
        with capsys.disabled():
            print(f"\n{id_} from {pods}: {measured} {kept['pods']}")
        assert entries[id_]["outcome"] == "holds", said
        assert measured["messages_per_s"] > 0
        assert measured["confirm_p99_ms"] > 0
        assert measured["end_to_end_p99_ms"] > 0
        assert measured["lost_messages"] == measured["duplicated_messages"] == 0
        assert not {"unroutable_messages", "unconfirmed_messages", "unsent_messages"} & measured.keys()
        assert len(kept["pods"]) == (min(pods, 2) if id_ == "LOAD-01" else pods)
        assert all(pod["node"] for pod in kept["pods"])
        assert max(pod["clock_within_us"] for pod in kept["pods"]) < 1_000_000
        assert kept["by"].startswith(f"from {len(kept['pods'])} pod")
    assert left() == []


def test_a_disk_alarm_closes_the_gate_and_every_pod_says_so(loader, tmp_path):
    fault = all_faults()["rabbitmq-disk-limit-of-ram"]
    try:
        fault.break_()
        status, entries, said = judged(tmp_path, loader, "LOAD-01", "LOAD-02", pods=3)
    finally:
        fault.heal()
    assert status == 1, said
    for id_ in ("LOAD-01", "LOAD-02"):
        assert entries[id_]["outcome"] == "violated", said
        assert "the broker held publishers back" in entries[id_]["offenders"][0]
        assert "low on disk" in entries[id_]["offenders"][0]
    assert left() == []


def test_an_image_that_is_not_there_is_told_in_one_line_and_nothing_is_left(loader, tmp_path):
    status, entries, said = judged(tmp_path, loader, "LOAD-02", pods=3, image="registry.example.org/no-such:1")
    assert status == 10, said
    reason = entries["LOAD-02"]["reason"]
    assert "ImagePullBackOff" in reason
    assert "registry.example.org/no-such:1" in reason
    assert "\n" not in reason
    assert left() == []


def test_pods_that_no_node_takes_are_told_with_the_schedulers_words(loader, tmp_path):
    wanted = command(tmp_path, loader, "LOAD-02", pods=2, within=10.0)
    settings = tmp_path / "seatrial.toml"
    settings.write_text(settings.read_text() + 'node_selector = {"no-such" = "label"}\n')
    done = subprocess.run(wanted, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 10, done.stdout + done.stderr
    assert "2 of 2 pods did not start within 10 s: Unschedulable: 0/5 nodes are available" in done.stdout
    assert left() == []


@pytest.mark.parametrize("with_ledger", [True, False])
def test_what_a_killed_run_left_is_taken_away(loader, tmp_path, with_ledger):
    with (tmp_path / "said").open("w") as out:
        run = subprocess.Popen(
            command(tmp_path, loader, "LOAD-02", pods=2, duration=120.0),
            cwd=tmp_path, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while "pods Running" not in (tmp_path / "said").read_text():
            assert run.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(1)
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    assert {line.split()[0] for line in left()} == {"jobs", "secrets", "pods", "vhost"}
    ledger = next(tmp_path.glob("evidence/*/vhosts.jsonl"))
    if not with_ledger:
        ledger.unlink()
    seatrial = [sys.executable, "-m", "seatrial.command"]
    words = ["cleanup", "--cloud", "lab", "--settings", "seatrial.toml", *([] if with_ledger else [ledger.parent.name])]
    done = subprocess.run([*seatrial, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    # Where there is no ledger, OpenStack is looked through as well, which is not in every lab.
    assert done.returncode in ({0} if with_ledger else {0, 4, 10}), done.stdout + done.stderr
    assert left() == []
