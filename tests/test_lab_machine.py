"""The lab's machine, as far as it can be judged without being root."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib

import msgspec
import pytest
import yaml

from seatrial.lab import binaries, cache, images, layers, node_files, prerequisites, shell
from seatrial.lab.fault import Registry
from seatrial.lab.own_tree import own_files
from seatrial.lab.state import Process, State
from seatrial.lab.topology import CHECKOUT, ROOM, Node

DEFINITIONS = {file.stem: images._read(file) for file in sorted(images.DEFINITIONS.glob("*.toml"))}


def test_a_process_is_not_taken_for_a_later_one_with_its_pid():
    child = subprocess.Popen(["sleep", "30"])
    process = Process.of(child.pid)
    assert process.alive
    assert not Process(child.pid, process.start - 1).alive
    assert process.end()
    assert not process.alive


def test_a_signal_for_a_process_that_is_gone_reaches_nobody_else():
    bystander = subprocess.Popen(["sleep", "30"])
    Process(bystander.pid, 1).kill()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait(5)


def test_a_state_of_another_boot_is_not_running():
    state = State.fresh()
    state.processes["etcd"] = Process.of(os.getpid())
    assert state.running
    state.boot = "another"
    assert not state.running


def test_a_lab_of_another_checkout_is_named_and_left_alone(tmp_path):
    state = State.fresh()
    state.refuse_strangers()
    state.owner = str(tmp_path)
    with pytest.raises(shell.LabError, match=re.escape(str(tmp_path))):
        state.refuse_strangers()


def test_a_lab_of_a_checkout_that_was_removed_belongs_to_whoever_finds_it(tmp_path):
    state = State.fresh()
    state.owner = str(tmp_path / "removed")
    state.refuse_strangers()


def test_a_state_survives_being_written_down():
    state = State.fresh()
    state.processes["lab-1"] = Process(7, 8)
    assert msgspec.json.decode(msgspec.json.encode(state), type=State) == state


def test_a_failing_command_is_told_in_one_line_with_what_it_said_last():
    with pytest.raises(shell.LabError) as told:
        shell.run(["sh", "-c", "echo first >&2; echo the reason >&2; exit 3"], timeout=10)
    assert told.value.message.endswith("ended with status 3: the reason")
    assert "\n" not in told.value.message


def test_a_command_that_does_not_end_is_ended():
    with pytest.raises(shell.LabError, match=r"did not end within 0\.2 s"):
        shell.run(["sleep", "30"], timeout=0.2)


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(shell.LabError, match="`no-such-program` is not installed"):
        shell.run(["no-such-program"], timeout=1)


def test_a_wait_that_is_over_tells_what_was_seen_last():
    with pytest.raises(shell.LabError, match=r"pods: not after 0\.05 s; last seen: 2 of 3"):
        shell.wait_until("pods", lambda: "2 of 3", timeout=0.05, interval=0.01)


def test_a_wait_goes_on_through_errors_but_not_when_there_is_no_hope():
    answers = iter([shell.LabError("not yet"), None])

    def flaky():
        answer = next(answers)
        if answer:
            raise answer

    shell.wait_until("it", flaky, timeout=5, interval=0)

    def dead():
        raise shell.HopelessError("it died")

    with pytest.raises(shell.HopelessError, match="it died"):
        shell.wait_until("it", dead, timeout=60)


def test_what_failed_to_build_is_not_taken_for_built(tmp_path):
    target = tmp_path / "thing"

    def build_half():
        with cache.building(target) as scratch:
            (scratch / "half").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build_half()
    assert not target.exists()
    with cache.building(target) as scratch:
        assert list(scratch.iterdir()) == []
        (scratch / "whole").touch()
    with cache.building(target) as scratch:
        assert scratch is None
    assert (target / "whole").exists()


def test_only_what_was_used_last_is_kept(tmp_path):
    for age, name in enumerate(("old", "older", "oldest")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    cache.keep_newest(tmp_path, 2)
    assert {entry.name for entry in tmp_path.iterdir()} == {"old", "older"}


def test_a_key_tells_parts_apart():
    assert cache.key("ab", "c") != cache.key("a", "bc")


@pytest.mark.parametrize(
    ("module", "required"),
    [
        ("kubernetes", f"k8s.io/kubernetes v{binaries.KUBERNETES}"),
        ("etcd", f"go.etcd.io/etcd/server/v3 v{binaries.ETCD}"),
        ("coredns", f"github.com/coredns/coredns v{binaries.COREDNS}"),
    ],
)
def test_what_is_built_is_the_version_that_is_named(module, required):
    assert f"{required}" in (ROOM / "gomod" / module / "go.mod").read_text()
    assert (ROOM / "gomod" / module / "go.sum").stat().st_size


def test_images_on_demand_are_of_parts_that_can_be_asked_for():
    assert {definition.part for definition in DEFINITIONS.values()} == {"", *images.ON_DEMAND}


def test_seatrials_own_image_is_of_this_version_and_has_all_of_it():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    version, definition = project["project"]["version"], DEFINITIONS["seatrial"]
    chart = yaml.safe_load((CHECKOUT / "charts" / "seatrial" / "Chart.yaml").read_text())
    assert definition.refs == [f"docker.io/seatrial:{version}"] == [f"docker.io/seatrial:{chart['appVersion']}"]
    metadata = definition.files[f"{definition.tree}/seatrial-{version}.dist-info/METADATA"].content
    assert f"\nVersion: {version}\n" in metadata
    found = own_files()
    packages = {f"{package.replace('.', '/')}/__init__.py" for package in project["tool"]["setuptools"]["packages"]}
    assert packages <= found.keys()
    assert {"seatrial/profiles/um-cloud.toml", "seatrial/fixtures/recorded/um-cloud-after.tar.zst"} <= found.keys()
    assert [path for path in found if "__pycache__" in path or "/out/" in path] == []
    pinned = {
        line.partition("==")[0] for line in (images.DEFINITIONS / definition.venv.requirements).read_text().split()
    }
    wanted = {re.split(r"[<>=]", each)[0].lower() for each in project["project"]["dependencies"]}
    assert wanted <= pinned


def test_no_two_images_have_one_name():
    names = [ref for definition in DEFINITIONS.values() for ref in definition.refs]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_an_image_is_made_from_what_is_there(name):
    for file in DEFINITIONS[name].files.values():
        assert sum(part is not None for part in (file.content, file.source, file.binary)) == 1
        if file.source:
            assert (images.DEFINITIONS / file.source).is_file()


def test_the_nodes_have_their_sandbox_image():
    assert node_files.SANDBOX_IMAGE in DEFINITIONS["pause"].refs


def test_an_image_definition_with_a_wrong_key_names_file_and_key(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "ROOM", tmp_path / "lab")
    file = tmp_path / "lab" / "wrong.toml"
    file.parent.mkdir()
    file.write_text('refs = []\nbase = "scratch"\nentrypiont = []\n')
    with pytest.raises(shell.LabError, match=r"lab/wrong\.toml: .*entrypiont"):
        images._read(file)


def test_a_layer_holds_files_links_and_modes(tmp_path):
    top = tmp_path / "top"
    (top / "bin").mkdir(parents=True)
    (top / "bin" / "tool").write_text("x")
    (top / "bin" / "tool").chmod(0o755)
    (top / "bin" / "alias").symlink_to("tool")
    digest = layers.write_layer(top, tmp_path / "layer.tar")
    assert digest == layers.digest_of(tmp_path / "layer.tar")
    with tarfile.open(tmp_path / "layer.tar") as archive:
        entries = {entry.name: (entry.mode & 0o777, entry.linkname) for entry in archive if not entry.isdir()}
    assert entries == {"bin/tool": (0o755, ""), "bin/alias": (0o777, "tool")}


def test_every_node_has_addresses_of_its_own():
    nodes = [Node(index) for index in range(1, 10)]
    for fact in ("name", "address", "pod_network", "link"):
        assert len({getattr(node, fact) for node in nodes}) == len(nodes)
    assert all(len(node.link) <= 15 for node in nodes)
    assert [node.name for node in nodes if node.labels.get("role") == "storage-node"] == ["lab-1", "lab-2", "lab-3"]


def test_a_go_that_is_too_old_is_named_with_the_remedy(tmp_path, monkeypatch):
    fake = tmp_path / "go"
    fake.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(shell.LabError, match=r"Go >= 1\.26.*go1\.19\.8.*install it"):
        prerequisites.go()


def test_two_faults_cannot_have_one_name_and_a_fault_is_titled_by_its_docstring():
    registry = Registry()

    @registry.fault("mon-down", trips="CEPH-07", parts="ceph", heal=lambda: None)
    def stop_a_mon():
        """One mon is down."""

    fault = registry.faults["mon-down"]
    assert (fault.title, fault.parts, fault.break_) == ("One mon is down", frozenset({"ceph"}), stop_a_mon)
    with pytest.raises(ValueError, match="mon-down"):
        registry.fault("mon-down", trips="CEPH-07", parts="ceph", heal=lambda: None)(stop_a_mon)


@pytest.mark.parametrize("arguments", [("up", "--only", "rabbit"), ("up", "--nodes", "2")])
def test_a_wrong_option_is_a_usage_error(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "seatrial.lab", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
