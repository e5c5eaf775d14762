"""The lab's images: what `images/NAME.toml` defines, made once and kept as OCI content in the cache."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, Literal

import msgspec

from seatrial.lab import binaries, layers
from seatrial.lab.cache import CACHE, building, keep_newest, key
from seatrial.lab.own_tree import own_files
from seatrial.lab.shell import LabError, run, step
from seatrial.lab.topology import ROOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

DEFINITIONS = ROOM / "images"
ON_DEMAND = ("seatrial",)
"""Parts of the lab that are images alone, made and given to the nodes only when they are asked for."""

_KEPT = 40
"""Images and bases that stay in the cache: those of two or three versions of the definitions."""
_LIBRARY = re.compile(r"^docker\.io/(?=[^/]+$)")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of an image: text, a file beside the definition, or a program that the lab built."""

    content: str | None = None
    source: str | None = None
    binary: str | None = None
    mode: int = 0o644

    def read(self) -> bytes:
        """Return what is in it."""
        if self.content is not None:
            return self.content.encode()
        if self.source is not None:
            return (DEFINITIONS / self.source).read_bytes()
        return self.program.read_bytes()

    @property
    def program(self) -> Path:
        """Return the program that it is a copy of."""
        return _pause() if self.binary == "pause" else binaries.binary(self.binary or "")

    @property
    def identity(self) -> bytes:
        """Return what it is determined by, without reading a large program."""
        return str(self.program.relative_to(CACHE)).encode() if self.binary else self.read()


class Venv(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A virtual environment of Debian's Python in an image."""

    folder: str
    requirements: str
    """A file beside the definition that pins every distribution."""


class Definition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `images/NAME.toml`."""

    refs: list[str]
    """The names that pods call it by."""
    base: Literal["debian", "busybox", "scratch"]
    apt: list[str] = []
    venv: Venv | None = None
    tree: str = ""
    """The folder that seatrial itself is copied to, as to a site-packages."""
    script: str = ""
    """Run inside, after the packages, the virtual environment, the tree and the files are there."""
    files: dict[str, File] = {}
    entrypoint: list[str] = []
    cmd: list[str] = []
    user: str = ""
    env: list[str] = []
    absent: list[str] = []
    """Nodes that do not get it."""
    part: str = ""
    """The one of `ON_DEMAND` that it is made for; empty for what every lab has."""


@dataclass(frozen=True)
class Image:
    """An image that is made: its OCI manifest, its configuration, and its layers."""

    name: str
    definition: Definition
    folder: Path
    base: Path | None

    @property
    def refs(self) -> list[str]:
        """Return its names as containerd keeps them: `docker.io/x:1` is stored as `docker.io/library/x:1`."""
        return [_LIBRARY.sub("docker.io/library/", ref) for ref in self.definition.refs]

    @property
    def manifest(self) -> bytes:
        """Return the OCI manifest."""
        return (self.folder / "manifest.json").read_bytes()

    @property
    def digest(self) -> str:
        """Return the digest of the manifest, which is the image's id."""
        return _digest(self.manifest)

    def blobs(self) -> dict[str, Path]:
        """Return every blob by digest."""
        found = {_digest(self.manifest): self.folder / "manifest.json"}
        manifest = json.loads(self.manifest)
        found[manifest["config"]["digest"]] = self.folder / "config.json"
        own = self.folder / "layer.tar"
        files = [*([self.base / "layer.tar"] if self.base else []), *([own] if own.exists() else [])]
        digests = [layer["digest"] for layer in manifest["layers"]]
        return {**found, **dict(zip(digests, files, strict=True))}


def provide(parts: frozenset[str] = frozenset({""})) -> list[Image]:
    """Return the images that every lab has, or those of parts on demand, making what is not in the cache."""
    read = {file.stem: _read(file) for file in sorted(DEFINITIONS.glob("*.toml"))}
    made = [_provide(name, definition) for name, definition in read.items() if definition.part in parts]
    keep_newest(CACHE / "images", _KEPT)
    return made


def write_archive(images: Iterable[Image], sink: IO[bytes]) -> None:
    """Write an OCI archive of all `images`, under all their names, to a pipe."""
    entries = []
    blobs: dict[str, Path] = {}
    for image in images:
        blobs |= image.blobs()
        entries += [
            {
                "mediaType": _MANIFEST,
                "digest": image.digest,
                "size": len(image.manifest),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": ref,
                    "org.opencontainers.image.ref.name": ref.rsplit(":", 1)[1],
                },
            }
            for ref in image.refs
        ]
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}
    with tarfile.open(fileobj=sink, mode="w|") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for digest, file in blobs.items():
            archive.add(file, f"blobs/{digest.replace(':', '/')}")


_BASES: dict[str, Callable[[], Path | None]] = {
    "debian": layers.debian_base,
    "busybox": layers.busybox_base,
    "scratch": lambda: None,
}


def _read(file: Path) -> Definition:
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Definition)
    except msgspec.DecodeError as error:
        raise LabError(f"{file.relative_to(ROOM.parent)}: {error}") from None


def _provide(name: str, definition: Definition) -> Image:
    base = _BASES[definition.base]()
    files = [part for path, file in sorted(definition.files.items()) for part in (path, str(file.mode), file.identity)]
    files += [(DEFINITIONS / definition.venv.requirements).read_text(encoding="utf-8")] if definition.venv else []
    files += [part for path, own in _tree(definition).items() for part in (path, own.read_bytes())]
    text = msgspec.json.encode(msgspec.structs.replace(definition, refs=[], absent=[], files={}, part=""))
    folder = CACHE / "images" / f"{name}-{key(base.name if base else '', text, *files)}"
    with building(folder) as scratch:
        if scratch is not None:
            with step(f"making the image {name}"):
                _make(name, definition, base, scratch)
    for used in (folder, base):
        if used is not None:
            os.utime(used)
    return Image(name, definition, folder, base)


def _make(name: str, definition: Definition, base: Path | None, scratch: Path) -> None:
    work = scratch / "build"
    upper = work / "upper"
    upper.mkdir(parents=True)
    if base is None and (definition.apt or definition.venv or definition.script):
        raise LabError(f"images/{name}.toml: packages and scripts need a base with a shell")
    if base is not None and definition.apt:
        layers.install_packages(name, base, work, definition.apt)
    if base is not None and definition.venv:
        requirements = DEFINITIONS / definition.venv.requirements
        layers.install_venv(name, base, work, definition.venv.folder, requirements)
    for path, own in _tree(definition).items():
        target = upper / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(own, target)
    for path, file in definition.files.items():
        target = upper / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read())
        target.chmod(file.mode)
    if base is not None and definition.script:
        layers.run_script(name, base, work, definition.script)
    stack = [base / "layer.tar"] if base else []
    if any(upper.iterdir()):
        layers.write_layer(upper, scratch / "layer.tar")
        stack.append(scratch / "layer.tar")
    shutil.rmtree(work)
    _describe(definition, stack, scratch)


def _tree(definition: Definition) -> dict[str, Path]:
    """Return the files of seatrial itself by their path in the image, where the image has it."""
    if not definition.tree:
        return {}
    return {f"{definition.tree}/{path}": file for path, file in own_files().items()}


def _describe(definition: Definition, stack: list[Path], folder: Path) -> None:
    digests = [layers.digest_of(layer) for layer in stack]
    settings: dict[str, Any] = {"Env": definition.env or [_PATH]}
    settings |= {"Entrypoint": definition.entrypoint} if definition.entrypoint else {}
    settings |= {"Cmd": definition.cmd} if definition.cmd else {}
    settings |= {"User": definition.user} if definition.user else {}
    config = json.dumps(
        {
            "created": "2026-01-01T00:00:00Z",
            "architecture": "amd64",
            "os": "linux",
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [{"created_by": "seatrial lab"} for _ in digests],
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [
                {"mediaType": _LAYER, "digest": digest, "size": layer.stat().st_size}
                for digest, layer in zip(digests, stack, strict=True)
            ],
        }
    ).encode()
    (folder / "config.json").write_bytes(config)
    (folder / "manifest.json").write_bytes(manifest)


def _pause() -> Path:
    source = ROOM / "pause.c"
    folder = CACHE / "bin" / f"pause-{key(source.read_bytes())}"
    with building(folder) as scratch:
        if scratch is not None:
            run(["gcc", "-static", "-Os", "-s", "-o", scratch / "pause", source], timeout=60)
    return folder / "pause"


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
