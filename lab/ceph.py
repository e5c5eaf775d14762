"""The lab's Ceph cluster: what rook's operator would do beside the Helm release.

The chart `rook-ceph-cluster` brings the daemons. Keys and addresses are made here before the install, pools and
settings after it, and `ceph` asks the toolbox pod.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import time
import uuid
from typing import Any

import yaml

from seatrial.lab.kubectl import apply, kubectl
from seatrial.lab.shell import wait_until
from seatrial.lab.topology import ROOM

NAMESPACE = "rook-ceph"
CHART = ROOM / "charts" / "rook-ceph-cluster"
TOOLBOX = "deployment/rook-ceph-tools"

_DAEMON_CAPS = {
    "mgr": ("mon 'allow profile mgr'", "osd 'allow *'", "mds 'allow *'"),
    "osd": ("mgr 'allow profile osd'", "mon 'allow profile osd'", "osd 'allow *'"),
}

_POOLS = {"cinder.volumes": 3, "glance.images": 3, "vms": 2, "kubeai-cephfs": 2}

# Run in the toolbox: one session with the mons for all commands, where each call of the CLI costs 0.4 s.
_RUN_COMMANDS = """
import json, sys, rados
cluster = rados.Rados(conffile="/etc/ceph/ceph.conf", conf={"client_mount_timeout": "60"})
cluster.connect()
for command in json.loads(sys.argv[1]):
    code, _, message = cluster.mon_command(json.dumps(command), b"", timeout=60)
    if code:
        sys.exit(f"ceph: {command['prefix']} failed with {code}: {message}")
"""


def ceph(*argv: str, timeout: float = 30) -> str:
    """Run `ceph` with these arguments in the toolbox pod and return what it prints.

    Raises what `kubectl` raises when the pod is not there, the command fails, or `timeout` seconds pass.
    """
    return kubectl("-n", NAMESPACE, "exec", TOOLBOX, "--", "ceph", *argv, timeout=timeout)


def ceph_json(*argv: str, timeout: float = 30) -> Any:
    """Run `ceph` with these arguments in the toolbox pod and return its decoded JSON answer."""
    return json.loads(ceph(*argv, "--format=json", timeout=timeout))


def make_secrets() -> None:
    """Create the keys, the fsid and the mons' endpoints, unless an earlier install has made them."""
    if kubectl("-n", NAMESPACE, "get", "secret", "rook-ceph-mon", "--ignore-not-found", "-o", "name"):
        return
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    mons = {name: f"{mon['address']}:3300" for name, mon in values["mons"].items()}
    admin = _new_key()
    everything = tuple(f"{kind} 'allow *'" for kind in ("mds", "mgr", "mon", "osd"))
    keyring = [_entry("mon.", _new_key(), ("mon 'allow *'",)), _entry("client.admin", admin, everything)]
    keyring.append(_entry("mgr.a", _new_key(), _DAEMON_CAPS["mgr"]))
    keyring += [_entry(f"osd.{osd}", _new_key(), _DAEMON_CAPS["osd"]) for osd in values["osds"]]
    fsid = str(uuid.uuid4())
    secrets = {
        "rook-ceph-mon": {"fsid": fsid, "ceph-username": "client.admin", "ceph-secret": admin},
        "rook-ceph-config": {
            "mon_host": ",".join(f"[v2:{address}]" for address in mons.values()),
            "mon_initial_members": ",".join(mons),
        },
        "rook-ceph-mons-keyring": {"keyring": "".join(keyring)},
        "rook-ceph-admin-keyring": {"keyring": keyring[1]},
    }
    mapping = {"node": {name: {"Name": mon["node"]} for name, mon in values["mons"].items()}}
    endpoints = {
        "data": ",".join(f"{name}={address}" for name, address in mons.items()),
        "mapping": json.dumps(mapping),
        "maxMonId": str(len(mons) - 1),
    }
    objects = [_object("Secret", name, {"stringData": data}) for name, data in secrets.items()]
    objects.append(_object("ConfigMap", "rook-ceph-mon-endpoints", {"data": endpoints}))
    apply(yaml.safe_dump_all(objects))


def configure() -> None:
    """Set what a sound cluster has in its config database, and make its pools."""
    commands: list[dict[str, Any]] = [
        _setting("mon", "mon_data_avail_warn", "15"),
        _setting("global", "mon_max_pg_per_osd", "500"),
        # Short heartbeats make the threshold short too: each restart of an OSD would warn for a minute.
        _setting("global", "mon_warn_on_slow_ping_time", "20000"),
        _setting("mgr", "mgr/prometheus/scrape_interval", "15"),
    ]
    for pool, size in _POOLS.items():
        commands += [
            {"prefix": "osd pool create", "pool": pool, "pg_num": 8, "size": size},
            {"prefix": "osd pool application enable", "pool": pool, "app": _application(pool)},
        ]
    # Its min_size would be 3: with one of three OSDs down, no more I/O.
    profile = ["k=2", "m=1", "crush-failure-domain=host"]
    erasure_coded = {"pool_type": "erasure", "erasure_code_profile": "ec21"}
    commands += [
        {"prefix": "osd erasure-code-profile set", "name": "ec21", "profile": profile},
        {"prefix": "osd pool create", "pool": "ceph-fs-ec", "pg_num": 8, **erasure_coded},
        {"prefix": "osd pool set", "pool": "ceph-fs-ec", "var": "allow_ec_overwrites", "val": "true"},
        {"prefix": "osd pool set", "pool": "ceph-fs-ec", "var": "min_size", "val": "2"},
        {"prefix": "osd pool application enable", "pool": "ceph-fs-ec", "app": "cephfs"},
    ]
    argv = ["python3", "-c", _RUN_COMMANDS, json.dumps(commands)]
    kubectl("-n", NAMESPACE, "exec", TOOLBOX, "--", *argv, timeout=180)


def wait_for_health(timeout: float = 180) -> None:
    """Return once the cluster says HEALTH_OK with all placement groups active+clean.

    Raises what `wait_until` raises after `timeout` seconds, with the health last seen.
    """

    def unsound() -> str | None:
        status = ceph_json("status")
        groups = {group["state_name"]: group["count"] for group in status["pgmap"].get("pgs_by_state", [])}
        health = status["health"]
        if health["status"] == "HEALTH_OK" and set(groups) == {"active+clean"}:
            return None
        return f"{health['status']} {' '.join(health['checks'])} {groups}"

    wait_until("Ceph to be HEALTH_OK", unsound, timeout=timeout, interval=1)


def _setting(who: str, name: str, value: str) -> dict[str, Any]:
    return {"prefix": "config set", "who": who, "name": name, "value": value, "force": True}


def _application(pool: str) -> str:
    return "cephfs" if "cephfs" in pool else "rbd"


def _new_key() -> str:
    """Return a key as `ceph-authtool --gen-key` makes it: type AES, time, length, 16 random bytes."""
    return base64.b64encode(struct.pack("<hiih", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


def _entry(entity: str, key: str, caps: tuple[str, ...]) -> str:
    lines = [f"[{entity}]", f"\tkey = {key}"]
    for cap in caps:
        service, _, rights = cap.partition(" ")
        lines.append(f"\tcaps {service} = {rights.replace(chr(39), chr(34))}")
    return "\n".join(lines) + "\n"


def _object(kind: str, name: str, content: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        **content,
    }
