"""Breakages of Kubernetes at scale.

K8S-01, K8S-07 and K8S-12 are judged here alone: the lab's control plane is processes of one machine, so its nodes have
no proxies to it and hold no leaders, and its etcd waits for no disk. So are the ends of certificates (K8S-10) and an
etcd without a leader or room (K8S-09): on the lab they would end everything else with them.
"""

from __future__ import annotations

import base64
import copy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from breakage import RecordedCloud, breaks
from breakages.helm import DEPLOYMENTS, deployed, upgraded
from seatrial.fixtures import apiserver, certificates, dns, etcd, proxies, scheduling
from seatrial.fixtures.cluster import CONFIGMAPS, PODS
from seatrial.fixtures.question import Logs
from seatrial.fixtures.settings import load_profile

WINDOW = load_profile("lab").window_s
LEADERS_APART = f"--profile {Path(__file__).with_name('leaders-apart.toml')}"

HASTY = """
stream {
  upstream kube_apiserver { least_conn; server 10.240.0.1:6443; }
  server {
    listen 127.0.0.1:6443;
    proxy_pass kube_apiserver;
    proxy_timeout 3s;
    proxy_connect_timeout 1s;
  }
}
"""


@breaks("K8S-01")
def an_nginx_proxy_closes_idle_connections(cloud: RecordedCloud) -> None:
    entry = cloud.entries(proxies.NGINX)[0]
    del entry["speakers"]  # which said that there was nobody to ask
    entry["heard"] |= {"speaker": "kube-system/nginx-proxy-lab-1", "node": "lab-1"}
    cloud.write(proxies.NGINX, HASTY)


@breaks("K8S-01")
def a_config_map_of_proxies_closes_idle_connections(cloud: RecordedCloud) -> None:
    with cloud.json(CONFIGMAPS) as listed:
        listed["items"].append({"metadata": {"name": "proxy", "namespace": "infra"}, "data": {"nginx.conf": HASTY}})


@breaks("K8S-02")
def an_api_server_burns_cores(cloud: RecordedCloud) -> None:
    _tell(cloud, apiserver.loads(WINDOW), "9.5", fact="cores")


@breaks("K8S-02")
def an_api_server_is_slow(cloud: RecordedCloud) -> None:
    _tell(cloud, apiserver.loads(WINDOW), "31.5", fact="p99")


@breaks("K8S-03")
def priority_and_fairness_rejects(cloud: RecordedCloud) -> None:
    flow = {"priority_level": "workload-low", "flow_schema": "service-accounts", "reason": "queue-full"}
    _add(cloud, apiserver.refusals(WINDOW), "120", fact="full", instance="10.240.0.1:46443", **flow)


@breaks("K8S-03")
def an_old_api_server_takes_few_requests(cloud: RecordedCloud) -> None:
    cloud.replace(apiserver.METRICS, "apiserver_flowcontrol_nominal_limit_seats", "apiserver_nothing_of_the_sort")
    with cloud.json(PODS) as listed:
        server = _pod("kube-apiserver-lab-1", {"component": "kube-apiserver"}, listed)
        server["metadata"]["namespace"] = "kube-system"
        server["spec"]["containers"][0]["command"] = ["kube-apiserver", "--max-requests-inflight=100"]
        listed["items"].append(server)


@breaks("K8S-04")
def an_api_server_answered_429(cloud: RecordedCloud) -> None:
    _add(cloud, apiserver.refusals(WINDOW), "44", fact="busy_new", instance="10.240.0.1:46443")


@breaks("K8S-05")
def dns_forwards_few_queries_at_once(cloud: RecordedCloud) -> None:
    def change(configmap: Any) -> None:
        text = configmap["data"]["Corefile"]
        configmap["data"]["Corefile"] = text.replace("max_concurrent 1000", "max_concurrent 150")

    upgraded(cloud, CONFIGMAPS, "coredns", "coredns", change)


@breaks("K8S-05")
def dns_has_one_replica(cloud: RecordedCloud) -> None:
    def change(deployment: Any) -> None:
        deployment["spec"]["replicas"] = 1

    upgraded(cloud, DEPLOYMENTS, "coredns", "coredns", change)


@breaks("K8S-06")
def a_dns_container_restarted(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as listed:
        pod = next(p for p in listed["items"] if p["metadata"].get("labels", {}).get("k8s-app") == "kube-dns")
        status = pod["status"]["containerStatuses"][0]
        status["restartCount"] = 2
        ended = {"reason": "OOMKilled", "exitCode": 137, "finishedAt": _when(cloud, minutes=-5)}
        status["lastState"] = {"terminated": ended}


@breaks("K8S-06")
def dns_turned_queries_away(cloud: RecordedCloud) -> None:
    said = "[ERROR] plugin/errors: 2 example.org. A: concurrent queries exceeded maximum 1000\n"
    cloud.write(Logs(dns.COREDNS, WINDOW), said)


@breaks("K8S-07", options=LEADERS_APART)
def leaders_share_a_node(cloud: RecordedCloud) -> None:
    with cloud.json(scheduling.LEASES) as listed:
        listed["items"] += [
            {"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"holderIdentity": holder}}
            for name, holder in (("kube-scheduler", "lab-1_4711"), (scheduling.ADDRESS_LEASE, "lab-1"))
        ]


@breaks("K8S-08")
def two_pods_are_where_only_one_may_be(cloud: RecordedCloud) -> None:
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["pair"]}]}
    terms = [{"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}]
    with cloud.json(PODS) as listed:
        for name in ("pair-0", "pair-1"):
            pod = _pod(name, {"app": "pair"}, listed)
            pod["spec"]["affinity"] = {
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms},
            }
            listed["items"].append(pod)


@breaks("K8S-09")
def etcd_is_nearly_full(cloud: RecordedCloud) -> None:
    _tell(cloud, etcd.HEALTH, "2000000000", fact="size")


@breaks("K8S-09")
def etcd_has_no_leader(cloud: RecordedCloud) -> None:
    _tell(cloud, etcd.HEALTH, "0", fact="leader")


@breaks("K8S-10")
def an_authority_ends_soon(cloud: RecordedCloud) -> None:
    with cloud.json(CONFIGMAPS) as listed:
        for item in listed["items"]:
            if item["metadata"]["name"] == "kube-root-ca.crt":
                item["data"]["ca.crt"] = _certificate(_ends(cloud))


@breaks("K8S-10")
def a_webhooks_authority_ends_soon(cloud: RecordedCloud) -> None:
    bundle = base64.b64encode(_certificate(_ends(cloud)).encode()).decode()
    hook = {"name": "quota.example.org", "clientConfig": {"caBundle": bundle}}
    with cloud.json(certificates.WEBHOOKS[1]) as listed:
        listed["items"].append({"metadata": {"name": "quota"}, "webhooks": [hook]})


@breaks("K8S-10")
def clients_come_with_certificates_that_end_soon(cloud: RecordedCloud) -> None:
    _tell(cloud, certificates.clients(WINDOW), "17", le="2.592e+06")


@breaks("K8S-11")
def a_release_was_made_for_an_older_kubernetes(cloud: RecordedCloud) -> None:
    with deployed(cloud, "coredns") as release:
        item = next(o for o in release["manifest"] if o["kind"] == "Deployment")
        item["apiVersion"] = "extensions/v1beta1"


@breaks("K8S-12")
def etcds_disk_is_slow(cloud: RecordedCloud) -> None:
    _tell(cloud, etcd.fsyncs(WINDOW), "0.25")
    _tell(cloud, etcd.paces(WINDOW), "300", fact="fsyncs")


def _tell(cloud: RecordedCloud, question: Any, value: str, **labels: str) -> None:
    """Change the value of the series with these labels in Prometheus' answer."""
    with cloud.json(question) as reply:
        series = [r for r in reply["data"]["result"] if labels.items() <= r["metric"].items()]
        assert series, f"no series has {labels}"
        series[0]["value"][1] = value


def _add(cloud: RecordedCloud, question: Any, value: str, **labels: str) -> None:
    """Add a series to Prometheus' answer."""
    with cloud.json(question) as reply:
        moment = reply["data"]["result"][0]["value"][0]
        reply["data"]["result"].append({"metric": labels, "value": [moment, value]})


def _pod(name: str, labels: dict[str, str], listed: Any) -> Any:
    """Return a pod that runs on a node of the cloud and has nothing odd about it."""
    like = next(p for p in listed["items"] if p["metadata"].get("labels", {}).get("k8s-app") == "kube-dns")
    pod = copy.deepcopy(like)
    pod["metadata"] |= {"name": name, "namespace": "default", "labels": labels, "ownerReferences": []}
    pod["spec"] |= {"nodeName": "lab-1", "affinity": {}}
    return pod


def _when(cloud: RecordedCloud, **ago: float) -> str:
    moment = datetime.fromisoformat(cloud.manifest["recorded"]) + timedelta(**ago)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _ends(cloud: RecordedCloud) -> datetime:
    return datetime.fromisoformat(cloud.manifest["recorded"]) + timedelta(days=9)


def _certificate(ends: datetime) -> str:
    """Return as much of a certificate as tells when it ends (RFC 5280, 4.1)."""

    def element(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    times = b"".join(element(0x17, moment.encode()) for moment in ("200101000000Z", f"{ends:%y%m%d%H%M%S}Z"))
    nothing = element(0x30, b"")
    body = element(0xA0, element(0x02, b"\x02")) + element(0x02, b"\x01") + nothing + nothing + element(0x30, times)
    text = base64.b64encode(element(0x30, element(0x30, body))).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n"
