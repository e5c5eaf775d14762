"""Root file systems without a container engine: a Debian base, packages over it, files over both."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.lab.cache import CACHE, building, key
from seatrial.lab.shell import LabError, run, step

if TYPE_CHECKING:
    from collections.abc import Iterable

_MMDEBSTRAP = (
    "--variant=minbase",
    "--mode=root",
    "--include=ca-certificates",
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale", "info")),
    "--customize-hook=rm -f $1/etc/hostname && : > $1/etc/resolv.conf",
)

# What runs in the overlay of one image. The mounts end with the namespace.
_CHROOT = """
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$WORK/upper,workdir=$WORK/work" "$WORK/merged"
mount --bind "$APT/archives" "$WORK/merged/var/cache/apt/archives"
mount --bind "$APT/lists" "$WORK/merged/var/lib/apt/lists"
mount --bind "$WHEELS" "$WORK/merged/mnt"
mount -t proc proc "$WORK/merged/proc"
mount --bind /dev "$WORK/merged/dev"
exec chroot "$WORK/merged" /bin/sh -euc "$INSIDE"
"""

_INSTALL = """
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
printf '%s\\n' "$RESOLVER" > /etc/resolv.conf
install() {{
    apt-get install -y -qq --no-install-recommends -o APT::Keep-Downloaded-Packages=true \\
        -o Dpkg::Options::=--force-unsafe-io {packages}
}}
install || {{ apt-get update -qq && install; }}
rm -rf /usr/sbin/policy-rc.d /var/log/apt /var/log/dpkg.log /var/cache/debconf/*-old /var/cache/apt/*.bin
rm -rf /var/lib/dpkg/*-old /var/log/alternatives.log
: > /etc/resolv.conf
"""

_MAKE_VENV = """
python3 -m venv {folder}
{folder}/bin/pip install --quiet --no-index --find-links /mnt --no-deps --no-compile -r /mnt/{requirements}
{folder}/bin/pip uninstall --quiet --yes pip
"""

_BUSYBOX_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def debian_base() -> Path:
    """Return the folder of the Debian base: `root`, unpacked, and `layer.tar`."""
    release, sources = _debian_sources()
    base = CACHE / "images" / f"base-debian-{key(release, *_MMDEBSTRAP, *(source.read_bytes() for source in sources))}"
    with building(base) as scratch:
        if scratch is not None:
            with step("making the Debian base of the images"):
                log = log_of("base-debian")
                # Its mounts end with the namespace even where it is killed.
                private = ["unshare", "--mount", "--propagation", "private", "env", f"TMPDIR={scratch}"]
                making = ["mmdebstrap", *_MMDEBSTRAP, release, str(scratch / "layer.tar"), *map(str, sources)]
                run([*private, *making], timeout=900, log=log)
                (scratch / "root").mkdir()
                run(["tar", "-xpf", scratch / "layer.tar", "-C", scratch / "root", "--numeric-owner"], timeout=300)
    return base


def busybox_base() -> Path:
    """Return the folder of the busybox base: `root`, and `layer.tar`."""
    program = Path("/bin/busybox")
    base = CACHE / "images" / f"base-busybox-{key(program.read_bytes(), *_BUSYBOX_FILES.values())}"
    with building(base) as scratch:
        if scratch is not None:
            root = scratch / "root"
            for folder in ("bin", "etc", "root", "tmp", "usr/local/bin", "proc", "dev"):
                (root / folder).mkdir(parents=True)
            (root / "tmp").chmod(0o1777)
            shutil.copy2(program, root / "bin/busybox")
            for applet in run([program, "--list"], timeout=10).split():
                if applet != "busybox":
                    (root / "bin" / applet).symlink_to("busybox")
            for name, content in _BUSYBOX_FILES.items():
                (root / name).write_text(content, encoding="ascii")
            write_layer(root, scratch / "layer.tar")
    return base


def install_packages(name: str, base: Path, work: Path, packages: Iterable[str]) -> None:
    """Install Debian packages over `base`; what that changes is in `work/upper`."""
    _in_overlay(name, base, work, _INSTALL.format(packages=" ".join(packages)), timeout=1200)


def install_venv(name: str, base: Path, work: Path, folder: str, requirements: Path) -> None:
    """Make a virtual environment `folder` over `base` with the distributions that the file `requirements` pins.

    The machine's own pip, which knows how to reach an index, fetches them; inside the image nothing is reached.
    """
    wheels = CACHE / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    pip = ["/usr/bin/python3", "-m", "pip", "wheel", "--no-deps", f"--find-links={wheels}", f"--wheel-dir={wheels}"]
    run([*pip, f"--requirement={requirements}"], timeout=1800, log=log_of(f"{name}-wheels"))
    shutil.copy(requirements, wheels)
    making = _MAKE_VENV.format(folder=folder, requirements=requirements.name)
    _in_overlay(f"{name}-venv", base, work, making, timeout=900)


def run_script(name: str, base: Path, work: Path, script: str) -> None:
    """Run shell text inside the image that `base` and `work/upper` make."""
    _in_overlay(f"{name}-script", base, work, script, timeout=300)


def write_layer(top: Path, layer: Path) -> str:
    """Write the folder `top` as an OCI layer and return its digest, `sha256:…`.

    What the overlay marks as removed becomes a whiteout as OCI writes it. Layers stay uncompressed: they are imported
    on this machine and never sent.
    """
    with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder, folders, files in os.walk(top):
            folders.sort()
            inside = Path(folder).relative_to(top)
            if inside != Path():
                archive.add(folder, str(inside), recursive=False)
                if _is_opaque(folder):
                    archive.addfile(tarfile.TarInfo(str(inside / ".wh..wh..opq")))
            links = [name for name in folders if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *links]):
                status = (Path(folder) / name).lstat()
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    archive.addfile(tarfile.TarInfo(str(inside / f".wh.{name}")))
                elif not stat.S_ISSOCK(status.st_mode):
                    archive.add(Path(folder) / name, str(inside / name), recursive=False)
    return digest_of(layer)


def digest_of(file: Path) -> str:
    """Return the OCI digest of a file."""
    digest = sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def log_of(name: str) -> Path:
    """Return the log of building the image `name`."""
    log = CACHE / "logs" / f"image-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def _in_overlay(name: str, base: Path, work: Path, inside: str, *, timeout: float) -> None:
    apt = CACHE / "apt"
    wheels = CACHE / "wheels"
    made = (work / "upper", work / "work", work / "merged")
    for folder in (*made, wheels, apt / "archives/partial", apt / "lists/partial"):
        folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
        "LOWER": str(base / "root"),
        "WORK": str(work),
        "APT": str(apt),
        "WHEELS": str(wheels),
        "INSIDE": inside,
        "RESOLVER": Path("/etc/resolv.conf").read_text(encoding="utf-8"),
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
    }
    argv = ["unshare", "--mount", "--propagation", "private", "bash", "-euc", _CHROOT]
    run(argv, timeout=timeout, env=environment, log=log_of(name))


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def _debian_sources() -> tuple[str, list[Path]]:
    """Return this machine's Debian release and the files that say where its packages come from."""
    facts = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    release = facts.get("VERSION_CODENAME", "").strip('"')
    if facts.get("ID") != "debian" or not release:
        raise LabError("the lab's images are made from Debian packages, and /etc/os-release names no Debian release")
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.sources"))]
    files += sorted((apt / "sources.list.d").glob("*.list"))
    sources = [file for file in files if file.exists() and any(release in line.split() for line in _lines(file))]
    if not sources:
        raise LabError(f"no file under /etc/apt names packages of Debian {release}")
    return release, sources


def _lines(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(("deb ", "Suites:"))]
