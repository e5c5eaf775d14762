"""The nodes: namespaces on this machine's own root file system, each with its containerd, kubelet and kube-proxy."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.lab import golden, kubectl, node_files, shell
from seatrial.lab.binaries import binary
from seatrial.lab.prerequisites import CGROUPS
from seatrial.lab.shell import HopelessError, LabError, say, wait_until
from seatrial.lab.state import Process, State
from seatrial.lab.topology import BRIDGE, CGROUP, LOGS, NODE_ROOTS, ROOM, SERVICE_NETWORK, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.lab.images import Image

PRIVATE_FOLDERS = (
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/var/lib/rook",
    "/var/lib/lab-volumes",
    "/var/log/pods",
    "/var/log/containers",
    "/etc/cni/net.d",
    "/etc/kubernetes",
)
"""What every node has for itself; the rest of its file system is the machine's."""

_MEMORY_SHARE = 0.75
"""All nodes together get this part of the machine's memory: they stand outside whatever limit this session has."""

_CPU_SHARES = 16384
"""Their weight against the machine's other processes, of which each has 1024."""


def run(name: str, argv: Sequence[str | Path], *, timeout: float = 30, stdin: str | None = None) -> str:
    """Run a command inside a node and return its standard output; `timeout` is in seconds."""
    state = State.mine()
    process = state.processes.get(_named(state, name).name)
    if process is None or not process.alive:
        raise LabError(f"node {name} is not running: `seatrial lab up` starts it")
    title = f"{name}: {' '.join(map(str, argv[:8]))}"
    return shell.run([*enter(process), *argv], timeout=timeout, stdin=stdin, title=title)


def enter(process: Process) -> list[str]:
    """Return the command that runs what follows it inside the node whose first process this is."""
    return ["nsenter", "--target", str(process.pid), "-m", "-n", "-p", "-u", "-i", "-C", "--"]


def make_disks(state: State, wanted: Sequence[Image]) -> None:
    """Give every node that is new a disk of its own with the images on it."""
    _make_folders(state)
    new = [node for node in state.node_list() if not (NODE_ROOTS / node.name / "made").exists()]
    if not new:
        return
    store = golden.provide(wanted)
    for node in new:
        root = NODE_ROOTS / node.name
        shutil.rmtree(root, ignore_errors=True)
        golden.link(store, root / "var/lib/containerd")
        absent = [ref for image in wanted if node.name in image.definition.absent for ref in image.refs]
        (root / "absent").write_text("\n".join(absent), encoding="ascii")
        (root / "made").touch()


def provide(state: State, wanted: Sequence[Image]) -> None:
    """Start every node that does not run, and give those that run the images that they lack."""
    for node in state.node_list():
        if state.alive(node.name):
            _complete(state, node, wanted)
        else:
            start(state, node)


def complete(state: State, wanted: Sequence[Image]) -> None:
    """Give every node that runs the images that it lacks."""
    for node in state.node_list() if wanted else ():
        _complete(state, node, wanted)


def wait(state: State, names: Sequence[str], *, timeout: float = 120) -> None:
    """Wait until the nodes with these names are Ready; `timeout` is in seconds."""
    wait_until("nodes Ready", lambda: _not_ready(state, names), timeout=timeout)
    _tell_pod_networks(state)


def start(state: State, node: Node) -> None:
    """Start one node, or start it again after `stop` with the disk that it had."""
    if not (NODE_ROOTS / node.name / "made").exists():
        raise LabError(f"node {node.name} has no disk: `seatrial lab up` makes it")
    node_files.write(node)
    _make_cgroups(node)
    state.spawn(node.name, ["bash", ROOM / "node-start.sh"], env=_environment(state, node))
    process = _first_inside(state, node)
    _connect(node, process)
    say(f"node {node.name} started")


def stop(state: State, node: Node) -> bool:
    """End a node as a power failure would: its disk stays. Return whether it is gone."""
    process = state.processes.get(node.name)
    if process is None:
        return True
    process.kill()
    gone = process.wait(20)
    # The link goes with the namespace, but only when the kernel gets round to it.
    if Path(f"/sys/class/net/{node.link}").exists():
        try:
            shell.run(["ip", "link", "del", node.link], timeout=10)
        except LabError:
            gone = gone and not Path(f"/sys/class/net/{node.link}").exists()
    return gone


def crash(name: str) -> None:
    """End a node as a power failure would, and return when it is gone; its disk stays for `boot`."""
    state = State.mine()
    if not stop(state, _named(state, name)):
        raise LabError(f"node {name} would not end: `seatrial lab down` cleans up")


def boot(name: str, *, timeout: float = 120) -> None:
    """Start a node that crashed, and wait until it is Ready; harmless where it runs."""
    state = State.mine()
    if not state.alive(name):
        start(state, _named(state, name))
    wait(state, [name], timeout=timeout)


def cgroup_folders() -> Iterator[Path]:
    """Yield the folder above the nodes' cgroups in every hierarchy."""
    for hierarchy in CGROUPS:
        yield Path("/sys/fs/cgroup") / hierarchy / CGROUP


def remove_cgroups(folder: Path) -> bool:
    """Remove a cgroup and all below it; return whether it is gone."""
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        for inside, _, _ in os.walk(folder, topdown=False):
            try:
                Path(inside).rmdir()
            except OSError:  # still busy with a process that is ending
                time.sleep(0.02)
    return not folder.exists()


def _named(state: State, name: str) -> Node:
    for node in state.node_list():
        if node.name == name:
            return node
    raise LabError(f"no node is called {name}; there are {', '.join(node.name for node in state.node_list())}")


def _make_folders(state: State) -> None:
    for folder in map(Path, PRIVATE_FOLDERS):
        missing = [str(path) for path in (folder, *folder.parents) if not path.exists()]
        if missing:
            state.folders += missing
            state.save()
            folder.mkdir(parents=True, exist_ok=True)


def _make_cgroups(node: Node) -> None:
    for top in cgroup_folders():
        # As a reboot would: what an earlier life left costs the kubelet seconds for each container.
        remove_cgroups(top / node.name)
        new = not top.exists()
        top.mkdir(exist_ok=True)
        if new and top.parent.name == "cpuset":
            for part in ("cpuset.cpus", "cpuset.mems"):
                (top / part).write_text((top.parent / part).read_text(encoding="ascii"), encoding="ascii")
            (top / "cgroup.clone_children").write_text("1", encoding="ascii")
        if new and top.parent.name == "memory":
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            (top / "memory.limit_in_bytes").write_text(str(int(total * _MEMORY_SHARE)), encoding="ascii")
        if new and top.parent.name == "cpu":
            # To the scheduler this folder counts as one process of the machine: five nodes would starve beside a build.
            (top / "cpu.shares").write_text(str(_CPU_SHARES), encoding="ascii")
        (top / node.name).mkdir(exist_ok=True)


def _environment(state: State, node: Node) -> dict[str, str]:
    others = [other for other in state.node_list() if other != node]
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "CGROUP_HIERARCHIES": " ".join(CGROUPS),
        "NODE_CGROUP": f"{CGROUP}/{node.name}",
        "NODE_NAME": node.name,
        "NODE_ADDRESS": node.address,
        "NODE_ROOT": str(NODE_ROOTS / node.name),
        "NODE_LABELS": ",".join(f"{label}={value}" for label, value in node.labels.items()),
        "PRIVATE_FOLDERS": " ".join(PRIVATE_FOLDERS),
        "SERVICE_NETWORK": SERVICE_NETWORK,
        "POD_ROUTES": " ".join(f"{other.pod_network}={other.address}" for other in others),
        "LOG_PREFIX": str(LOGS / node.name),
        "KUBELET": str(binary("kubelet")),
        "KUBE_PROXY": str(binary("kube-proxy")),
    }


def _first_inside(state: State, node: Node) -> Process:
    """Wait for the first process inside the node and record it: everything in the node ends with it."""
    outer = state.processes[node.name]
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    here = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while outer.alive and time.monotonic() < deadline:
        with suppress(FileNotFoundError):  # it ended meanwhile
            for pid in children.read_text(encoding="ascii").split():
                if Path(f"/proc/{pid}/ns/net").readlink() != here:
                    return state.record(node.name, int(pid))
        time.sleep(0.02)
    raise LabError(f"node {node.name} did not start: see {LOGS / f'{node.name}.log'}")


def _connect(node: Node, process: Process) -> None:
    peer = ["type", "veth", "peer", "name", "eth0", "netns", str(process.pid)]
    if Path(f"/sys/class/net/{node.link}").exists():
        shell.run(["ip", "link", "del", node.link], timeout=10)
    shell.run(["ip", "link", "add", node.link, *peer], timeout=10)
    shell.run(["ip", "link", "set", node.link, "master", BRIDGE, "up"], timeout=10)
    # So that the API server reaches pods, for the service proxy.
    shell.run(["ip", "route", "replace", node.pod_network, "via", node.address, "dev", BRIDGE], timeout=10)


def _not_ready(state: State, names: Sequence[str]) -> str | None:
    for name in names:
        if not state.alive(name):
            raise HopelessError(f"node {name} ended while it was starting: see {LOGS / f'{name}.log'}")
    ready = {
        item["metadata"]["name"]
        for item in kubectl.get("nodes", timeout=10)["items"]
        for condition in item["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    missing = [name for name in names if name not in ready]
    return f"waiting for {', '.join(missing)} (their kubelets' logs are in {LOGS})" if missing else None


def _tell_pod_networks(state: State) -> None:
    """Give each node the `podCIDR` that a cloud's controller manager would: the lab's allots none by itself."""
    untold = {item["metadata"]["name"] for item in kubectl.get("nodes")["items"] if "podCIDR" not in item["spec"]}
    for node in state.node_list():
        if node.name in untold:
            spec = {"podCIDR": node.pod_network, "podCIDRs": [node.pod_network]}
            kubectl.kubectl("patch", "node", node.name, "--patch", json.dumps({"spec": spec}))


def _complete(state: State, node: Node, wanted: Sequence[Image]) -> None:
    listed = shell.run([*enter(state.processes[node.name]), "ctr", "-n", "k8s.io", "images", "ls"], timeout=30)
    there = {tuple(line.split()[i] for i in (0, 2)) for line in listed.splitlines()[1:]}
    lacking = [
        image
        for image in wanted
        if node.name not in image.definition.absent and any((ref, image.digest) not in there for ref in image.refs)
    ]
    if not lacking:
        return
    say(f"node {node.name}: importing {', '.join(image.name for image in lacking)}")
    argv = [*enter(state.processes[node.name]), "ctr", "-n", "k8s.io", "images", "import", "-"]
    golden.feed(lacking, argv, LOGS / f"{node.name}-import.log", timeout=300)
