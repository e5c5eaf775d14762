"""Kubernetes, etcd, CoreDNS, Helm and KWOK, built from the Go module proxy once for each version."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.lab.cache import CACHE, building, key
from seatrial.lab.prerequisites import go
from seatrial.lab.shell import LabError, say
from seatrial.lab.topology import ROOM

if TYPE_CHECKING:
    from collections.abc import Sequence

KUBERNETES = "1.35.4"
ETCD = "3.6.5"
COREDNS = "1.14.2"
HELM = "3.21.4"
KWOK = "0.8.0"

_VERSION = "k8s.io/component-base/version"
_KUBERNETES_FLAGS = (
    f"-s -w -X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=35"
    f" -X {_VERSION}.gitTreeState=clean -X {_VERSION}.gitCommit={'0' * 40}"
    f" -X {_VERSION}.buildDate=2026-01-01T00:00:00Z"
)


@dataclass(frozen=True, slots=True)
class Build:
    """Programs that one Go module gives."""

    name: str
    version: str
    programs: dict[str, str]
    """The Go package of each program. An empty module means `go install` of that package at the version."""
    flags: str = "-s -w"
    module: bool = True

    @property
    def folder(self) -> Path:
        """Return where its programs are kept. The name changes with anything that changes the programs."""
        sources = [path.read_bytes() for path in sorted(self.source.iterdir())] if self.module else []
        return CACHE / "bin" / f"{self.name}-{self.version}-{key(self.flags, *self.programs, *sources)}"

    @property
    def source(self) -> Path:
        """Return the folder of its wrapper module."""
        return ROOM / "gomod" / self.name


BUILDS = (
    Build("etcd", ETCD, {"etcd": "go.etcd.io/etcd/server/v3", "etcdctl": "go.etcd.io/etcd/etcdctl/v3"}),
    Build(
        "kubernetes",
        KUBERNETES,
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubelet",
                "kube-proxy",
                "kubectl",
            )
        },
        _KUBERNETES_FLAGS,
    ),
    Build("coredns", COREDNS, {"coredns": "."}),
    Build(
        "helm",
        HELM,
        {"helm": "helm.sh/helm/v3/cmd/helm"},
        f"-s -w -X helm.sh/helm/v3/internal/version.version=v{HELM}",
        module=False,
    ),
)
"""What every lab needs."""

MANY_NODES = Build(
    "kwok",
    KWOK,
    {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    f"-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v{KWOK}",
    module=False,
)
"""What only nodes without a machine need: KWOK plays their kubelets."""


def binary(name: str) -> Path:
    """Return the built program `name`."""
    for build in (*BUILDS, MANY_NODES):
        if name in build.programs:
            return build.folder / name
    raise LabError(f"no program of the lab is called {name}")


def provide(builds: Sequence[Build] = BUILDS) -> None:
    """Build what is not in the cache. From nothing, a lab's take about 15 minutes of processor time."""
    for build in builds:
        with building(build.folder) as scratch:
            if scratch is not None:
                _build(build, scratch)


def _build(build: Build, scratch: Path) -> None:
    compiler = go()
    say(f"building {build.name} {build.version} with {compiler}; from nothing this takes minutes")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    common = ["-trimpath", "-ldflags", build.flags]
    for program, package in build.programs.items():
        if build.module:
            argv = ["build", "-mod=readonly", *common, "-o", str(scratch / program), package]
        else:
            environment["GOBIN"] = str(scratch)
            argv = ["install", *common, f"{package}@v{build.version}"]
        _compile([str(compiler), *argv], program, build.source if build.module else Path("/"), environment)


def _compile(argv: Sequence[str], program: str, folder: Path, environment: dict[str, str]) -> None:
    begun = time.monotonic()
    log = CACHE / "logs" / f"build-{program}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        child = subprocess.Popen(argv, cwd=folder, env=environment, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        try:
            while child.poll() is None:
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    spent = time.monotonic() - begun
                    say(f"building {program}: {spent:.0f} s so far")
                    if spent > 3600:
                        raise LabError(f"building {program} did not end within an hour (see {log})") from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(10)
    if child.returncode:
        last = (log.read_text(encoding="utf-8", errors="replace").strip() or "it said nothing").splitlines()[-1]
        raise LabError(f"building {program} failed: {last} (see {log})")
    say(f"built {program} in {time.monotonic() - begun:.0f} s")
