"""The nodes' image store: imported into containerd once for each set of images, then hard-linked to every node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from seatrial.lab import images
from seatrial.lab.cache import CACHE, building, keep_newest, key
from seatrial.lab.shell import LabError, run, step
from seatrial.lab.topology import ROOM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.lab.images import Image

_DATABASES = (
    "io.containerd.metadata.v1.bolt/meta.db",
    "io.containerd.snapshotter.v1.overlayfs/metadata.db",
)
"""The files that containerd writes in place. All others it only makes and removes, so that links are safe."""


def provide(wanted: Sequence[Image]) -> Path:
    """Return a containerd root that holds all `wanted` images."""
    version = run(["containerd", "--version"], timeout=20)
    identity = [f"{image.digest} {' '.join(image.refs)}" for image in wanted]
    golden = CACHE / "golden" / key(version, (ROOM / "golden.sh").read_bytes(), *identity)
    with building(golden) as scratch:
        if scratch is not None:
            with step(f"unpacking {len(wanted)} images for the nodes"):
                _import(wanted, scratch)
    os.utime(golden)
    keep_newest(golden.parent, 2)
    return golden


def link(golden: Path, root: Path) -> None:
    """Make `root` a containerd root with the images of `golden`, sharing its files."""
    root.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "-al", golden, root], timeout=120)
    for name in _DATABASES:
        (root / name).unlink()
        shutil.copy2(golden / name, root / name)


def feed(wanted: Sequence[Image], argv: Sequence[str | Path], log: Path, *, timeout: float) -> None:
    """Run `argv` with an archive of the `wanted` images on its standard input."""
    with log.open("wb") as sink:
        child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=sink, stderr=sink)
        try:
            pipe = cast("IO[bytes]", child.stdin)
            try:
                images.write_archive(wanted, pipe)
                pipe.close()
            except BrokenPipeError:
                pass
            status = child.wait(timeout)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(10)
    if status:
        last = (log.read_text(encoding="utf-8", errors="replace").strip() or "it said nothing").splitlines()[-1]
        raise LabError(f"importing images failed: {last} (see {log})")


def _import(wanted: Sequence[Image], folder: Path) -> None:
    isolation = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    log = CACHE / "logs" / "golden.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # The mount point has to be there; a package that is installed later may own it.
    Path("/var/lib/containerd").mkdir(mode=0o711, exist_ok=True)
    feed(wanted, ["unshare", *isolation, "bash", ROOM / "golden.sh", folder], log, timeout=900)
