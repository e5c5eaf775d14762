"""The migration to shared volumes: killed at every write, gone on with, and nothing is lost; likewise the way back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.plugins.remediation.contents import read
from seatrial.plugins.remediation.volume_copy import LABEL
from seatrial.plugins.remediation.volumes import BACK, FORWARD, Wanted

NAMES = ("dnsmasq-dhcp", "dnsmasq-ironic")
FILES = {
    "dnsmasq-dhcp": {"dnsmasq.leases": "1763 52:54:00 192.0.2.10\n"},
    "dnsmasq-ironic": {"hostsdir.d/a": "52:54:00,192.0.2.11\n", "optsdir.d/b": "tag:x\n"},
}
PROFILE = """
extends = "lab"
about = "quick"
settle_poll_s = 0.01
[remedies]
settle_disruptive_s = 20.0
lease_s = 1.0
"""
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["seatrial.command.mending", "seatrial.command.migrating", "kubernetes"])


class Storage(FakeKubernetes):
    """A cloud with dnsmasq's volumes, where Jobs copy and StatefulSets scale; a deleted claim loses its files."""

    def __init__(self):
        super().__init__()
        self.files = {}
        for name in NAMES:
            self.claim(name, ["ReadWriteOnce"], "general")
            self.files[name] = dict(FILES[name])
        for name, count in (("ironic-conductor", 1), ("ironic-dnsmasq", 1)):
            status = {"replicas": count, "readyReplicas": count}
            metadata = {"name": name, "namespace": "openstack"}
            self.put("statefulsets", {"metadata": metadata, "spec": {"replicas": count}, "status": status})
        default = {"storageclass.kubernetes.io/is-default-class": "true"}
        for name, provisioner, marks in (
            ("general", "rook-ceph.rbd.csi.ceph.com", default),
            ("ceph-fs-ec", "rook-ceph.cephfs.csi.ceph.com", {}),
        ):
            metadata = {"name": name, "annotations": marks}
            self.put("storageclasses", {"metadata": metadata, "provisioner": provisioner})
        role = {"kind": "ClusterRole", "name": "argocd", "apiGroup": "rbac.authorization.k8s.io"}
        metadata = {"name": "argocd-application-controller", "labels": {"a": "b"}}
        self.put("clusterrolebindings", {"metadata": metadata, "roleRef": role, "subjects": [{"name": "argocd"}]})
        self.after_write.append(self.act)

    def claim(self, name, modes, storage_class):
        self.put(
            "persistentvolumeclaims",
            {
                "metadata": {
                    "name": name,
                    "namespace": "openstack",
                    "labels": {"app": "dnsmasq"},
                    "annotations": {"meta.helm.sh/release-name": "ironic", "pv.kubernetes.io/bind-completed": "yes"},
                },
                "spec": {
                    "accessModes": modes,
                    "storageClassName": storage_class,
                    "volumeName": "pvc-1",
                    "resources": {"requests": {"storage": "16Mi"}},
                },
                "status": {"phase": "Bound"},
            },
        )

    def act(self, verb, path):
        """What the controllers of a real cloud do after a write."""
        name = path.rpartition("/")[2]
        if verb == "PATCH" and "/statefulsets/" in path:
            live = self.objects[path]
            live["status"] = {"replicas": live["spec"]["replicas"], "readyReplicas": live["spec"]["replicas"]}
        elif verb == "DELETE" and "/persistentvolumeclaims/" in path:
            self.files.pop(name, None)
        elif verb == "DELETE" and "/jobs/" in path:
            self.objects.pop(self.path("pods", {"name": f"{name}-x", "namespace": "openstack"}), None)
        elif verb == "POST" and name == "jobs":
            for job in [item for key, item in self.objects.items() if "/jobs/" in key and "status" not in item]:
                self.copy(job)

    def copy(self, job):
        volumes = {
            v["name"]: v["persistentVolumeClaim"]["claimName"] for v in job["spec"]["template"]["spec"]["volumes"]
        }
        for claim in volumes.values():
            assert self.get("persistentvolumeclaims", claim, "openstack"), f"a Job mounts {claim}, which is not there"
        self.files[volumes["to"]] = dict(self.files.get(volumes["from"], {}))
        told = " ".join(self.digest(volumes[side]) for side in ("from", "to"))
        name = job["metadata"]["name"]
        metadata = {"name": f"{name}-x", "namespace": "openstack", "labels": {LABEL: name}}
        ended = {"state": {"terminated": {"message": told}}}
        self.put("pods", {"metadata": metadata, "spec": {}, "status": {"containerStatuses": [ended]}})
        job["status"] = {"succeeded": 1}

    def digest(self, claim):
        files = self.files.get(claim, {})
        return f"{hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()} - {len(files)}"

    def modes(self, name):
        claim = self.get("persistentvolumeclaims", name, "openstack")
        return claim and (claim["spec"]["accessModes"], claim["spec"]["storageClassName"])

    def replicas(self):
        names = ("ironic-conductor", "ironic-dnsmasq")
        return [self.get("statefulsets", name, "openstack")["spec"]["replicas"] for name in names]


@pytest.fixture
def storage():
    server = Storage()
    yield server
    server.close()


def work(url, folder, what):
    """Migrate in a process of its own."""
    from seatrial.command import mending, migrating  # noqa: PLC0415 - in the process that may be killed

    os.chdir(folder)
    Path("k").write_text(KUBECONFIG % url)
    Path("p.toml").write_text(PROFILE)
    back = what == "rollback"
    wanted = Wanted(storage_class="" if back else "ceph-fs-ec", conductors=1 if back else 2)
    with contextlib.redirect_stdout(open(os.devnull, "w")):  # noqa: PTH123 - for the process's whole life
        migrating.migrate(mending.Chosen("", kubeconfig="k", profile="p.toml"), wanted, Path("j.jsonl"), what)


def migrate(storage, folder, what):
    process = FORK.Process(target=work, args=(storage.url, str(folder), what))
    process.start()
    storage.pid = process.pid
    process.join(60)
    return process.exitcode


def shared(storage):
    assert [storage.modes(name) for name in NAMES] == [(["ReadWriteMany"], "ceph-fs-ec")] * 2
    assert storage.replicas() == [2, 1]
    whole(storage)


def single(storage):
    assert [storage.modes(name) for name in NAMES] == [(["ReadWriteOnce"], "general")] * 2
    assert storage.replicas() == [1, 1]
    whole(storage)


def whole(storage):
    assert {name: storage.files.get(name) for name in NAMES} == FILES
    assert [storage.modes(f"{name}-new") for name in NAMES] == [None, None]
    binding = storage.get("clusterrolebindings", "argocd-application-controller")
    assert binding["subjects"] == [{"name": "argocd"}]
    assert binding["metadata"]["labels"] == {"a": "b"}


def nothing_is_lost(storage):
    """Whatever was killed, each file is in the claim or in its copy."""
    for name, files in FILES.items():
        assert files in (storage.files.get(name), storage.files.get(f"{name}-new")), name


def test_the_migration_and_its_rollback(storage, tmp_path):
    assert migrate(storage, tmp_path, "apply") == 0
    shared(storage)
    claim = storage.get("persistentvolumeclaims", "dnsmasq-dhcp", "openstack")
    assert claim["metadata"]["labels"] == {"app": "dnsmasq"}
    assert claim["metadata"]["annotations"] == {"meta.helm.sh/release-name": "ironic"}
    assert claim["spec"]["resources"] == {"requests": {"storage": "16Mi"}}
    backup = json.loads(storage.get("configmaps", "seatrial-migration-backup", "openstack")["data"]["claims.json"])
    assert json.loads((tmp_path / "j-claims.json").read_text()) == backup
    contents = read(tmp_path / "j.jsonl")
    assert len([key for key in contents.steps if key[0] == FORWARD]) == 11
    assert migrate(storage, tmp_path, "rollback") == 0
    single(storage)
    contents = read(tmp_path / "j.jsonl")
    assert len([key for key in contents.steps if key[0] == BACK]) == 10
    assert migrate(storage, tmp_path, "apply") == 0
    shared(storage)


def writes_of(what, tmp_path, first=()):
    """Return how many writes a whole way takes."""
    storage = Storage()
    folder = tmp_path / f"count-{what}"
    folder.mkdir()
    for way in first:
        assert migrate(storage, folder, way) == 0
    before = storage.writes
    assert migrate(storage, folder, what) == 0
    storage.close()
    return storage.writes - before


WAYS = pytest.mark.parametrize(
    ("what", "first", "ended"),
    [("apply", (), shared), ("rollback", ("apply",), single)],
    ids=["forward", "back"],
)


@pytest.mark.lab
@pytest.mark.round
@WAYS
def test_killed_at_some_writes_it_is_gone_on_with(tmp_path, what, first, ended):
    assert killed_at(tmp_path, what, first, ended, lambda number: (number % 2 == 0,) if number % 9 == 4 else ()) >= 2


@pytest.mark.lab  # not for the lab's sake: a hundred processes that wait for each other's Lease are for the round
@pytest.mark.round
@WAYS
def test_killed_in_every_write_and_after_it_it_is_gone_on_with(tmp_path, what, first, ended):
    assert killed_at(tmp_path, what, first, ended, lambda _number: (False, True)) >= 40


def killed_at(tmp_path, what, first, ended, phases):
    """Kill a way at each of its writes, before it is done or after, go on with it, and return how many kills."""
    total = writes_of(what, tmp_path, first)
    kills = 0
    assert total >= 20
    for number in range(1, total + 1):
        for done in phases(number):
            storage = Storage()
            folder = tmp_path / f"{what}-{number}-{done}"
            folder.mkdir()
            for way in first:
                assert migrate(storage, folder, way) == 0
            fatal = storage.writes + number

            def kill(write, is_done, storage=storage, fatal=fatal, done=done):
                if (write, is_done) == (fatal, done):
                    os.kill(storage.pid, signal.SIGKILL)

            storage.around_write.append(kill)
            killed = migrate(storage, folder, what) == -signal.SIGKILL
            kills += killed
            nothing_is_lost(storage)
            storage.around_write.clear()
            if killed:
                assert migrate(storage, folder, "resume") == 0, (number, done)
            ended(storage)
            storage.close()
    return kills


def test_a_plan_shows_every_step_and_changes_nothing(storage, tmp_path):
    from click.testing import CliRunner  # noqa: PLC0415 - of this test and the next

    from seatrial.command import main  # noqa: PLC0415 - likewise

    (tmp_path / "k").write_text(KUBECONFIG % storage.url)
    journal = str(tmp_path / "j.jsonl")
    said = CliRunner().invoke(main, ["migrate", "rwx", "--kubeconfig", str(tmp_path / "k"), "--journal", journal])
    assert said.exit_code == 0, said.output
    assert "6. delete the old claims" in said.output
    assert "kubectl -n openstack delete pvc dnsmasq-dhcp dnsmasq-ironic" in said.output
    moved = "persistentvolumeclaim openstack/dnsmasq-dhcp: ReadWriteOnce on general -> ReadWriteMany on ceph-fs-ec"
    assert moved in said.output
    assert storage.written() == []
    assert not Path(journal).exists()


@pytest.mark.parametrize(
    ("storage_class", "reason"),
    [("general", "cannot be written on several nodes"), ("nowhere", "there is no storage class nowhere")],
)
def test_a_class_that_cannot_share_is_refused(storage, tmp_path, storage_class, reason):
    from click.testing import CliRunner  # noqa: PLC0415 - as above

    from seatrial.command import main  # noqa: PLC0415 - likewise

    (tmp_path / "k").write_text(KUBECONFIG % storage.url)
    command = ["migrate", "rwx", "--apply", "--kubeconfig", str(tmp_path / "k"), "--storage-class", storage_class]
    said = CliRunner().invoke(main, [*command, "--journal", str(tmp_path / "j.jsonl")])
    assert said.exit_code == 12
    assert reason in said.stderr
    assert storage.written() == []


def test_a_copy_that_differs_deletes_nothing(storage, tmp_path):
    storage.digest = lambda claim: f"{claim} - 1"
    assert migrate(storage, tmp_path, "apply") == 1
    assert {name: storage.files.get(name) for name in NAMES} == FILES
    assert not [path for verb, path in storage.written() if verb == "DELETE" and "persistentvolumeclaims" in path]


def test_without_argocd_it_goes_the_same_way(storage, tmp_path):
    del storage.objects[storage.path("clusterrolebindings", {"name": "argocd-application-controller"})]
    assert migrate(storage, tmp_path, "apply") == 0
    assert storage.get("clusterrolebindings", "argocd-application-controller") is None
    assert [storage.modes(name) for name in NAMES] == [(["ReadWriteMany"], "ceph-fs-ec")] * 2


def test_what_is_not_finished_is_not_begun_anew(storage, tmp_path):
    storage.around_write.append(lambda write, _done: os.kill(storage.pid, signal.SIGKILL) if write == 6 else None)
    assert migrate(storage, tmp_path, "apply") == -signal.SIGKILL
    storage.around_write.clear()
    assert migrate(storage, tmp_path, "apply") == 12
    assert migrate(storage, tmp_path, "rollback") == 12
    assert migrate(storage, tmp_path, "resume") == 0
    shared(storage)
