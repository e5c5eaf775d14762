"""The migration to shared volumes and its way back on real volumes, whole, and killed at each step and inside each."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from mender import LIMIT, SEATRIAL, Gate, about

from seatrial.lab import kubectl
from seatrial.lab.faults import all_faults
from seatrial.lab.faults import ironic as faults
from seatrial.lab.shell import LabError
from seatrial.lab.topology import SETTINGS
from seatrial.plugins.remediation.contents import read
from seatrial.plugins.remediation.volumes import BACK, FORWARD

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.with_openstack, pytest.mark.usefixtures("lab")]

SPACE = ("--namespace", "openstack")
CLAIMS = ("dnsmasq-dhcp", "dnsmasq-ironic")
MARK = "seatrial.io/test=migration"
BINDING = "argocd-application-controller"
ARGOCD = f"""
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {BINDING}, labels: {{app.kubernetes.io/part-of: argocd}}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{kind: ServiceAccount, name: {BINDING}, namespace: argocd}}]
"""
STEPS = {"apply": 11, "rollback": 10}
WAYS = {"apply": FORWARD, "rollback": BACK}


class Provisioner:
    """What provides volumes where the lab's class has nobody who does: a folder of the machine for each claim."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.troubles = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *raised):
        self._ended.set()
        self._thread.join()
        if any(raised):
            print("the provisioner's troubles:", *self.troubles, sep="\n  ")
        for volume in kubectl.get("persistentvolumes", "--selector", MARK)["items"]:
            kubectl.kubectl("delete", "persistentvolume", volume["metadata"]["name"], "--wait=false")
            shutil.rmtree(self.folder / volume["metadata"]["name"], ignore_errors=True)

    def _serve(self):
        while not self._ended.wait(0.5):
            try:
                for claim in kubectl.get("persistentvolumeclaims", *SPACE)["items"]:
                    if claim["status"].get("phase") == "Pending" and "dnsmasq" in claim["metadata"]["name"]:
                        self._provide(claim)
            except LabError as error:  # a claim that is deleted in between, as often as not
                self.troubles.append(str(error))

    def _provide(self, claim):
        name = f"seatrial-{claim['metadata']['name']}-{claim['metadata']['uid'][:8]}"
        key, _, value = MARK.partition("=")
        kubectl.apply(f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}, labels: {{{key}: {value}}}}}
spec:
  capacity: {{storage: 16Mi}}
  accessModes: [ReadWriteMany, ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: {claim["spec"]["storageClassName"]}
  claimRef: {{namespace: openstack, name: {claim["metadata"]["name"]}, uid: {claim["metadata"]["uid"]}}}
  hostPath: {{path: {self.folder}/{name}, type: DirectoryOrCreate}}
""")


def claims():
    return {item["metadata"]["name"]: item for item in kubectl.get("persistentvolumeclaims", *SPACE)["items"]}


def folder_of(claim):
    """The folder of the machine that a claim's volume is, None where it has none."""
    volume = (claim or {}).get("spec", {}).get("volumeName")
    return Path(kubectl.get("persistentvolume", volume)["spec"]["hostPath"]["path"]) if volume else None


def digest(folder):
    """What is in a folder, and what dnsmasq does not write by itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "kept" in path.name)
    told = [f"{p.relative_to(folder)} {p.stat().st_mode:o} {hashlib.sha256(p.read_bytes()).hexdigest()}" for p in files]
    return "\n".join(told)


def migrate(kubeconfig, folder, way):
    database = kubectl.get("statefulset", "mariadb-server", *SPACE)["spec"]["template"]["spec"]
    with_rsync = database["containers"][0]["image"]
    options = [
        "--settings", str(SETTINGS), "--cloud", "lab", "--kubeconfig", str(kubeconfig), "--profile", "lab",
        "--image", with_rsync, "--journal", str(folder / "j.jsonl"), f"--{way}",
    ]  # fmt: skip
    if way == "rollback":
        options += ["--storage-class", "ceph-fs-ec"]
    return [*SEATRIAL, "migrate", "rwx", *options]


def whole(command, folder):
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, cwd=folder)


@pytest.fixture
def confined():
    """Dnsmasq's volumes as ReadWriteOnce, with data in them; gives their digests."""
    fault = all_faults()["confined-dnsmasq-volumes"]
    folder = None
    try:
        fault.break_()
        kubectl.apply(ARGOCD)
        digests = {}
        for number, name in enumerate(CLAIMS):
            folder = folder_of(claims()[name])
            for file in range(20):
                path = folder / f"sub-{file % 3}" / f"kept-{file}"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(random.Random(f"{number}-{file}").randbytes(1000 * file))
                path.chmod(0o640 if file % 2 else 0o444)
            digests[name] = digest(folder)
        yield digests
    finally:
        with contextlib.suppress(Exception):
            kubectl.kubectl("delete", "clusterrolebinding", BINDING)
        faults._remove_claims()
        fault.heal()


def test_the_migration_and_its_way_back_on_real_volumes(mender, confined, tmp_path):
    assert Gate(mender, tmp_path, *about("IRON-04")).outcome("IRON-04") == "violated"
    with Provisioner(folder_of(claims()["dnsmasq-dhcp"]).parent):
        plan = whole([*migrate(mender, tmp_path, "apply")[:-1], "--plan"], tmp_path)
        assert "6. delete the old claims" in plan.stdout, plan.stdout + plan.stderr
        there = whole(migrate(mender, tmp_path, "apply"), tmp_path)
        assert there.returncode == 0, there.stdout + there.stderr
        ended("apply", confined)
        assert Gate(mender, tmp_path, *about("IRON-04"), "--settle", "60s").outcome("IRON-04") == "holds"
        back = whole(migrate(mender, tmp_path, "rollback"), tmp_path)
        assert back.returncode == 0, back.stdout + back.stderr
        ended("rollback", confined)
        assert Gate(mender, tmp_path, *about("IRON-04"), "--settle", "60s").outcome("IRON-04") == "violated"


def test_killed_at_each_step_and_inside_each_it_is_gone_on_with(mender, confined, tmp_path, capsys):
    with Provisioner(folder_of(claims()["dnsmasq-dhcp"]).parent):
        for way, steps in STEPS.items():
            kills = killed_all_along(mender, tmp_path, way, confined)
            ended(way, confined)
            assert kills >= 2 * steps
            with capsys.disabled():
                print(f"\n{way}: {kills} kills, each gone on with, data equal", end="")


def killed_all_along(mender, folder, way, digests):
    """Kill a way in each of its steps and at the end of each, go on with it each time; return how many kills it took.

    A step that takes time is killed in its middle as well. Once it is done, the process is not let go on.
    """
    kills = 0
    for number in range(1, STEPS[way] + 1):
        for moment in (0.0, 0.7, 1.5, LIMIT):
            if moment and done(folder, way) >= number:
                break
            kills += killed(mender, folder, way, number, moment)
            nothing_is_lost(digests)
    left = whole(migrate(mender, folder, "resume"), folder)
    assert left.returncode == 0, left.stdout + left.stderr
    return kills


def killed(mender, folder, way, number, moment):
    """Go on until a step is so many seconds old, or done, and kill; False where all was done before that."""
    command = migrate(mender, folder, "resume" if begun(folder, way) else way)
    said = folder / "said"
    with said.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
        step = f"{number} of {STEPS[way]}: "
        until(process, lambda: step in said.read_text() or done(folder, way) >= number, LIMIT)
        until(process, lambda: done(folder, way) >= number, moment)
        process.send_signal(signal.SIGKILL)
        status = process.wait()
    assert status in {-signal.SIGKILL, 0}, said.read_text()
    assert status or done(folder, way) == STEPS[way], said.read_text()
    return bool(status)


def until(process, happened, seconds):
    end = time.monotonic() + seconds
    while not happened() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def begun(folder, way):
    path = folder / "j.jsonl"
    return path.exists() and path.stat().st_size > 0 and read(path).way == WAYS[way]


def done(folder, way):
    """How many steps of a way are done."""
    if not begun(folder, way):
        return 0
    return sum(known.done for (of, _), known in read(folder / "j.jsonl").steps.items() if of == WAYS[way])


def nothing_is_lost(digests):
    """Whatever was killed, each volume's data is in its claim or in the temporary one."""
    listed = claims()
    for name, expected in digests.items():
        folders = [folder_of(listed.get(claim)) for claim in (name, f"{name}-new")]
        assert expected in [digest(folder) for folder in folders if folder], f"{name} is lost"


def ended(way, digests):
    listed = claims()
    mode = ["ReadWriteMany"] if way == "apply" else ["ReadWriteOnce"]
    assert [listed[name]["spec"]["accessModes"] for name in CLAIMS] == [mode, mode]
    assert not [name for name in listed if name.endswith("-new")]
    assert {name: digest(folder_of(listed[name])) for name in CLAIMS} == digests
    binding = kubectl.get("clusterrolebinding", BINDING)
    assert binding["roleRef"]["name"] == "cluster-admin"
    assert binding["metadata"]["labels"] == {"app.kubernetes.io/part-of": "argocd"}
    wanted = (
        {"ironic-conductor": 2, "ironic-dnsmasq": 1} if way == "apply" else {"ironic-conductor": 1, "ironic-dnsmasq": 1}
    )
    assert {n: kubectl.get("statefulset", n, *SPACE)["status"].get("readyReplicas") for n in wanted} == wanted
