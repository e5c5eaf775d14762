"""LOAD-01 to LOAD-03 from pods: a Job in a played cluster whose pods are processes, and in a real API server."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading

import broker_cloud
import pytest
import yaml
from broker_cloud import begun, cloud_of, loaded, seatrial, until, vhosts
from real_apiserver import DOCS, MARKS, bind, serving

from seatrial.fixtures.broker_job import BrokerJob
from seatrial.fixtures.kubernetes_api import KubernetesApi
from seatrial.fixtures.ledger import Ledger, Opened
from seatrial.fixtures.load.indexed import INDEX, Part
from seatrial.fixtures.load.scenario import Endpoint, Scenario
from seatrial.fixtures.load_jobs import RIGHTS, LoadJobs, found
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.settings import LoadPods
from seatrial.fixtures.target import connect

IMAGE = "registry.example.org/seatrial:1"
RUN = "20261121T140000Z-abcd"
PROFILE = """
extends = "um-cloud"
about = "from pods, and what any machine bears"
[broker_load]
warm_up_s = 0.3
duration_s = {duration}
settle_s = 10.0
pods = {pods}
pods_within_s = {within}
[broker_load.baseline]
messages_per_s = {least}
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
[broker_load.realistic]
messages_per_s = {least}
confirm_p99_ms = 60000.0
end_to_end_p99_ms = 60000.0
"""
RUNNING = {"running": {"startedAt": "2026-11-21T14:00:00Z"}}
MESSAGE = "0/5 nodes are available: 5 Insufficient cpu."
LATE = "pods did not start within"
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": MESSAGE}


def state_of(phase, state, **more):
    status = {"name": "load", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"phase": phase, "containerStatuses": [status] if state else [], **more}


def ended(code, reason="Error", at="2026-11-21T14:00:09Z"):
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


class JobController:
    """Kubernetes' part: a Job that is awake gets pods, each a process of this machine that runs the pod's command.

    `states` are what becomes of a pod of that number instead.
    """

    def __init__(self, cloud, broker, folder):
        self.cloud, self.broker, self.folder = cloud, broker, folder
        self.states, self.environments, self.processes = {}, [], []
        cloud.after_write.append(self.heed)

    def heed(self, verb, path):
        if "/jobs" not in path:
            return
        with self.cloud.lock:
            for key, job in list(self.cloud.objects.items()):
                if "/jobs/" in key and job.get("spec", {}).get("suspend") is False and not job.get("started"):
                    job["started"] = True
                    self.start(job)
        if verb == "DELETE":
            self.end()

    def start(self, job):
        template, name = job["spec"]["template"], job["metadata"]["name"]
        container = template["spec"]["containers"][0]
        secret = self.cloud.get("secrets", template["spec"]["volumes"][0]["secret"]["secretName"], "openstack")
        for index in range(job["spec"]["completions"]):
            pod = {
                "metadata": {
                    "name": f"{name}-{index}-x",
                    "namespace": "openstack",
                    "labels": {
                        **template["metadata"]["labels"],
                        "batch.kubernetes.io/job-completion-index": f"{index}",
                    },
                },
                "spec": {"nodeName": f"n{index}", "containers": [{"name": "load"}]},
                "status": self.states.get(index) or state_of("Running", RUNNING),
            }
            self.cloud.put("pods", pod)
            if index not in self.states:
                threading.Thread(target=self.run, args=(pod, index, container, secret), daemon=True).start()

    def run(self, pod, index, container, secret):
        file = self.folder / f"{pod['metadata']['name']}.json"
        part = json.loads(secret["stringData"]["part.json"])
        assert part["endpoint"]["password"] == "guest"
        file.write_text(json.dumps(part))
        command = [sys.executable, *container["command"][1:-1], str(file)]
        process = subprocess.Popen(
            command,
            env={**os.environ, INDEX: str(index)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        out, _ = process.communicate()
        with self.cloud.lock:
            self.cloud.logs[pod["metadata"]["name"]] = out
            ok = process.returncode == 0
            pod["status"] = state_of("Succeeded" if ok else "Failed", ended(process.returncode))

    def end(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with self.cloud.lock:
            for key in [key for key in self.cloud.objects if "/pods/seatrial-" in key]:
                del self.cloud.objects[key]


@pytest.fixture
def cloud(broker, tmp_path):
    with cloud_of(broker, tmp_path, f'[clouds.test.load_pods]\nimage = "{IMAGE}"\n') as kubernetes:
        yield kubernetes


@pytest.fixture
def controller(cloud, broker, tmp_path):
    controller = JobController(cloud, broker, tmp_path)
    yield controller
    controller.end()


def gate(folder, *ids, pods=1, duration=3.0, least=1.0, within=60.0):
    return broker_cloud.gate(folder, PROFILE.format(pods=pods, duration=duration, least=least, within=within), *ids)


def judged(folder, *ids, **wanted):
    return broker_cloud.judged(folder, gate(folder, *ids, **wanted))


def nothing_is_left(cloud, broker):
    mine = [key for key in cloud.objects if "/seatrial-" in key]
    return not mine and vhosts(broker) == ["/"]


@pytest.mark.parametrize(("pods", "used"), [(1, 1), (3, 2)])
def test_the_gate_puts_a_load_on_a_broker_from_pods(cloud, broker, controller, tmp_path, pods, used):
    done, entries = judged(tmp_path, "LOAD-01", pods=pods)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = entries["LOAD-01"]["measured"]
    assert measured["messages_per_s"] > 0
    assert measured["confirm_p99_ms"] > 0
    assert measured["end_to_end_p99_ms"] > 0
    assert measured["lost_messages"] == measured["duplicated_messages"] == 0
    kept = json.loads(next(tmp_path.glob("evidence/*/broker-*.json")).read_text())
    assert [pod["node"] for pod in kept["pods"]] == [f"n{index}" for index in range(used)]  # of one pair, two at most
    assert kept["by"].startswith(f"from {used} pod")
    assert nothing_is_left(cloud, broker)
    assert len(controller.processes) == used


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
def test_three_pods_share_four_producers_and_a_budget_they_miss_closes_the_gate(cloud, broker, controller, tmp_path):
    done, entries = judged(tmp_path, "LOAD-02", pods=3, least=10_000_000.0, duration=10.0)
    assert done.returncode == 1
    assert "messages/s, 10000000 wanted (from 3 pods, at 127.0.0.1" in entries["LOAD-02"]["offenders"][0]
    assert len(controller.processes) == 3
    assert nothing_is_left(cloud, broker)


def test_the_job_keeps_the_password_to_its_secret_and_ends_by_itself(cloud, broker, controller, tmp_path):
    objects = {}
    cloud.after_write.append(lambda _verb, _path: objects.update(cloud.objects))
    controller.states = {0: state_of("Pending", waiting("ImagePullBackOff", 'Back-off pulling image "x"'))}
    done, entries = judged(tmp_path, "LOAD-01", pods=1)
    assert done.returncode == 10
    assert entries["LOAD-01"]["reason"].endswith('ImagePullBackOff: Back-off pulling image "x"')
    assert nothing_is_left(cloud, broker)
    job = next(item for key, item in objects.items() if "/jobs/seatrial-" in key)
    secret = next(item for key, item in objects.items() if "/secrets/seatrial-" in key)
    spec = job["spec"]
    assert "guest" not in json.dumps(job)
    assert "guest" in secret["stringData"]["part.json"]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert spec["backoffLimit"] == 0
    assert spec["activeDeadlineSeconds"] > 60
    assert spec["ttlSecondsAfterFinished"] == 600
    assert spec["template"]["spec"]["automountServiceAccountToken"] is False
    run = next(tmp_path.glob("evidence/*/vhosts.jsonl")).parent.name
    assert {item["metadata"]["labels"]["seatrial-run"] for item in (job, secret)} == {run}
    assert {item["metadata"]["name"] for item in (job, secret)} == {f"seatrial-{run}-load-baseline".lower()}
    written = [json.loads(line) for line in next(tmp_path.glob("evidence/*/vhosts.jsonl")).read_text().splitlines()]
    order = [(line["what"], line.get("kind")) for line in written]
    assert order.index(("intended", "job")) < order.index(("made", "job")) < order.index(("intended", "secret"))


@pytest.mark.parametrize(
    ("state", "within", "said"),
    [
        (state_of("Pending", None, conditions=[UNSCHEDULABLE]), 2.0, f"1 of 1 {LATE} 2 s: Unschedulable: {MESSAGE}"),
        (state_of("Pending", waiting("ContainerCreating")), 2.0, f"1 of 1 {LATE} 2 s: ContainerCreating"),
        (state_of("Running", ended(137, "OOMKilled")), 60.0, "OOMKilled: the last line"),
        (state_of("Failed", ended(10)), 60.0, "exit status 10: the last line"),
        (state_of("Failed", None, reason="Evicted", message="low on memory"), 60.0, "Evicted: low on memory"),
        (state_of("Succeeded", ended(0, "Completed")), 60.0, "its log does not say what it did"),
    ],
)  # fmt: skip
def test_pods_that_come_to_nothing_are_told_in_one_line_and_leave_nothing(
    cloud, broker, controller, tmp_path, state, within, said
):
    controller.states = {0: state}
    cloud.any_log = "a line\nseatrial load: the last line\n"
    done, entries = judged(tmp_path, "LOAD-01", pods=1, within=within)
    assert done.returncode == 10
    assert entries["LOAD-01"]["outcome"] == "undetermined"
    assert said in entries["LOAD-01"]["reason"]
    assert "\n" not in entries["LOAD-01"]["reason"]
    assert nothing_is_left(cloud, broker)


def test_of_pods_that_failed_the_one_is_told_for_which_the_others_were_ended(cloud, broker, controller, tmp_path):
    first = state_of("Failed", ended(137, "OOMKilled", at="2026-11-21T14:00:07Z"))
    controller.states = {0: state_of("Failed", ended(2)), 1: first}
    _, entries = judged(tmp_path, "LOAD-01", pods=2)
    assert re.search(r"load-baseline-1-x: OOMKilled: without a word$", entries["LOAD-01"]["reason"])
    assert nothing_is_left(cloud, broker)


def test_what_is_missing_is_told_before_anything_is_made(cloud, broker, tmp_path):
    cloud.refused = {"create jobs", "get pods"}
    done, entries = judged(tmp_path, "LOAD-01", pods=1)
    assert done.returncode == 10
    reason = entries["LOAD-01"]["reason"]
    assert "rights in namespace openstack that are missing: create jobs.batch, get pods/log;" in reason
    assert "docs/clusterrole-load.yaml" in reason
    settings = tmp_path / "seatrial.toml"
    settings.write_text(settings.read_text().partition("[clouds.test.load_pods]")[0])
    done, entries = judged(tmp_path, "LOAD-01", pods=1)
    assert done.returncode == 10
    assert "image = 'REGISTRY/seatrial:TAG' in [clouds.X.load_pods]" in entries["LOAD-01"]["reason"]
    assert [path for verb, path in cloud.written() if verb == "POST"] == []
    assert nothing_is_left(cloud, broker)


@pytest.mark.parametrize("how", ["ledger", "run"])
@pytest.mark.usefixtures("controller")
def test_a_run_that_is_killed_leaves_what_cleanup_takes_away(cloud, broker, tmp_path, how):
    run = begun(tmp_path, gate(tmp_path, "LOAD-01", pods=1, duration=60.0))
    try:
        until(lambda: any("/pods/seatrial-" in key for key in cloud.objects))
        until(lambda: loaded(broker))
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    cloud.put("jobs", {"metadata": {"name": "theirs", "namespace": "openstack", "labels": {"seatrial-run": RUN}}})
    evidence = next(tmp_path.glob("evidence/*/vhosts.jsonl"))

    left = seatrial(tmp_path, "leftovers")
    assert left.returncode == 11
    assert "job openstack/seatrial-" in left.stdout
    assert "secret openstack/seatrial-" in left.stdout
    assert "vhost seatrial-" in left.stdout
    name = evidence.parent.name
    if how == "run":
        evidence.unlink()
    cleaned = seatrial(tmp_path, "cleanup", *([name] if how == "run" else []))
    # Without a ledger nobody knows that nothing of OpenStack's is left: there is none to log in to here.
    assert cleaned.returncode == (0 if how == "ledger" else 10), cleaned.stdout + cleaned.stderr
    assert nothing_is_left(cloud, broker)
    assert cloud.get("jobs", "theirs", "openstack")


@pytest.mark.usefixtures("controller")
def test_ctrl_c_leaves_nothing_behind(cloud, broker, tmp_path):
    run = begun(tmp_path, gate(tmp_path, "LOAD-01", pods=2, duration=60.0))
    until(lambda: loaded(broker))
    run.send_signal(signal.SIGINT)
    assert run.wait(180) == 2
    assert nothing_is_left(cloud, broker)


def test_the_documented_role_has_the_rights_that_a_load_takes():
    (role,) = yaml.safe_load_all((DOCS / "clusterrole-load.yaml").read_text())
    granted = {
        (verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    wanted = {
        (right.verb, right.group, "/".join(filter(None, (right.resource, right.subresource)))) for right in RIGHTS
    }
    besides = {
        ("get", "", "pods/portforward"),
        ("create", "", "pods/portforward"),
        ("list", "batch", "jobs"),  # leftovers
        ("list", "", "secrets"),
        ("list", "", "events"),  # why there is no pod
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    }
    assert granted == wanted | besides


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory) as running:
        admin = running.hand("admin")
        bind(admin, "clusterrole", "reader", "loader")
        bind(admin, "clusterrole-load", "loader")
        yield running


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / RUN / "vhosts.jsonl", Opened(RUN, "test", "the-broker"))
    yield ledger
    ledger.close()


def client_of(server, user):
    return connect(str(server.folder / user), "")[0]


def an_endpoint():
    return Endpoint(host="10.0.0.1", port=5672, user="u", password="secret", vhost="v")


def a_scenario(name="realistic"):
    return Scenario(
        name=name, producers=4, consumers=4, queue="durable", persistent=True, size_bytes=64, confirm_window=1,
        rate_per_s=0, prefetch=0, ack_every=0, warm_up_s=0, duration_s=1, settle_s=1,
    )  # fmt: skip


class PlayedController:
    """The Job controller, the kubelet and the garbage collector towards a real API server, as an administrator."""

    JOBS, PODS, SECRETS = (
        "/apis/batch/v1/namespaces/default/jobs",
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/secrets",
    )

    def __init__(self, admin, state):
        self.admin, self.state = admin, state
        self.jobs, self.secrets, self.pods = {}, {}, []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.play)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        for pod in self.pods:
            self.admin.delete(f"{self.PODS}/{pod}")

    def play(self):
        while not self.done.wait(0.2):
            self.secrets |= {s["metadata"]["name"]: s for s in self.admin.get(self.SECRETS)["items"]}
            for job in self.admin.get(self.JOBS)["items"]:
                metadata, spec = job["metadata"], job["spec"]
                if metadata.get("deletionTimestamp"):
                    patch = {"metadata": {"finalizers": None}}
                    self.admin.send("PATCH", f"{self.JOBS}/{metadata['name']}", patch, "application/merge-patch+json")
                elif not spec["suspend"] and metadata["name"] not in self.jobs:
                    self.jobs[metadata["name"]] = job
                    for index in range(spec["completions"]):
                        self.make(spec["template"], metadata["name"], index)

    def make(self, template, job, index):
        name = f"{job}-{index}-x"
        labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-completion-index": str(index)}
        pod = {"metadata": {"name": name, "labels": labels}, "spec": template["spec"]}
        self.admin.send("POST", self.PODS, pod)
        self.pods.append(name)
        patch = {"status": self.state}
        self.admin.send("PATCH", f"{self.PODS}/{name}/status", patch, "application/strategic-merge-patch+json")


@pytest.mark.parametrize(
    ("state", "within", "said"),
    [
        (state_of("Pending", waiting("ImagePullBackOff", "no such image")), 30.0, "ImagePullBackOff: no such image"),
        (state_of("Pending", None, conditions=[UNSCHEDULABLE]), 3.0, f"3 of 3 {LATE} 3 s: Unschedulable: {MESSAGE}"),
        (state_of("Failed", None, reason="Evicted", message="low on memory"), 30.0, "Evicted: low on memory"),
    ],
)  # fmt: skip
@pytest.mark.apiserver
@MARKS[1]
def test_a_real_api_server_takes_the_job_from_who_has_the_documented_rights(server, ledger, state, within, said):
    job = BrokerJob(client_of(server, "loader"), ledger, LoadPods(image=IMAGE), "default")
    with PlayedController(server.hand("admin"), state) as played:
        with pytest.raises(Unavailable, match=said.replace("/", ".")) as unavailable:
            job.run(an_endpoint(), a_scenario(), 3, within, lambda _: None)
        assert "\n" not in str(unavailable.value)
        (made,) = played.jobs.values()
    assert (made["spec"]["completions"], made["spec"]["parallelism"]) == (3, 3)
    assert "secret" not in json.dumps(made["spec"]["template"]["spec"]["containers"])
    (secret,) = (item for name, item in played.secrets.items() if name.startswith("seatrial-"))
    part = json.loads(base64.b64decode(secret["data"]["part.json"]))
    assert part["endpoint"]["password"] == "secret"
    assert ledger.contents().settled
    assert found(KubernetesApi(client_of(server, "reader")), "test", "p") == {}


@pytest.mark.apiserver
@MARKS[1]
def test_a_real_api_server_names_the_rights_of_who_may_only_read(server, ledger):
    with pytest.raises(
        Unavailable,
        match=r"missing: create jobs\.batch, delete jobs\.batch, patch jobs\.batch, create secrets, delete secrets;",
    ):
        BrokerJob(client_of(server, "reader"), ledger, LoadPods(image=IMAGE), "default")


@pytest.mark.apiserver
@MARKS[1]
def test_what_a_killed_run_left_in_a_real_api_server_is_found_by_its_mark(server, ledger):
    loader = KubernetesApi(client_of(server, "loader"))
    jobs = LoadJobs(loader, ledger)
    admin = server.hand("admin")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    spec = {"completions": 1, "completionMode": "Indexed", "template": template}
    jobs.start("default", jobs.name("load-baseline"), {"part.json": "{}"}, spec)
    for name, labels in (("theirs", {"seatrial-run": RUN}), (f"seatrial-{RUN}-mine".lower(), {})):
        admin.send(
            "POST",
            "/apis/batch/v1/namespaces/default/jobs",
            {"metadata": {"name": name, "labels": labels}, "spec": spec},
        )
    runs = found(loader, "test", "the-broker", RUN)
    name = f"default/seatrial-{RUN}-load-baseline".lower()
    assert list(runs[RUN].belongings) == [("job", name), ("secret", name)]
    assert found(loader, "test", "the-broker", "20261121T140000Z-ffff") == {}
    with PlayedController(admin, state_of("Pending", None)):
        assert jobs.clear(runs[RUN]) == []
        there = [item["metadata"]["name"] for item in admin.get(PlayedController.JOBS)["items"]]
        assert sorted(there) == [f"seatrial-{RUN}-mine".lower(), "theirs"]
        assert jobs.clear(ledger.contents()) == []
        assert ledger.contents().settled
        for each in there:
            admin.delete(f"{PlayedController.JOBS}/{each}")


def test_a_job_that_does_not_go_is_told(cloud, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr("seatrial.fixtures.load_jobs.GONE_S", 1.0)
    name = f"seatrial-{RUN}-load".lower()
    metadata = {"name": name, "namespace": "openstack", "deletionTimestamp": "2026-11-21T14:00:00Z"}
    cloud.put("jobs", {"metadata": {**metadata, "labels": {"seatrial-run": RUN}}})
    ledger.intend("job", f"openstack/{name}")
    jobs = LoadJobs(KubernetesApi(connect(str(tmp_path / "kubeconfig"), "")[0]), ledger)
    assert jobs.clear(ledger.contents()) == [f"job openstack/{name}: still there after 1 s"]
    assert not ledger.contents().settled


def test_a_part_has_no_more_pods_than_peers(broker):
    endpoint = Endpoint(host="127.0.0.1", port=broker.port, user="guest", password="guest")
    part = Part(endpoint=endpoint, scenario=a_scenario(), queue="q", run=1, pods=8, gather_s=1)
    assert part.check() is part
