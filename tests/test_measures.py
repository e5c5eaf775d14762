"""What is measured under load, over real sockets with chosen delays: over budget, within it, and not to be told."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from multiprocessing.pool import ThreadPool

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes
from fake_openstack import FakeOpenStack

from seatrial.fixtures.live import Live
from seatrial.fixtures.load.api_calls import listed_under_load
from seatrial.fixtures.load.cache_trips import measured
from seatrial.fixtures.load.dns_queries import own_resolver
from seatrial.fixtures.load.latencies import Latencies, percentile
from seatrial.fixtures.load.loops import closed_loop, open_loop
from seatrial.fixtures.load.pods import cache_load, dns_load
from seatrial.fixtures.measure_thresholds import ApiCalls, CacheTrips, DnsQueries
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.target import connect
from seatrial.fixtures.tenant_session import Session


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([7.0], 0.99) == 7.0


def test_a_refused_call_took_forever():
    heard = Latencies(answered=[0.1] * 98, refused=Counter({"503 busy": 2}))
    assert heard.over("server list", {0.5: 1.0, 0.99: 1.0}) == [
        f"server list: p99 was never answered, more than 1 s ({heard.distribution()})",
        "server list: 2 of 100 refused: 503 busy",
    ]


def test_a_closed_loop_forgives_a_pause_and_an_open_one_counts_everybody_who_waited():
    held = threading.Event()
    calls = {"call": lambda: held.wait(0.0 if held.is_set() else 0.5) or held.set()}
    closed = closed_loop(calls, clients=1, seconds=1.0)["call"]
    held.clear()
    opened = open_loop(calls, clients=1, seconds=1.0, per_s=100.0, patience_s=5.0)["call"]
    assert closed.percentile(0.95) < 0.1
    assert opened.count == 100
    assert opened.percentile(0.9) > 0.2, "of a hundred, fifty were to begin in the half second of the pause"


def test_a_call_whose_turn_never_came_counts_as_long_as_it_waited():
    calls = {"call": lambda: time.sleep(0.3)}
    heard = open_loop(calls, clients=1, seconds=0.5, per_s=20.0, patience_s=0.2)["call"]
    assert (heard.count, len(heard.answered) < 5) == (10, True)
    assert heard.waiting
    assert heard.percentile(0.99) > 0.2


def test_what_a_client_raises_is_not_lost():
    def broken():
        raise KeyError("bug")

    with pytest.raises(KeyError):
        closed_loop({"call": broken}, clients=2, seconds=1.0)


WANTED = {"clients": 4, "seconds": 0.5, "calls_per_s": 40.0, "p50_s": 0.2, "p95_s": 0.25, "p99_s": 0.25}


@pytest.fixture
def cloud():
    fake = FakeOpenStack()
    yield fake
    fake.close()


def slow(seconds, status=None):
    """Trouble with every list of servers."""

    def trouble(_method, path, _body):
        if "/servers" not in path:
            return None
        time.sleep(seconds)
        return (status, {}, False) if status else None

    return trouble


def test_lists_within_their_budgets_are_measured(cloud):
    load = listed_under_load(Session(cloud.login, 4), ApiCalls(**{**WANTED, "p50_s": 20, "p95_s": 20, "p99_s": 20}))
    assert load.over_budget == []
    figures = load.figures()
    assert figures["closed_calls_per_s"] > 0
    assert {"closed_server_list_p99_ms", "open_port_list_p99_ms", "open_refused"} <= set(figures)
    assert not any("volume" in name for name in figures), "the catalogue has no volumes"


def test_a_slow_list_is_over_its_budgets_and_no_other_is_named(cloud):
    session = Session(cloud.login, 4)
    generous = ApiCalls(**{**WANTED, "clients": 2, "calls_per_s": 4.0})
    cloud.lock = threading.Semaphore(8)  # so that one list's delay is not everybody's
    cloud.trouble = slow(0.4)
    over = listed_under_load(session, generous).over_budget
    assert {line.partition(": p")[0] for line in over} >= {"server list (closed loop)", "server list (open loop)"}
    assert any(": p50 took 0.4" in line for line in over)


def test_lists_that_are_refused_under_load_are_told_with_the_reason(cloud):
    session = Session(cloud.login, 4)
    asked = []

    def trouble(_method, path, _body):
        asked.append(path)
        return (503, {}, False) if "/servers" in path and len(asked) > 12 else None

    cloud.trouble = trouble
    load = listed_under_load(session, ApiCalls(**{**WANTED, "p50_s": 20, "p95_s": 20, "p99_s": 20}))
    over = "\n".join(load.over_budget)
    assert "server list (open loop): p99 was never answered" in over
    assert "refused: GET compute /servers/detail: 503 trouble" in over
    assert load.figures()["open_refused"] > 0


def test_a_list_that_cannot_be_had_without_load_is_not_the_loads(cloud):
    cloud.trouble = slow(0, 403)
    with pytest.raises(Unavailable, match="server list, before any load: GET compute /servers/detail: 403"):
        listed_under_load(Session(cloud.login, 4), ApiCalls(**WANTED))


class Resolver:
    """A DNS server on loopback that answers by a script: given the number of a query, a delay, or None for silence."""

    def __init__(self, answers):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._answers = answers
        self.asked = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        number = 0
        while True:
            try:
                query, who = self._socket.recvfrom(512)
            except OSError:
                return
            self.asked.add(who)
            delay, rcode = self._answers(number) or (None, 0)
            number += 1
            if delay is None:
                continue
            time.sleep(delay)
            count = 0 if rcode else 1
            header = query[:2] + struct.pack(">HHHHH", 0x8180 | rcode, 1, count, 0, 0)
            address = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 30, 4) + bytes([10, 96, 0, 1])
            self._socket.sendto(header + query[12:] + address * count, who)

    def close(self):
        self._socket.close()


@pytest.fixture
def resolver():
    made = []

    def make(answers):
        made.append(Resolver(answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


DNS = DnsQueries(per_s=200, seconds=0.5, patience_s=0.4, p99_ms=100.0)


class Pods:
    """A cloud with nova-api pods, whose commands run on this machine."""

    def __init__(self, tmp_path, *names):
        self.api = FakeKubernetes()
        for name in names:
            self.api.pod(name, application="nova", component="os-api")
        self.environment, self.arguments = {}, {}
        self.api.runs = self.run
        path = tmp_path / "kubeconfig"
        path.write_text(KUBECONFIG % self.api.url)
        self.kubeconfig = path
        self.source = Live(Cloud(), connect(str(path), "")[0], "c")

    def run(self, _pod, argv):
        """Run a command as the pod would, with its environment, and arguments in the place of the pod's own."""
        argv = [self.arguments.get(number, word) for number, word in enumerate(argv)]
        done = subprocess.run(argv, check=False, capture_output=True, env={**os.environ, **self.environment})
        return done.stdout, done.returncode

    def resolves(self, port):
        """Let the pods' nameserver be on loopback."""
        self.arguments = {3: f"127.0.0.1:{port}", 4: "kubernetes.default.svc.cluster.local"}

    def caches(self, port):
        """Let the pods' memcached be on loopback."""
        self.environment = {"MEMCACHED_SERVICE_HOST": "127.0.0.1", "MEMCACHED_SERVICE_PORT": str(port)}

    def close(self):
        self.source.close()
        self.api.close()


@pytest.fixture
def pods(tmp_path):
    made = Pods(tmp_path, "nova-api-0", "nova-api-1")
    yield made
    made.close()


def test_dns_that_answers_every_query_bears_the_rate(pods, resolver):
    pods.resolves(resolver(lambda _: (0.0, 0)).port)
    load = dns_load(pods.source, DnsQueries(per_s=200, seconds=0.5, patience_s=5.0, p99_ms=5000.0))
    assert load.over_budget == []
    assert load.figures()["without_loss_per_s"] == 200
    assert [len(rate.heard.answered) for rate in load.rates] == [25, 50, 100]


def test_dns_that_loses_queries_is_told_by_the_rate_at_which_it_does(pods, resolver):
    pods.resolves(resolver(lambda number: None if number > 100 else (0.0, 0)).port)
    load = dns_load(pods.source, DNS)
    assert [line for line in load.over_budget if "lost" in line][-1].endswith("at 200 queries/s: 74 of 100 lost")
    assert load.figures()["without_loss_per_s"] == 100


def test_dns_that_is_slow_is_over_its_budget_although_nothing_is_lost(pods, resolver):
    pods.resolves(resolver(lambda number: (0.15 if number == 20 else 0.0, 0)).port)
    over = dns_load(pods.source, DnsQueries(per_s=200, seconds=0.5, patience_s=5.0, p99_ms=100.0)).over_budget
    assert any("at 50 queries/s: p99 took" in line for line in over)
    assert not any("lost" in line for line in over)


def test_dns_that_does_not_know_the_name_is_told(pods, resolver):
    pods.resolves(resolver(lambda _: (0.0, 3)).port)
    assert any("100 answered with rcode 3" in line for line in dns_load(pods.source, DNS).over_budget)


def test_a_pod_that_uses_the_nodes_resolver_could_not_look(pods):
    with pytest.raises(Unavailable, match="the pod uses the node's own resolver"):
        dns_load(pods.source, DNS)


def test_a_cloud_without_nova_is_not_concerned(tmp_path):
    bare = Pods(tmp_path)
    bare.api.pod("etcd-0", component="etcd")
    try:
        for load, wanted in ((dns_load, DNS), (cache_load, TRIPS)):
            with pytest.raises(NotConcerned, match="no nova-api"):
                load(bare.source, wanted)
    finally:
        bare.close()


def test_a_pods_own_resolver_is_read_from_its_file():
    text = (
        "search openstack.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    )
    assert own_resolver(text) == ("10.96.0.10", "kubernetes.default.svc.cluster.local")
    with pytest.raises(ValueError, match="no server of the cluster"):
        own_resolver("nameserver 8.8.8.8\n")


TRIPS = CacheTrips(trips=50, p50_ms=25.0, p99_ms=100.0)
needs_memcached = pytest.mark.skipif(shutil.which("memcached") is None, reason="no memcached is installed")


@pytest.fixture
def cache():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(port)])
    deadline = time.monotonic() + 20
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield port, process
    process.kill()
    process.wait(10)


class Delay:
    """A relay to a port of loopback that holds each answer up: a slow network."""

    def __init__(self, port, seconds):
        self._port, self._seconds = port, seconds
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        with socket.create_connection(("127.0.0.1", self._port)) as far:
            while data := near.recv(4096):
                far.sendall(data)
                time.sleep(self._seconds)
                near.sendall(far.recv(4096))
        near.close()

    def close(self):
        self._socket.close()


@needs_memcached
def test_a_fast_memcached_is_within_budget_from_every_pod(pods, cache):
    pods.caches(cache[0])
    load = cache_load(pods.source, CacheTrips(trips=50, p50_ms=2500.0, p99_ms=5000.0))
    assert load.over_budget == []
    figures = load.figures()
    assert (figures["pods"], figures["trips"]) == (2, 100)
    assert figures["p50_ms"] > 0


@needs_memcached
def test_pods_that_ask_one_memcached_at_once_are_not_given_what_another_one_has_set(cache):
    with ThreadPool(4) as pods:
        said = pods.starmap(measured, [("127.0.0.1", cache[0], 2000, 60.0)] * 4)
    assert [answer["trouble"] for answer in said] == [""] * 4


@needs_memcached
def test_a_slow_way_to_memcached_is_over_budget_in_each_pod(pods, cache):
    relay = Delay(cache[0], 0.04)
    pods.caches(relay.port)
    over = cache_load(pods.source, TRIPS).over_budget
    relay.close()
    assert {line.partition(": p")[0] for line in over} >= {"pod n/nova-api-0", "pod n/nova-api-1"}
    assert all("p50 took" in line for line in over if ": p50" in line)


@needs_memcached
def test_a_memcached_that_is_gone_is_refused_and_not_passed_over(pods, cache):
    pods.caches(cache[0])
    cache[1].kill()
    cache[1].wait(10)
    over = cache_load(pods.source, TRIPS).over_budget
    assert sum("Connection refused" in line for line in over) == 2


CLOUDS = """
clouds:
  fake:
    auth:
      {auth_url: %s/v3, username: u, password: p, project_name: p, user_domain_id: default, project_domain_id: default}
    identity_api_version: 3
"""
PROFILE = """
extends = "baseline"
about = "quick"
[api_calls]
clients = 2
seconds = 0.5
[dns_queries]
seconds = 0.5
patience_s = 0.5
p99_ms = 5000.0
[cache_trips]
trips = 20
p50_ms = 5000.0
p99_ms = 5000.0
"""


@needs_memcached
def test_the_gate_tells_what_was_measured_and_closes_for_what_is_over_budget(trial, pods, cloud, resolver, cache):
    trial.write("clouds.yaml", CLOUDS % cloud.url)
    trial.write("quick.toml", PROFILE)
    trial.write("seatrial.toml", '[clouds.x]\nprofile = "quick.toml"\n[clouds.x.openstack]\ncloud = "fake"\n')
    pods.caches(cache[0])
    pods.resolves(resolver(lambda number: None if number > 40 else (0.0, 0)).port)
    arguments = dict(pods.arguments)
    pods.arguments = {}
    run = pods.run
    pods.api.runs = lambda pod, argv: (
        pods.__dict__.update(arguments=arguments if "nameserver" in argv[2] else {}) or run(pod, argv)
    )
    options = ["--cloud", "x", "--kubeconfig", str(pods.kubeconfig), "--allow", "load", "-m", "performance"]
    judged = trial.judge("--pyargs", "seatrial.suites", *options, "-k", "memcached or dns or lists")
    outcomes = {entry["id"]: entry["outcome"] for entry in judged.verdict["invariants"]}
    assert outcomes == {"LOAD-06": "holds", "LOAD-08": "holds", "LOAD-10": "violated"}, judged.text
    assert judged.status == 1
    assert judged.judged("LOAD-06")["measured"]["open_calls_per_s"] > 0
    assert judged.judged("LOAD-08")["measured"]["trips"] == 40
    assert judged.judged("LOAD-10")["measured"]["lost"] == 100


def test_a_recorded_cloud_bears_no_load(trial):
    options = ["--bundle", "um-cloud-after", "--allow", "load", "-m", "performance"]
    run = trial.judge("--pyargs", "seatrial.suites", *options)
    outcomes = {entry["id"]: entry["outcome"] for entry in run.verdict["invariants"]}
    assert outcomes.pop("LOAD-15") == "holds", "what the conductors logged is recorded"
    assert set(outcomes.values()) == {"not concerned"}
