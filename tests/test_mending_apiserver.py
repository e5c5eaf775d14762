"""Mending against a real API server: its patches, preconditions, Leases, reviews of rights and audit log.

etcd and kube-apiserver alone, on loopback, as a user who has no rights but those of the two documented roles.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from real_apiserver import MARKS, bind, serving

from seatrial.fixtures import resources
from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.fields import Field
from seatrial.plugins.remediation.files import FileEdit, Line
from seatrial.plugins.remediation.guards import missing_rights
from seatrial.plugins.remediation.lease import Lease
from seatrial.plugins.remediation.objects import Delete, Patch, Restart
from seatrial.plugins.remediation.volumes import claim_definition, definition

pytestmark = MARKS


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory) as running:
        admin = running.hand("admin")
        bind(admin, "clusterrole", "mender", "reader")
        bind(admin, "clusterrole-remedies", "mender")
        yield running


@pytest.fixture
def admin(server):
    return server.hand("admin")


@pytest.fixture
def hand(server):
    return server.hand()


def node(admin, name, **spec):
    admin.delete(resources.path("nodes", "", name))
    labels = {"kubernetes.io/hostname": name}
    return admin.send("POST", resources.path("nodes"), {"metadata": {"name": name, "labels": labels}, "spec": spec})


def deployment(admin, name, replicas=1):
    admin.delete(resources.path("deployments", "default", name))
    labels = {"app": name}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }
    item = {"metadata": {"name": name, "namespace": "default"}, "spec": spec}
    return admin.send("POST", resources.path("deployments", "default"), item)


def uncordon(name):
    return Patch(
        offender=f"node {name}: cordoned", resource="nodes", name=name,
        fields=(Field(("spec", "unschedulable"), before=True, after=None),),
    )  # fmt: skip


def test_fields_are_patched_and_put_back(admin, hand):
    node(admin, "n1", unschedulable=True)
    change = uncordon("n1")
    assert change.check(hand) is False
    change.apply(hand)
    assert "unschedulable" not in admin.get(resources.path("nodes", "", "n1"))["spec"]
    assert change.check(hand) is True
    change.apply(hand)
    assert change.undo(hand) is True
    assert admin.get(resources.path("nodes", "", "n1"))["spec"]["unschedulable"] is True
    assert change.undo(hand) is False


def test_requests_that_were_not_there_are_made_with_their_parents(admin, hand):
    deployment(admin, "d1")
    place = ("spec", "template", "spec", "containers", 0)
    change = Patch(
        offender="d1: x", resource="deployments", namespace="default", name="d1",
        fields=(
            Field((*place, "name"), "c", "c"),
            Field((*place, "resources", "requests", "cpu"), None, "100m"),
            Field((*place, "resources", "limits", "memory"), None, "1Gi"),
        ),
    )  # fmt: skip
    change.apply(hand)
    found = admin.get(resources.path("deployments", "default", "d1"))["spec"]["template"]["spec"]["containers"][0]
    assert found["resources"] == {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}
    change.undo(hand)
    found = admin.get(resources.path("deployments", "default", "d1"))["spec"]["template"]["spec"]["containers"][0]
    assert not any((found.get("resources") or {}).values())


def test_what_somebody_else_has_changed_is_refused(admin, hand):
    deployment(admin, "d2", replicas=2)
    change = Patch(
        offender="d2: x", resource="deployments", namespace="default", name="d2",
        fields=(Field(("spec", "replicas"), 1, 3),),
    )  # fmt: skip
    with pytest.raises(Refused, match=r"deployment default/d2 changed since it was judged: spec.replicas is 2, not 1"):
        change.apply(hand)


def test_a_write_in_between_is_noticed_by_the_version(admin, hand):
    node(admin, "n2", unschedulable=True)
    change = uncordon("n2")
    reads = []
    get = hand.get

    def get_and_let_others_write(path):
        found = get(path)
        reads.append(path)
        if len(reads) == 1:
            patch = {"metadata": {"annotations": {"somebody": "else"}}}
            admin.send("PATCH", resources.path("nodes", "", "n2"), patch, "application/merge-patch+json")
        return found

    hand.get = get_and_let_others_write
    change.apply(hand)
    live = admin.get(resources.path("nodes", "", "n2"))
    assert "unschedulable" not in live["spec"]
    assert live["metadata"]["annotations"]["somebody"] == "else"
    assert len(reads) > 1, "it was read anew"


def test_a_patch_that_the_server_finds_invalid_is_no_conflict(admin, hand):
    deployment(admin, "d3")
    change = Patch(
        offender="d3: x", resource="deployments", namespace="default", name="d3",
        fields=(Field(("spec", "replicas"), 1, -1),),
    )  # fmt: skip
    with pytest.raises(Failed, match="replicas"):
        change.apply(hand)


def test_a_line_of_a_secret_is_written_and_nothing_else_of_it(admin, hand):
    import base64  # noqa: PLC0415 - of this test alone

    admin.delete(resources.path("secrets", "default", "s"))
    text = "A = 1\nKEY = sesame\nB = 2\n"
    data = {"f.conf": base64.b64encode(text.encode()).decode()}
    admin.send("POST", resources.path("secrets", "default"), {"metadata": {"name": "s"}, "data": data})
    change = FileEdit(
        offender="s: x", resource="secrets", namespace="default", name="s", file="f.conf",
        lines=(Line("B = 2", "B = 3"), Line("A = 1", "")),
    )  # fmt: skip
    change.apply(hand)

    def said():
        return base64.b64decode(admin.get(resources.path("secrets", "default", "s"))["data"]["f.conf"]).decode()

    assert said() == "KEY = sesame\nB = 3\n"
    change.undo(hand)
    assert said() == "KEY = sesame\nB = 2\nA = 1\n"
    assert "sesame" not in repr(change)


def test_a_pod_of_another_uid_is_not_deleted(admin, hand):
    spec = {"containers": [{"name": "c", "image": "i"}]}
    admin.delete(resources.path("pods", "default", "p"))
    made = admin.send("POST", resources.path("pods", "default"), {"metadata": {"name": "p"}, "spec": spec})
    gone = Delete(offender="p: x", name="p", namespace="default", uid="another")
    gone.apply(hand)
    assert admin.get(resources.path("pods", "default", "p"))["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(Refused, match="is another one than was judged"):
        hand.delete(resources.path("pods", "default", "p"), "another")


def test_a_rollout_is_waited_for_by_its_generation(admin, hand):
    deployment(admin, "d4")
    restart = Restart(offender="d4: x", resource="deployments", namespace="default", name="d4")
    restart.apply(hand)
    live = admin.get(resources.path("deployments", "default", "d4"))
    assert "kubectl.kubernetes.io/restartedAt" in live["spec"]["template"]["metadata"]["annotations"]
    assert restart.unsettled(hand) == "the rollout has not begun", "no controller runs here"


def test_two_runs_do_not_hold_the_lease_at_once(server):
    one, two = server.hand(), server.hand()
    with (
        Lease(one, "run-1", 3.0) as lease,
        pytest.raises(Refused, match="another run holds the cloud: run-1"),
        Lease(two, "run-2", 3.0),
    ):
        pass
    with Lease(one, "run-1", 0.6) as lease:
        time.sleep(1.5)
        lease.held()
        with pytest.raises(Refused), Lease(two, "run-2", 3.0):
            pass
    with Lease(two, "run-2", 3.0):
        pass


def test_a_lease_that_is_taken_away_stops_its_run(server, admin):
    path = resources.path("leases", "kube-system", "seatrial")
    with Lease(server.hand(), "run-1", 0.6) as lease:
        live = admin.get(path)
        live["spec"]["holderIdentity"] = "thief"
        admin.send("PUT", path, live)
        time.sleep(0.6)
        with pytest.raises(Refused, match="was taken by thief"):
            lease.held()
    assert admin.get(path)["spec"]["holderIdentity"] == "thief"
    live = admin.get(path)
    live["spec"]["holderIdentity"] = ""
    admin.send("PUT", path, live)


def test_the_documented_roles_are_enough_and_reading_alone_is_not(server, admin):
    node(admin, "n3", unschedulable=True)
    change = uncordon("n3")
    assert missing_rights(server.hand("mender"), [change]) == []
    lacking = missing_rights(server.hand("reader"), [change])
    assert Right("patch", "", "nodes") in lacking
    assert Right("create", "coordination.k8s.io", "leases") in lacking
    with pytest.raises(Failed, match=r"not allowed; docs/remedies\.md lists"):
        change.apply(server.hand("reader"))


def test_the_audit_log_names_only_verbs_that_the_documentation_lists(server, admin):
    node(admin, "n4", unschedulable=True)
    log = server.folder / "audit.log"
    before = log.stat().st_size
    conftest = (
        "from seatrial.plugins.remediation.declaration import remedy\n"
        "from seatrial.plugins.remediation.places import uncordoned\n"
        "from seatrial.plugins.remediation.risk import PATCH_NODES, Risk\n"
        "@remedy('TST-01', Risk.SAFE, PATCH_NODES)\n"
        "def open_nodes(cluster):\n"
        "    'Opens the node.'\n"
        "    for node in cluster.nodes:\n"
        "        if node.spec.unschedulable:\n"
        "            yield uncordoned(node, f'node {node.name}: cordoned')\n"
    )
    claim = (
        "import pytest\n"
        "pytestmark = pytest.mark.nodes\n"
        "@pytest.mark.invariant(id='TST-01', severity='normal', source='own')\n"
        "def test_no_node_is_cordoned(cluster):\n"
        "    'Pods stay away.\\n\\n    Remedy: uncordon.'\n"
        "    cordoned = [f'node {n.name}: cordoned' for n in cluster.nodes if n.spec.unschedulable]\n"
        "    assert cordoned == []\n"
    )
    folder = server.folder / "claims"
    folder.mkdir()
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_claims.py").write_text(claim)
    command = [sys.executable, "-m", "pytest", "-p", "seatrial", "-p", "no:cacheprovider", "-q", "--profile", "lab"]
    options = ["--kubeconfig", str(server.folder / "mender"), "--remedy=safe"]
    run = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    time.sleep(1)
    with log.open() as lines:
        lines.seek(before)
        events = [json.loads(line) for line in lines if line.startswith("{")]
    used = {
        (e["verb"], e["objectRef"].get("apiGroup", ""), e["objectRef"]["resource"])
        for e in events
        if e["verb"] not in {"get", "list", "watch"} and "objectRef" in e
    }
    assert used == {
        ("patch", "", "nodes"),
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
        ("update", "coordination.k8s.io", "leases"),
    }


def test_a_binding_that_was_taken_away_may_be_given_back(server, admin):
    rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    admin.send(
        "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "argo"}, "rules": [rule]}
    )
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "argo"}
    subjects = [{"kind": "ServiceAccount", "name": "argo", "namespace": "default"}]
    metadata = {"name": "argo", "labels": {"a": "b"}}
    binding = {"metadata": metadata, "roleRef": reference, "subjects": subjects}
    admin.send("POST", resources.path("clusterrolebindings"), binding)
    hand = server.hand()
    path = resources.path("clusterrolebindings", "", "argo")
    kept = definition(hand.get(path), ("roleRef", "subjects"))
    hand.delete(path)
    hand.send("POST", resources.path("clusterrolebindings"), kept)
    live = admin.get(path)
    assert (live["roleRef"], live["subjects"], live["metadata"]["labels"]) == (reference, subjects, {"a": "b"})


def test_a_claim_is_made_anew_from_what_was_kept_of_it(server, admin):
    hand = server.hand()
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "x", "resources": {"requests": {"storage": "16Mi"}}}
    metadata = {"name": "v", "labels": {"a": "b"}, "annotations": {"meta.helm.sh/release-name": "ironic"}}
    hand.send("POST", resources.path("persistentvolumeclaims", "default"), {"metadata": metadata, "spec": spec})
    path = resources.path("persistentvolumeclaims", "default", "v")
    kept = claim_definition(hand.get(path))
    hand.delete(path)
    admin.send("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    assert hand.get(path) is None
    made = {**kept, "spec": {**kept["spec"], "accessModes": ["ReadWriteMany"]}}
    hand.send("POST", resources.path("persistentvolumeclaims", "default"), made)
    live = admin.get(path)
    assert live["spec"]["accessModes"] == ["ReadWriteMany"]
    assert live["metadata"]["labels"] == {"a": "b"}
    assert live["spec"]["resources"] == {"requests": {"storage": "16Mi"}}
