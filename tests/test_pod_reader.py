"""Commands in pods that come and go while they are asked."""

from __future__ import annotations

import contextlib
from multiprocessing.pool import ThreadPool

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures.live import Live
from seatrial.fixtures.memcached_servers import ROUND_TRIPS, round_trips
from seatrial.fixtures.question import Command, Pods, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.target import connect
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.topology import ADMIN_KUBECONFIG

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


def clients():
    """The pods of the lab's clients of RabbitMQ, which end five seconds after they are told to."""
    return get("pods", "--namespace", "openstack", "--selector", "application=amqp-clients")["items"]


def staying():
    return [pod["metadata"]["name"] for pod in clients() if "deletionTimestamp" not in pod["metadata"]]


@pytest.fixture
def asked():
    """Ask the lab's clients a command, each time with a fresh look at which pods there are."""

    def ask(*argv):
        client, context = connect(str(ADMIN_KUBECONFIG), "")
        with contextlib.closing(Live(Cloud(), client, context)) as source:
            return source.ask(Command(Pods("clients", "application=amqp-clients"), argv, every=True, timeout=60))

    return ask


@pytest.mark.lab
@pytest.mark.usefixtures("lab")
def test_what_a_real_pod_says_when_it_ends_is_no_answer_and_its_successor_is_asked(asked):
    (old,) = staying()
    inside = ("--namespace", "openstack", "exec", old, "--")
    with ThreadPool(1) as beside:
        begun = beside.apply_async(asked, ("sh", "-c", "touch /tmp/asked; echo begun; sleep 60"))
        wait_until(
            "the command to begin", lambda: None if kubectl(*inside, "ls", "/tmp/asked") else "not yet", timeout=30
        )
        kubectl("--namespace", "openstack", "delete", "pod", old, "--wait=false")
        wait_until("a pod in its place", lambda: None if staying() else "there is none", timeout=60)
        (new,) = staying()
        assert [answer.speaker for answer in asked("hostname")] == [f"openstack/{new}"]
        (cut,) = begun.get(timeout=60)
    assert cut.error.endswith("was killed before its end: its container ended, or had no memory left")
    rollout = ("rollout", "status", "deployment/amqp-clients", "--namespace", "openstack", "--timeout=90s")
    kubectl(*rollout, timeout=100)
    assert [answer.text.strip() for answer in asked("hostname")] == [new]
