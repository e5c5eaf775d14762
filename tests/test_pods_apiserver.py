"""A run's pods and a real API server: what it admits, whom it lets make them, and what it deletes."""

from __future__ import annotations

import pytest
from real_apiserver import MARKS, bind, in_force, serving

from seatrial.fixtures import resources
from seatrial.fixtures.kubernetes_api import KubernetesApi
from seatrial.fixtures.ledger import Ledger, Opened
from seatrial.fixtures.load.pod_network import pod_spec
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.run_pods import RunPods, found
from seatrial.fixtures.settings import Iperf3
from seatrial.fixtures.target import connect

RUN = "20261121T140000Z-abcd"
SPACE = "trials"
IMAGE = Iperf3(image="registry.example/iperf3:3.12", namespace=SPACE, pull_secret="registry")
BINDINGS = "/apis/rbac.authorization.k8s.io/v1"
READER = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}

pytestmark = MARKS


def bound(role):
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]}
    return {"metadata": {"name": role["metadata"]["name"]}, "roleRef": reference, "subjects": [READER]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An API server with a namespace of the strictest sort, and a user who may only read."""
    with serving(tmp_path_factory) as running:
        admin = running.hand("admin")
        strict = {"pod-security.kubernetes.io/enforce": "restricted"}
        admin.send("POST", "/api/v1/namespaces", {"metadata": {"name": SPACE, "labels": strict}})
        bind(admin, "clusterrole", "reader")
        yield running


@pytest.fixture
def pods(server, tmp_path):
    api = KubernetesApi(connect(str(server.folder / "reader"), "")[0])
    ledger = Ledger(tmp_path / RUN / "pods.jsonl", Opened(RUN, "test", api.identity()))
    yield RunPods(api, ledger, SPACE)
    ledger.close()


def test_who_may_only_read_lacks_two_rights_and_with_the_role_of_the_docs_none(server, pods):
    why = f"no pod is made without these rights in namespace {SPACE}: create pods, delete pods$"
    with pytest.raises(Unavailable, match=why):
        pods.check_rights()
    name = pods.name("iperf3-1")
    with pytest.raises(Unavailable, match=r'pod trials/\S+: pods is forbidden: User "reader" cannot create resource'):
        pods.make(name, pod_spec(IMAGE, "n1", 60.0, 20.0))
    assert pods._ledger.contents().settled, "what was refused is not there"

    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete"]}]
    role = {"kind": "Role", "metadata": {"name": "seatrial-network"}, "rules": rules}
    admin = server.hand("admin")
    admin.send("POST", f"{BINDINGS}/namespaces/{SPACE}/roles", role)
    admin.send("POST", f"{BINDINGS}/namespaces/{SPACE}/rolebindings", bound(role))
    in_force(admin, "reader", role, SPACE)
    pods.check_rights()

    pods.make(name, pod_spec(IMAGE, "n1", 60.0, 20.0))
    assert pods.ready([name], 0.1) == ({}, {name: "phase Pending"})
    assert list(found(pods.api, "test", RUN)[RUN].belongings) == [("pod", f"{SPACE}/{name}")]
    with pytest.raises(Unavailable, match="the UID in the precondition"):
        pods.api.delete(resources.path("pods", SPACE, name), "somebody-else")
    assert pods.clear(pods._ledger.contents()) == []
    assert pods.api.listed("pods", SPACE) == []
    assert pods._ledger.contents().settled


def test_a_namespace_that_is_not_there_is_told(pods):
    elsewhere = RunPods(pods.api, pods._ledger, "nowhere")
    with pytest.raises(Unavailable, match="nowhere"):
        elsewhere.make(elsewhere.name("a"), pod_spec(IMAGE, "n1", 60.0, 20.0))
