"""What mends Kubernetes under a large cloud: its DNS and pods in wrong places; the control plane is left to hands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.fixtures.question import Unavailable
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.files import FileEdit, Line
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.objects import Patch
from seatrial.plugins.remediation.places import (
    PLURALS,
    container_fields,
    deleted,
    lasting,
    pod_of,
    restarted,
    scaled,
    short,
)
from seatrial.plugins.remediation.risk import DELETE_PODS, PATCH_CONFIGMAPS, PATCH_DEPLOYMENTS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.apiserver import ApiServers
    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.dns import Dns
    from seatrial.fixtures.etcd import Etcd
    from seatrial.fixtures.proxies import Proxies
    from seatrial.fixtures.scheduling import Scheduling
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change


@remedy("K8S-01", Risk.MANUAL)
def keep_idle_connections(proxies: Proxies, profile: Profile) -> Iterator[Change]:
    """Raises the proxy's idle timeout on one node after another: each reload cuts that node's watches once."""
    wanted = profile.kubernetes.proxy_idle_timeout_s
    for proxy in proxies.all:
        if proxy.idle_s < wanted:
            yield ByHand(
                offender=str(proxy),
                run=(
                    f"ssh NODE \"sed -i 's/proxy_timeout .*;/proxy_timeout {wanted}s;/' /etc/nginx/nginx.conf\"",
                    "kubectl -n kube-system delete pod nginx-proxy-NODE",
                ),
            )


@remedy("K8S-03", Risk.MANUAL)
def admit_more_requests(apiservers: ApiServers, profile: Profile) -> Iterator[Change]:
    """Raises the flag in the API server's manifest, one control-plane node after another: each restarts."""
    wanted = profile.kubernetes.max_requests_inflight
    for server in apiservers.inflight_limits:
        if server.limit < wanted:
            manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
            flag = f"    - --max-requests-inflight={wanted}"
            yield ByHand(
                offender=str(server),
                run=(f"ssh NODE \"sed -i '/- kube-apiserver$/a\\{flag}' {manifest}\"",),
                back=(f"ssh NODE \"sed -i '/--max-requests-inflight=/d' {manifest}\"",),
            )


@remedy("K8S-05", Risk.DISRUPTIVE, PATCH_DEPLOYMENTS, PATCH_CONFIGMAPS)
def size_the_dns(source: Source, cluster: Cluster, dns: Dns, profile: Profile) -> Iterator[Change]:
    """Scales the DNS, gives it memory, raises what its Corefile bounds: its pods are replaced. Undo sets all back."""
    small = {setting.what: setting for setting in dns.settings if setting.value < setting.wanted}
    workload = dns.workload
    if "replicas" in small:
        setting = small["replicas"]
        yield scaled(source, workload, int(setting.wanted), str(setting), "replicas", "replicaCount")
    if "memory limit" in small:
        containers = workload.spec.template.spec.containers
        server = min(containers, key=lambda c: not c.resources.limits.get("memory"))
        path = ("resources", "limits", "memory")
        limit = profile.kubernetes.dns_memory_limit
        old = server.resources.limits.get("memory")
        yield Patch(
            offender=str(small["memory limit"]),
            before=f"memory limit {old}",
            after=f"memory limit {limit}",
            resource=PLURALS[workload.kind],
            namespace=workload.namespace,
            name=workload.name,
            fields=tuple(container_fields(workload, server.name, {path: limit}, {path: old})),
            rollout=True,
            takes=short(workload),
            values=lasting(source, workload.kind, workload.path, ("resources.limits.memory", limit)),
        )
    if dns.modern:
        yield from _corefile(source, cluster, dns, profile, set(small))


def _corefile(source: Source, cluster: Cluster, dns: Dns, profile: Profile, small: set[str]) -> Iterator[Change]:
    workload = dns.workload
    names = {str((v.config_map or {}).get("name")) for v in workload.spec.template.spec.volumes if v.config_map}
    configmap = next(
        (
            c
            for c in cluster.configmaps
            if c.namespace == workload.namespace and c.name in names and "Corefile" in c.data
        ),
        None,
    )
    if configmap is None:
        raise Unavailable(f"{workload}: no ConfigMap that it mounts has a Corefile")
    text, lines, demands = configmap.data["Corefile"].splitlines(), [], profile.kubernetes
    for line in text:
        words = line.split()
        if "concurrent forwarded queries" in small and words[:1] == ["max_concurrent"]:
            lines.append(Line(line, re.sub(r"\d+", str(demands.dns_forward_max), line)))
        elif "cache entries" in small and words[:1] == ["cache"] and "{" not in words:
            margin, inner = line[: len(line) - len(line.lstrip())], str(demands.dns_cache_entries)
            block = f"{line} {{\n{margin}    success {inner}\n{margin}    denial {inner}\n{margin}}}"
            lines.append(Line(line, block))
        elif (
            "cache entries" in small
            and words[:1] in (["success"], ["denial"])
            and int(words[1]) < demands.dns_cache_entries
        ):
            lines.append(Line(line, re.sub(r"\d+", str(demands.dns_cache_entries), line, count=1)))
    if lines and len({line.before for line in lines}) == len(lines):
        yield FileEdit(
            offender=f"configmap {configmap.path}: Corefile",
            before="; ".join(line.before.strip() for line in lines),
            after="; ".join(" ".join(line.after.split()) for line in lines),
            resource="configmaps",
            namespace=configmap.namespace,
            name=configmap.name,
            file="Corefile",
            lines=tuple(lines),
            values=lasting(source, "ConfigMap", configmap.path, ("maxConcurrent", demands.dns_forward_max)),
        )
        reads = f"dns {workload.path}: reads its Corefile"
        yield restarted(workload, reads, "runs with the old Corefile", completing=True)


@remedy("K8S-07", Risk.MANUAL)
def let_another_scheduler_lead(scheduling: Scheduling) -> Iterator[Change]:
    """Deletes the leading scheduler's pod, so that another one leads: nothing is scheduled for a lease's length."""
    for shared in scheduling.shared_leaders:
        yield ByHand(offender=str(shared), run=(f"kubectl -n kube-system delete pod kube-scheduler-{shared.node}",))


@remedy("K8S-08", Risk.DISRUPTIVE, DELETE_PODS)
def part_what_must_be_apart(cluster: Cluster, scheduling: Scheduling) -> Iterator[Change]:
    """Deletes the younger pod of the pair: its controller makes another one elsewhere, and its clients notice."""
    for violation in scheduling.violations:
        yield deleted(cluster, pod_of(cluster, violation.pod), str(violation), population=len(cluster.pods))


@remedy("K8S-09", Risk.MANUAL)
def make_room_in_etcd(etcd: Etcd, profile: Profile) -> Iterator[Change]:
    """Defragments one member after another, the leader last: a member does not answer meanwhile."""
    for member in etcd.members:
        if not member.led or member.alarms or member.used > profile.kubernetes.etcd_used_max:
            yield ByHand(
                offender=str(member),
                run=("etcdctl endpoint status --cluster -w table", "etcdctl defrag --cluster", "etcdctl alarm disarm"),
            )
