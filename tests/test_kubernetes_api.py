"""The client that writes to Kubernetes: what it obeys, what it counts, and what it says of refusals."""

from __future__ import annotations

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures import kubernetes_api, resources
from seatrial.fixtures.kubernetes_api import KubernetesApi, Refused
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.rights import Right
from seatrial.fixtures.target import connect

PODS = resources.path("pods", "n")


@pytest.fixture
def cloud():
    running = FakeKubernetes()
    running.put("namespaces", {"metadata": {"name": "kube-system", "uid": "this-one"}})
    yield running
    running.close()


@pytest.fixture
def api(cloud, tmp_path):
    (tmp_path / "kubeconfig").write_text(KUBECONFIG % cloud.url)
    return KubernetesApi(connect(str(tmp_path / "kubeconfig"), "")[0])


def pod(name):
    return {"metadata": {"name": name}}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_429_is_obeyed_and_counted_whatever_was_asked(cloud, api, method):
    cloud.pod("a")
    path, body = (PODS, pod("b")) if method == "POST" else (f"{PODS}/a", {} if method != "GET" else None)
    turns = iter([True, True, False])
    cloud.busy = lambda *_: next(turns)
    api.send(method, path, body, content="application/merge-patch+json" if method == "PATCH" else "application/json")
    assert api.busy == 2
    assert cloud.asked == [(method, path)] * 3


def test_a_server_that_stays_busy_is_given_up(cloud, api, monkeypatch):
    monkeypatch.setattr(kubernetes_api, "REPEATS", 2)
    cloud.busy = lambda *_: True
    with pytest.raises(Refused, match=r"^pod n/a: too many requests$") as refused:
        api.send("POST", PODS, pod("a"), "pod n/a")
    assert (refused.value.status, refused.value.nothing_made, api.busy) == (429, True, 2)
    assert len(cloud.asked) == 3


@pytest.mark.parametrize(
    ("answer", "said", "nothing_made"),
    [
        ((403, {"message": "pods is\nforbidden"}), "pods is forbidden", True),
        ((409, {"message": "already exists"}), "already exists", False),
        ((500, {"message": ""}), "status 500", False),
        ((504, "<h1>Gateway\nTimeout</h1>"), "status 504: <h1>Gateway Timeout</h1>", False),
        ((302, "see elsewhere"), "status 302: see elsewhere", False),
        ((503, '["no object"]'), 'status 503: ["no object"]', False),
    ],
)
def test_a_refusal_is_told_in_the_servers_own_words_and_says_what_may_be_there(cloud, api, answer, said, nothing_made):
    cloud.failing[f"POST {PODS}"] = answer
    with pytest.raises(Refused) as refused:
        api.send("POST", PODS, pod("a"))
    assert str(refused.value) == f"POST {PODS}: {said}"
    assert (refused.value.status, refused.value.nothing_made) == (answer[0], nothing_made)


def test_a_server_that_is_not_there_is_named(cloud, api):
    cloud.close()
    with pytest.raises(Unavailable, match=rf"^API server {cloud.url}: namespace kube-system: .*Connection refused$"):
        api.identity()


def test_half_an_answer_is_none(cloud, api):
    cloud.told[PODS] = '{"items": [{"meta'
    with pytest.raises(Unavailable, match=r"^list pods: half an answer: "):
        api.listed("pods", "n")


def test_of_an_object_the_one_that_is_meant_is_deleted_and_no_other(cloud, api):
    uid = cloud.pod("a")["metadata"]["uid"]
    with pytest.raises(Refused, match="the UID in the precondition") as refused:
        api.delete(f"{PODS}/a", "another", "pod n/a")
    assert refused.value.conflict
    assert api.delete(f"{PODS}/a", uid) is True
    assert api.delete(f"{PODS}/a", uid) is False


def test_rights_that_are_missing_are_named_and_only_those(cloud, api):
    cloud.refused = {"delete pods"}
    rights = [Right("create", "", "pods"), Right("delete", "", "pods"), Right("delete", "batch", "jobs")]
    assert api.lacking(rights, "n") == [rights[1]]
    assert str(Right("create", "", "pods", "exec")) == "create pods/exec"


def test_a_watch_tells_what_happens_after_a_version_and_one_that_is_refused_says_why(cloud, api):
    cloud.pod("before")
    version = cloud.version
    cloud.pod("since")
    (event,) = api.events(PODS, str(version), 1)
    assert b'"since"' in event
    cloud.failing[f"GET {PODS}"] = 410, {"message": "too old resource version"}
    with pytest.raises(Refused, match=rf"^watch of {PODS}: too old resource version$"):
        list(api.events(PODS, "1", 1))


def test_a_cluster_is_told_from_others_by_its_first_namespace(api):
    assert api.identity() == "this-one"
