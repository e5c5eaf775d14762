"""Forty servers at once, ours and Rally's one after the other: how long it took and what it cost the client.

`make bench-boots RALLY=PATH CLOUD=lab` with the `rally` of an environment of its own (Rally 4.1, rally-openstack).
Prints a table, each round's figures and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.fixtures.settings import OpenStackLogin, load_cloud
from seatrial.fixtures.tenant_login import login_of
from seatrial.fixtures.tenant_session import Session

PATIENCE_S = 900
SUMMED = re.compile(r"^\| +total +\|(?P<columns>.*)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Cost:
    """Wall time and processor time of a client with all its children, in seconds; how many servers became ACTIVE."""

    who: str
    wall_s: float
    cpu_s: float
    active: int


def measured(command: list[str], folder: Path, environment: dict[str, str], said: Path) -> tuple[float, float]:
    """Run a client to its end; return its wall time and processor time in seconds. Raises what ended it badly."""
    began = time.monotonic()
    with said.open("w") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{said.read_text()[-4000:]}")
    return time.monotonic() - began, used.ru_utime + used.ru_stime


def ours(cloud: str, servers: int, folder: Path, environment: dict[str, str]) -> Cost:
    """Boot and delete the servers with LOAD-05."""
    profile = folder / "boots.toml"
    sizes = f"servers = {servers}\nactive_within_s = {PATIENCE_S}.0\nspread_s = {PATIENCE_S}.0\n"
    profile.write_text(f'extends = "lab"\nabout = "as many as Rally boots"\n\n[acceptance]\n{sizes}')
    command = [
        sys.executable,
        "-m",
        "seatrial.command",
        "gate",
        "--cloud",
        cloud,
        "--allow",
        "load",
        "-k",
        "created_at_once",
    ]
    options = ["--profile", str(profile), "--verdict", str(folder / "verdict.json"), "--evidence", str(folder)]
    wall, cpu = measured([*command, *options], folder, environment, folder / "seatrial.txt")
    judged = json.loads((folder / "verdict.json").read_text())["invariants"][0]
    return Cost("seatrial", wall, cpu, int(judged["measured"]["active"]))


def rallys(task: Path, rally: list[str], folder: Path, environment: dict[str, str]) -> Cost:
    """Boot and delete the servers with Rally's NovaServers.boot_and_delete_server."""
    said = folder / "rally.txt"
    wall, cpu = measured([*rally, "task", "start", str(task)], folder, environment, said)
    summed = SUMMED.findall(said.read_text())
    if not summed:
        raise RuntimeError(f"Rally told no total:\n{said.read_text()[-4000:]}")
    columns = [column.strip() for column in summed[0].split("|")]
    share, count = columns[-2:]
    return Cost("Rally", wall, cpu, round(float(share.rstrip("%")) / 100 * int(count)))


def prepared(cloud: str, servers: int, rally: str, folder: Path) -> tuple[Path, list[str], dict[str, str]]:
    """Return Rally's task, its command and its environment, with a database of its own that knows the cloud."""
    _, settings, _ = load_cloud(cloud)
    login = login_of(settings.openstack)
    session = Session(login)
    network = session.pages("network", "/networks?name=lab", "networks")[0]["id"]
    runner = {"type": "constant", "times": servers, "concurrency": servers}
    unlimited = {"nova": dict.fromkeys(("instances", "cores", "ram"), -1), "neutron": {"port": -1}}
    arguments: dict[str, Any] = {"flavor": {"name": "m1.nano"}, "image": {"name": "cirros"}, "auto_assign_nic": False}
    workload = {
        "args": {**arguments, "nics": [{"net-id": network}], "force_delete": False},
        "runner": runner,
        "context": {"users": {"tenants": 1, "users_per_tenant": 1}, "quotas": unlimited},
    }
    task = folder / "task.json"
    task.write_text(json.dumps({"NovaServers.boot_and_delete_server": [workload]}))
    (folder / "rally.conf").write_text(f"[database]\nconnection = sqlite:///{folder}/rally.sqlite\n")
    command = [rally, "--config-file", str(folder / "rally.conf")]
    environment = {**plain_environment(), **openrc(settings.openstack)}
    for step in (["db", "create"], ["env", "create", "--name", "bench", "--from-sysenv"]):
        subprocess.run([*command, *step], env=environment, check=True, capture_output=True, timeout=300)
    return task, command, environment


def openrc(login: OpenStackLogin) -> dict[str, str]:
    """Return an entry of `clouds.yaml` as the variables that Rally reads."""
    import openstack  # noqa: PLC0415 - what is measured runs in other processes

    files = [str(login.clouds_yaml)] if login.clouds_yaml else None
    region = openstack.config.OpenStackConfig(config_files=files).get_one(login.cloud)
    auth = region.config["auth"]
    return {
        "OS_AUTH_URL": auth["auth_url"],
        "OS_USERNAME": auth["username"],
        "OS_PASSWORD": auth["password"],
        "OS_PROJECT_NAME": auth["project_name"],
        "OS_USER_DOMAIN_NAME": auth.get("user_domain_name", "Default"),
        "OS_PROJECT_DOMAIN_NAME": auth.get("project_domain_name", "Default"),
        "OS_REGION_NAME": region.region_name,
        "OS_CACERT": str(region.config.get("cacert") or ""),
        "OS_INTERFACE": "public",
        "OS_ENDPOINT_TYPE": "public",
        "OS_IDENTITY_API_VERSION": "3",
    }


def plain_environment() -> dict[str, str]:
    """Return the environment as users have it: Python keeps its bytecode."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def table(costs: list[Cost]) -> str:
    """Return the figures of every round, and the ratios of the medians."""
    lines = ["| round | who | ACTIVE | wall, s | CPU, s |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {number // 2 + 1} | {cost.who} | {cost.active} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} |"
        for number, cost in enumerate(costs)
    ]
    told = []
    for what in ("wall_s", "cpu_s"):
        mine, theirs = (
            statistics.median(getattr(c, what) for c in costs if c.who == who) for who in ("seatrial", "Rally")
        )
        told.append(f"{what.partition('_')[0]} {mine / theirs:.0%} of Rally's")
    return "\n".join([*lines, "", ", ".join(told) + " (medians)"])


def main() -> None:
    """Measure both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rally", required=True, help="the rally command")
    parser.add_argument("--cloud", default="lab")
    parser.add_argument("--servers", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seatrial-bench-") as name:
        folder = Path(name)
        task, rally, environment = prepared(given.cloud, given.servers, given.rally, folder)
        costs: list[Cost] = []
        for _ in range(given.rounds):
            costs.append(ours(given.cloud, given.servers, folder, plain_environment()))
            print(costs[-1], file=sys.stderr, flush=True)
            costs.append(rallys(task, rally, folder, environment))
            print(costs[-1], file=sys.stderr, flush=True)
    print(table(costs))


if __name__ == "__main__":
    main()
