"""Commands in pods that come and go while they are asked."""

from __future__ import annotations

import contextlib

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures.live import Live
from seatrial.fixtures.memcached_servers import ROUND_TRIPS, round_trips
from seatrial.fixtures.question import Command, Pods, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.target import connect

WHERE = Pods("clients", "role=client")
EVERY = Command(WHERE, ("hostname",), every=True)
ONE = Command(WHERE, ("hostname",))


@pytest.fixture
def kubernetes():
    server = FakeKubernetes()
    server.runs = lambda pod, _argv: (pod, 0)
    yield server
    server.close()


@pytest.fixture
def live(kubernetes, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG % kubernetes.url)
    client, context = connect(str(path), "")
    with contextlib.closing(Live(Cloud(), client, context)) as source:
        yield source


def leaving(kubernetes, name, owner="ReplicaSet", **labels):
    pod = kubernetes.pod(name, **(labels or {"role": "client"}))
    pod["metadata"] |= {"deletionTimestamp": "2026-11-28T12:21:05Z", "ownerReferences": [{"kind": owner}]}
    return kubernetes.put("pods", pod)


@pytest.mark.parametrize("question", [EVERY, ONE], ids=["every", "one"])
def test_a_pod_that_another_one_replaces_is_not_asked(kubernetes, live, question):
    leaving(kubernetes, "a-old")
    kubernetes.pod("b-new", role="client")
    assert [answer.text for answer in live.ask(question)] == ["b-new"]


def test_pods_on_their_way_out_are_asked_where_no_other_is(kubernetes, live):
    leaving(kubernetes, "a-old")
    assert [answer.text for answer in live.ask(EVERY)] == ["a-old"]


def test_a_pod_that_comes_back_under_its_name_is_asked_while_it_goes(kubernetes, live):
    leaving(kubernetes, "a-0", owner="StatefulSet")
    kubernetes.pod("a-1", role="client")
    assert [answer.text for answer in live.ask(EVERY)] == ["a-0", "a-1"]


def test_a_command_that_was_killed_is_no_answer(kubernetes, live):
    kubernetes.pod("a", role="client")
    kubernetes.runs = lambda _pod, _argv: ("half a na", 137)
    (answer,) = live.ask(EVERY)
    assert (answer.text, answer.exit) == ("", 0)
    assert answer.error == "`hostname` was killed before its end: its container ended, or had no memory left"
    with pytest.raises(Unavailable, match="was killed before its end"):
        live.ask(ONE)


def test_a_client_that_ends_while_it_is_asked_does_not_accuse_memcached(kubernetes, live):
    kubernetes.pod("nova-api", application="nova", component="os-api")
    kubernetes.runs = lambda _pod, _argv: ("", 137)
    with pytest.raises(Unavailable, match=r"n/nova-api: .* was killed before its end"):
        live.read(ROUND_TRIPS, round_trips)
