"""The configuration of one node: CNI, containerd, kubelet, kube-proxy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import NAMESPACE_DNS, uuid5

from seatrial.lab.topology import DNS_ADDRESS, NODE_ROOTS, PKI, POD_NETWORK, Node

if TYPE_CHECKING:
    from pathlib import Path

SANDBOX_IMAGE = "registry.k8s.io/pause:3.10"

_CONTAINERD = f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp",
]
[debug]
  level = "warn"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{SANDBOX_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""

# localStorageCapacityIsolation: without it the disk metrics are gone, and with them eviction and /stats/summary.
# shutdown and images: nothing is collected, since nothing could be pulled again.
_KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {address}
port: 10250
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {pki}/ca.crt}}
authorization: {{mode: Webhook}}
tlsCertFile: {pki}/{name}.crt
tlsPrivateKeyFile: {pki}/{name}.key
cgroupDriver: cgroupfs
cgroupRoot: /
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [{dns}]
clusterDomain: cluster.local
resolvConf: /etc/kubernetes/resolv.conf
staticPodPath: ""
localStorageCapacityIsolation: true
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
imageMaximumGCAge: 0s
serializeImagePulls: false
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 20
maxPods: 60
configMapAndSecretChangeDetectionStrategy: Watch
shutdownGracePeriod: 0s
crashLoopBackOff: {{maxContainerRestartPeriod: 30s}}
featureGates: {{KubeletCrashLoopBackOffMax: true}}
"""

_PROXY = """apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: {pods}
clientConnection: {{kubeconfig: /etc/kubernetes/proxy.kubeconfig}}
hostnameOverride: {name}
bindAddress: 0.0.0.0
healthzBindAddress: ""
metricsBindAddress: {address}:10249
oomScoreAdj: 0
conntrack: {{maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""


def write(node: Node) -> None:
    """Write everything that a node reads when it starts."""
    root = NODE_ROOTS / node.name
    etc = root / "etc/kubernetes"
    network = root / "etc/cni/net.d"
    for folder in (etc, network):
        folder.mkdir(parents=True, exist_ok=True)
    facts = {"address": node.address, "name": node.name, "pki": PKI, "dns": DNS_ADDRESS, "pods": POD_NETWORK}
    (network / "10-bridge.conflist").write_text(_network(node), encoding="ascii")
    (etc / "containerd.toml").write_text(_CONTAINERD, encoding="ascii")
    (etc / "kubelet.yaml").write_text(_KUBELET.format(**facts), encoding="ascii")
    (etc / "proxy.yaml").write_text(_PROXY.format(**facts), encoding="ascii")
    (etc / "resolv.conf").write_text(f"nameserver {DNS_ADDRESS}\n", encoding="ascii")
    (etc / "machine-id").write_text(f"{uuid5(NAMESPACE_DNS, node.name).hex}\n", encoding="ascii")
    _copy_private(PKI / f"{node.name}.kubeconfig", etc / "kubelet.kubeconfig")
    _copy_private(PKI / "kube-proxy.kubeconfig", etc / "proxy.kubeconfig")


def _copy_private(source: Path, target: Path) -> None:
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes())


def _network(node: Node) -> str:
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam",
        "ranges": [[{"subnet": node.pod_network}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge, ports]}, indent=1)
