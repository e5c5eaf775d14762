"""Whose connections RabbitMQ has: every way in which a living client can be seen by its broker."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec

from seatrial.fixtures.objects import Node, Pod
from seatrial.fixtures.rabbitmq_traffic import addresses


def cluster(nodes, pods=()):
    return SimpleNamespace(nodes=msgspec.convert(nodes, list[Node]), pods=msgspec.convert(list(pods), list[Pod]))


def node(name, **spec):
    status = {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}
    return {"metadata": {"name": name, "annotations": {"tunnel": "10.9.0.1/32"}}, "spec": spec, "status": status}


def test_a_client_on_its_nodes_network_is_seen_as_the_bridge_of_that_node():
    owners = addresses(cluster([node("n1", podCIDR="10.244.2.0/24")]))
    bridge = {"10.244.2.0", "10.244.2.1"}
    assert owners == dict.fromkeys(["192.0.2.1", "10.9.0.1", *bridge], "node n1")


def test_other_addresses_of_a_nodes_pods_are_somebodys_only_while_a_pod_has_them():
    status = {"podIP": "10.244.2.1", "hostIP": "192.0.2.1", "phase": "Running"}
    pod = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": []}, "status": status}
    owners = addresses(cluster([node("n1", podCIDR="10.244.2.0/24")], [pod]))
    assert owners["10.244.2.1"] == "pod n/p"
    assert "10.244.2.9" not in owners


def test_a_node_without_a_network_for_pods_of_its_own_has_no_bridge():
    assert set(addresses(cluster([node("n1")]))) == {"192.0.2.1", "10.9.0.1"}
