"""Where everything in the lab stands: names, addresses, ports, folders."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
"""The checkout, or the installed package, that this code was loaded from."""

ROOM = Path(__file__).resolve().parent
"""The lab's own folder: charts, image definitions, Go modules."""

STATE_FOLDER = Path("/var/lib/seatrial-lab")
"""The one running lab of this machine."""

LOGS = STATE_FOLDER / "logs"
NODE_ROOTS = STATE_FOLDER / "nodes"
PKI = STATE_FOLDER / "pki"
ADMIN_KUBECONFIG = STATE_FOLDER / "admin.kubeconfig"
READER_KUBECONFIG = STATE_FOLDER / "reader.kubeconfig"
NOBODY_KUBECONFIG = STATE_FOLDER / "nobody.kubeconfig"
SETTINGS = STATE_FOLDER / "seatrial.toml"
CLOUDS = STATE_FOLDER / "clouds.yaml"
AUDIT_LOG = LOGS / "audit.log"

BRIDGE = "seatrial0"
MACHINE_ADDRESS = "10.240.0.1"
"""This machine on the bridge. The control plane listens here and nowhere else."""
NODE_NETWORK = "10.240.0.0/24"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
SERVER_NETWORK = "10.77.0.0/16"
"""The addresses of the cloud's servers, as the chart neutron has them. Nova's fake driver has nobody answer there."""
SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"

API_PORT = 46443
ETCD_PORT = 42379
ETCD_PEER_PORT = 42380
ETCD_METRICS_PORT = 42381
CONTROLLER_MANAGER_PORT = 41257
SCHEDULER_PORT = 41259
API_URL = f"https://{MACHINE_ADDRESS}:{API_PORT}"

CGROUP = "seatrial-lab"
"""The cgroup above those of all nodes, in every hierarchy."""

STORAGE_NODES = 3
"""The first nodes hold Ceph: one mon and one OSD each."""

COMPUTE_NODES = 3
"""The first nodes run a nova-compute each."""

CONDUCTOR_NODES = (4, 5)
"""Nodes for Ironic's conductors."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the lab, by its number from 1."""

    index: int

    @property
    def name(self) -> str:
        """Return the node's name in Kubernetes, which is its hostname."""
        return f"lab-{self.index}"

    @property
    def address(self) -> str:
        """Return its address on the bridge."""
        return str(IPv4Address("10.240.0.10") + self.index)

    @property
    def pod_network(self) -> str:
        """Return the network that its pods get addresses from."""
        return f"10.244.{self.index}.0/24"

    @property
    def link(self) -> str:
        """Return the name of the link on the bridge that leads to it."""
        return f"seatrial-n{self.index}"

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that its kubelet registers it with."""
        storage = {"role": "storage-node"} if self.index <= STORAGE_NODES else {}
        compute = {"openstack-compute-node": "enabled"} if self.index <= COMPUTE_NODES else {}
        conductor = {"ironic_role": "conductor"} if self.index in CONDUCTOR_NODES else {}
        return {"openstack-control-plane": "enabled", **storage, **compute, **conductor}
