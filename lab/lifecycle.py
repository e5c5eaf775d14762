"""The whole lab: brought up part by part, looked at, and taken down without a trace."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from seatrial.lab import binaries, cache, control_plane, images, kubectl, nodes, pki, prerequisites
from seatrial.lab.shell import LabError, run, say, step, wait_until
from seatrial.lab.state import Process, State, exclusive
from seatrial.lab.topology import ADMIN_KUBECONFIG, BRIDGE, LOGS, NODE_ROOTS, ROOM, SETTINGS, STATE_FOLDER

_SYSCTLS = {"fs.inotify.max_user_instances": "1024"}
"""What five kubelets need of the machine; the usual 128 watchers are used up by two."""

_KEPT = ("kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory")
"""What a kubelet would change if it could see it. Put back by `down`, to be sure."""


_OPENSTACK_SETTINGS = """
[clouds.lab.openstack]
clouds_yaml = "clouds.yaml"
cloud = "lab"
"""

_CLIENT_SETTINGS = """
[clouds.lab.pods]
memcached-client = "application=amqp-clients"
"""


def build() -> None:
    """Make what every lab is made of, and bring up nothing."""
    prerequisites.check()
    prerequisites.provide()
    cache.check_file_system()
    with exclusive():
        binaries.provide()
        images.provide()
    say("built: what a lab is made of")


def up(only: set[str] | None, *, node_count: int, rabbitmq_replicas: int, size: str = "full") -> None:
    """Bring up the lab, or what is missing of it, with the parts in `only` (all if None)."""
    prerequisites.check()
    found = State.load()
    if found is not None and found.running:
        found.refuse_strangers()
    prerequisites.provide()
    cache.check_file_system()
    with exclusive():
        binaries.provide()
        wanted = images.provide()
        on_demand = images.provide(frozenset(only or ()) & frozenset(images.ON_DEMAND))
        state = _claim(node_count)
        control_plane.make_bridge()
        _set_sysctls(state)
        pki.provide(state.node_list())
        control_plane.start(state)
        nodes.make_disks(state, wanted)
        control_plane.finish(state)
        nodes.provide(state, wanted)
        nodes.wait(state, [node.name for node in state.node_list()])
        nodes.complete(state, on_demand)
        _install_dns()
        from seatrial.lab import aftermath, openstack, releases  # noqa: PLC0415 - their imports are not needed before

        had_openstack = openstack.is_installed()
        _write_settings(with_openstack=had_openstack)
        releases.install(only, rabbitmq_replicas=rabbitmq_replicas, size=size)
        _write_settings(with_openstack=openstack.is_installed())
        if not had_openstack:
            aftermath.clear()
    say(f"the lab is up: export KUBECONFIG={ADMIN_KUBECONFIG}")


def down(*, force: bool = False) -> None:
    """End the lab and remove everything that it made, then look whether anything is left."""
    if os.geteuid() != 0:
        raise LabError("not root: run it as root")
    with exclusive():
        state = State.load()
        if state is not None and state.running and not force:
            state.refuse_strangers()
        with step("ending the lab"):
            left = _remove(state)
    if left:
        raise LabError("left behind:\n" + "\n".join(f"  - {line}" for line in left))


def _claim(node_count: int) -> State:
    """Return the state of this checkout's lab, new unless it is running already."""
    state = State.load()
    if state is not None and state.running:
        state.refuse_strangers()
        if state.nodes != node_count:
            raise LabError(f"the lab is up with {state.nodes} nodes, not {node_count}: `seatrial lab down` first")
        return state
    if state is not None:
        say(f"removing what an earlier lab of {state.owner} left")
        left = _remove(state)
        if left:
            raise LabError("an earlier lab left behind:\n" + "\n".join(f"  - {line}" for line in left))
    state = State.fresh()
    state.nodes = node_count
    state.save()
    LOGS.mkdir(parents=True, exist_ok=True)
    return state


def _remove(state: State | None) -> list[str]:
    """Remove everything; return a line for each thing that would not go."""
    left: list[str] = []
    if state is not None:
        for node in state.node_list():
            if node.name in state.processes:
                state.processes[node.name].kill()
        left += [f"node {node.name}" for node in state.node_list() if not nodes.stop(state, node)]
        left += control_plane.stop(state)
    left += _remove_cgroups()
    if Path(f"/sys/class/net/{BRIDGE}").exists():
        run(["ip", "link", "del", BRIDGE], timeout=20)
    left += [f"link {link.name}" for link in Path("/sys/class/net").glob("seatrial*")]
    left += _mounts() + _free_loops()
    if left:
        return left
    if state is not None:
        for name, value in state.sysctls.items():
            _sysctl(name).write_text(value, encoding="ascii")
        _remove_folders(state)
    shutil.rmtree(STATE_FOLDER, ignore_errors=False) if STATE_FOLDER.exists() else None
    return left


def _remove_cgroups() -> list[str]:
    # What still runs in the nodes' cgroups is the nodes': nothing else is ever put there.
    for top in nodes.cgroup_folders():
        for file in top.rglob("cgroup.procs"):
            for pid in map(int, file.read_text(encoding="ascii").split()):
                process = Process.of(pid)
                if process is not None:
                    process.kill()
    return [f"cgroup {top}" for top in nodes.cgroup_folders() if not nodes.remove_cgroups(top)]


def _remove_folders(state: State) -> None:
    for folder in sorted(set(state.folders), reverse=True):
        try:
            Path(folder).rmdir()
        except OSError:  # in use by now, or gone
            continue


def _mounts() -> list[str]:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [f"mount {line.split()[1]}" for line in mounts if str(STATE_FOLDER) in line]


def _free_loops() -> list[str]:
    """Wait for the loop devices over files of the nodes, which go with the nodes' mounts; free those that stay."""
    deadline = time.monotonic() + 5
    while (loops := _loops()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for loop in loops:
        run(["losetup", "--detach", loop], timeout=10)
    return [f"loop device {loop}" for loop in _loops()] if loops else []


def _loops() -> list[str]:
    # A device's own word about its file is a path in a mount namespace that is gone: only the inode can be trusted.
    if not NODE_ROOTS.exists():
        return []
    listed = run(["losetup", "--list", "--noheadings", "--output", "NAME,BACK-INO"], timeout=10).splitlines()
    images = ["-path", "*/var/lib/containerd", "-prune", "-o"]
    return [
        name
        for name, inode in (line.split() for line in listed)
        if run(["find", NODE_ROOTS, *images, "-inum", inode, "-print", "-quit"], timeout=60)
    ]


def _set_sysctls(state: State) -> None:
    for name in (*_SYSCTLS, *_KEPT):
        state.sysctls.setdefault(name, _sysctl(name).read_text(encoding="ascii").strip())
    state.save()
    for name, value in _SYSCTLS.items():
        if int(state.sysctls[name]) < int(value):
            _sysctl(name).write_text(value, encoding="ascii")


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _write_settings(*, with_openstack: bool) -> None:
    # The lab's registry stands for those of the world.
    settings = f"""\
[clouds.lab]
kubeconfig = "{ADMIN_KUBECONFIG}"
profile = "lab"

[clouds.lab.registries]
"*" = "service:kube-system/registry:5000"

[clouds.lab.iperf3]
image = "docker.io/library/iperf3:3.12"
"""
    # Where there is no API server of Nova's, the broker's clients stand for the cache's.
    settings += _OPENSTACK_SETTINGS if with_openstack else _CLIENT_SETTINGS
    SETTINGS.write_text(settings, encoding="ascii")


def _install_dns() -> None:
    with step("installing coredns"):
        arguments = ("upgrade", "--install", "coredns", ROOM / "charts" / "coredns", "--namespace", "kube-system")
        if not _dns_is_installed():
            kubectl.helm(*arguments)
        wait_until("CoreDNS", _dns_missing, timeout=120)


def _dns_is_installed() -> bool:
    return "coredns" in kubectl.helm("list", "--namespace", "kube-system", "--deployed", "--short").split()


def _dns_missing() -> str | None:
    status = kubectl.get("deployment", "coredns", "--namespace", "kube-system")["status"]
    ready, wanted = status.get("readyReplicas", 0), status.get("replicas", 0)
    return None if ready == wanted and ready else f"{ready} of {wanted} pods are ready"
