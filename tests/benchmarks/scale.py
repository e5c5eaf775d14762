"""`make bench-scale`: the whole conformance suite against 100, 1000 and 3000 nodes, beside a raw paged list.

The nodes are KWOK's, on a control plane of their own (`lab/crowd.py`). What is asserted is memory, and how often each
kind is listed; times are shown beside those of the raw list in the same run, never asserted. SIZES in the environment
names other sizes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from seatrial.fixtures import resources
from seatrial.lab import binaries
from seatrial.lab.crowd import deploy, join
from seatrial.lab.loopback import READER, Loopback

SIZES = [int(size) for size in os.environ.get("SIZES", "100,1000,3000").split(",")]
NODES_A_DEPLOYMENT = 20 / 3
"""So that 1000 nodes have 150 Deployments of 30 pods."""

ROUNDS = 3
MEMORY_MIB = 300
AT = 1000
"""The size that the limits are for."""

WHO = (
    ("gate", "conformance suite"),
    ("small", "the same on the recorded lab of five nodes"),
    ("raw", "raw paged list"),
)

OUT = Path(__file__).parents[2] / "reports" / "out" / "scale.json"


@dataclass
class Used:
    """What one process took; times in seconds."""

    wall: float
    cpu: float
    mib: float
    api_cpu: float
    said: str


def run(command, control_plane, folder, statuses=(0,)):
    api = control_plane.process("kube-apiserver")
    before, begun = api.cpu_s, time.monotonic()
    # Whatever is installed has its bytecode, and so have these: some machines forbid Python to write it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    assert process.returncode in statuses, text[-3000:]
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, api.cpu_s - before, text)


def listed(log, after):
    """Return how often each kind was listed from its beginning, and the paths of the lists."""
    lists, paths = Counter(), {}
    with log.open() as lines:
        lines.seek(after)
        for line in lines:
            event = json.loads(line)
            if event["verb"] != "list":
                continue
            where = urlsplit(event["requestURI"])
            kind = event["objectRef"]["resource"]
            if not parse_qs(where.query).get("continue"):
                lists[kind] += 1
                paths[kind] = where.path
    return lists, paths


def measured(control_plane, folder, nodes):
    gate_folder = folder / f"gate-{nodes}"
    gate_folder.mkdir()
    kubeconfig = str(control_plane.kubeconfig(READER))
    gate = [sys.executable, "-m", "seatrial.command", "gate", "--kubeconfig", kubeconfig, "-p", "no:cacheprovider"]
    (gate_folder / "seatrial.toml").touch()  # so that nobody's own settings, nor a lab's, are taken
    gate += ["--profile", "thousand-nodes", "--verdict", "verdict.json", "--settings", "seatrial.toml"]
    raw = [sys.executable, str(Path(__file__).parent / "raw_list.py"), kubeconfig]
    small = [sys.executable, "-m", "seatrial.command", "gate", "--bundle", "um-cloud-after", "-p", "no:cacheprovider"]
    begun = control_plane.audit.stat().st_size
    run(gate, control_plane, gate_folder, statuses=(0, 1, 10))
    time.sleep(1)  # the audit log is written behind
    lists, paths = listed(control_plane.audit, begun)
    raw += [paths[kind] for kind in sorted(paths)]
    rounds = [
        (
            run(gate, control_plane, gate_folder, statuses=(0, 1, 10)),
            run(raw, control_plane, folder),
            run(small, control_plane, folder, statuses=(0, 1, 10)),
        )
        for _ in range(ROUNDS)
    ]
    answered = json.loads(rounds[0][1].said)
    verdict = json.loads((gate_folder / "verdict.json").read_text())
    return {
        "nodes": nodes, "objects": answered["objects"], "mib": round(answered["bytes"] / 2**20, 1),
        "kinds": len(paths), "lists": dict(lists), "verdict": verdict["counts"],
        **{name: typical(used) for name, used in zip(("gate", "raw", "small"), zip(*rounds, strict=True), strict=True)},
        "ratio": round(statistics.median(ours.wall / theirs.wall for ours, theirs, _ in rounds), 2),
        "cpu_ratio": round(statistics.median((ours.cpu - least.cpu) / theirs.cpu for ours, theirs, least in rounds), 2),
    }  # fmt: skip


def typical(runs):
    figures = [asdict(used) for used in runs]
    return {
        name: round(statistics.median(used[name] for used in figures), 2) for name in ("wall", "cpu", "mib", "api_cpu")
    }


def table(results):
    yield "| nodes | objects | MiB | | wall | client CPU | peak memory | API server CPU |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for result in results:
        for who, name in WHO:
            used = result[who]
            yield (
                f"| {result['nodes']} | {result['objects']} | {result['mib']} | {name} | {used['wall']:.1f} s "
                f"| {used['cpu']:.1f} s | {used['mib']:.0f} MiB | {used['api_cpu']:.1f} s |"
            )


def ratios(result):
    yield f"wall {result['ratio']} times the raw list's"
    yield f"client CPU above that of the small cloud {result['cpu_ratio']} times the raw list's"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    wanted = {"etcd", "kubernetes"}
    binaries.provide((*(build for build in binaries.BUILDS if build.name in wanted), binaries.MANY_NODES))
    folder = tmp_path_factory.mktemp("scale")
    found = []
    nodes = deployments = 0
    with Loopback(folder / "control-plane") as control_plane:
        for size in SIZES:
            join(control_plane, nodes + 1, size)
            more = round(size / NODES_A_DEPLOYMENT)
            deploy(control_plane, deployments + 1, more)
            nodes, deployments = size, more
            found.append(measured(control_plane, folder, size))
            print(*table(found[-1:]), *ratios(found[-1]), found[-1]["verdict"], sep="\n")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(*table(found), sep="\n")
    return {result["nodes"]: result for result in found}


def test_every_kind_is_listed_once(results):
    again = {nodes: kind for nodes, result in results.items() for kind, count in result["lists"].items() if count > 1}
    assert again == {}
    assert all({"pods", "nodes", "deployments"} <= result["lists"].keys() for result in results.values())
    assert all(set(result["lists"]) <= set(resources.PATHS) for result in results.values())


@pytest.mark.skipif(AT not in SIZES, reason="the aim is for a thousand nodes")
def test_a_thousand_nodes_fit_in_little_memory(results):
    assert results[AT]["gate"]["mib"] < MEMORY_MIB
