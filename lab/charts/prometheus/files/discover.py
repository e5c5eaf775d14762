# ruff: noqa: INP001 - a file of a ConfigMap, of no package
"""Write the addresses that Prometheus scrapes, every few seconds, as files of targets.

Debian's Prometheus is built without the discovery of Kubernetes. JOBS names the file of each job and where its
addresses come from: `{"nodes": {"port": 9100}}` or `{"coredns": {"namespace", "service", "port"}}`.
"""

from __future__ import annotations

import json
import os
import pathlib
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
TARGETS = pathlib.Path(os.environ["TARGETS"])
API = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"


def items(path: str) -> list[dict[str, Any]]:
    """Return the objects that the API server lists under `path`."""
    headers = {"Authorization": "Bearer " + (ACCOUNT / "token").read_text(encoding="ascii").strip()}
    tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    request = urllib.request.Request(API + path, headers=headers)  # noqa: S310 - API begins with https://
    with urllib.request.urlopen(request, timeout=10, context=tls) as answer:  # noqa: S310 - likewise
        found: list[dict[str, Any]] = json.load(answer)["items"]
        return found


def node_targets(port: int) -> list[dict[str, Any]]:
    """Return one target for each node."""
    return [
        {"targets": [f"{address['address']}:{port}"], "labels": {"node": node["metadata"]["name"]}}
        for node in items("/api/v1/nodes")
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    ]


def service_targets(namespace: str, service: str, port: str) -> list[dict[str, Any]]:
    """Return one target for each ready address behind the port of this name."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    return [
        {
            "targets": [f"{address}:{number['port']}"],
            "labels": {"pod": (endpoint.get("targetRef") or {}).get("name", ""), "namespace": namespace},
        }
        for piece in items(f"{path}?labelSelector=kubernetes.io/service-name%3D{service}")
        for number in piece.get("ports") or []
        if number["name"] == port
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready", True)
        for address in endpoint["addresses"]
    ]


def write(job: str, where: dict[str, Any]) -> None:
    """Bring the file of one job up to date."""
    found = service_targets(**where) if "service" in where else node_targets(**where)
    file = TARGETS / f"{job}.json"
    new = file.with_suffix(".new")
    new.write_text(json.dumps(found), encoding="ascii")
    new.replace(file)


while True:
    for name, place in json.loads(os.environ["JOBS"]).items():
        try:
            write(name, place)
        except (urllib.error.URLError, OSError, KeyError, ValueError) as error:
            print(f"{name}: {error}", flush=True)
    time.sleep(int(os.environ["INTERVAL"]))
