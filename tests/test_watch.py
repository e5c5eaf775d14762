"""The watch over real sockets: what is called an outage, what is not, and that each second is counted once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from click.testing import CliRunner
from fake_kubernetes import KUBECONFIG, FakeKubernetes
from fake_openstack import FakeOpenStack
from pika import frame, spec

from seatrial.command import main
from seatrial.fixtures.target import connect
from seatrial.fixtures.watch.amqp import Account, RabbitMQ, account
from seatrial.fixtures.watch.availability import Availability, Objective, Seen
from seatrial.fixtures.watch.clock import WatchedClock
from seatrial.fixtures.watch.look import Down, Limit, Unwatched
from seatrial.fixtures.watch.openstack import ApiServer, Keystone, Nova, Token, Web
from seatrial.fixtures.watch.tcp import Memcached, Server
from seatrial.fixtures.watch.watching import Watch
from seatrial.fixtures.watch.ways import Address, Kubernetes, PodPort

EVERY, PATIENCE = 0.05, 10.0
HASTE = 0.5
"""A patience that a test can wait for; the other one is longer than a busy machine holds anybody up."""


class Scripted:
    """A TCP server on loopback that serves each connection by a script; it can go away and return on its port."""

    def __init__(self, serve):
        self._serve = serve
        self.port = 0
        self.open()

    def open(self):
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening):
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        try:
            self._serve(connection)
        except OSError:
            connection.close()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()

    @property
    def way(self):
        return Address("127.0.0.1", self.port)


def silent(connection):
    connection.recv(1)
    time.sleep(60)


def echoing_memcached(connection):
    while data := connection.recv(4096):
        value = data.split(b"\r\n")[1]
        connection.sendall(b"STORED\r\nVALUE seatrial-watch 0 %d\r\n%b\r\nEND\r\n" % (len(value), value))


@pytest.fixture
def scripted():
    servers = []

    def make(serve):
        servers.append(Scripted(serve))
        return servers[-1]

    yield make
    for server in servers:
        with contextlib.suppress(OSError):  # a test may have closed it
            server.close()


class Watching:
    """A watch that goes on while a test does something to what is watched."""

    def __init__(self, *probes, patience=PATIENCE):
        self.told = []
        self.watch = Watch(probes, EVERY, patience, lambda service, _before: self.told.append(str(service.state)))
        self._thread = threading.Thread(target=self.watch.run, args=(lambda _: None,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.watch.stop.set()
        self._thread.join(60)

    def __getitem__(self, name):
        return next(service for service in self.watch.services if service.service == name)

    def until(self, condition):
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, self.told
            time.sleep(0.01)


def looked(probe, patience=PATIENCE):
    try:
        probe.look(Limit(patience))
    finally:
        probe.close()


def test_each_second_is_given_to_what_the_look_before_it_saw():
    service = Availability("nova", "somewhere")
    for moment, seen in [(0, Seen.UP), (1, Seen.DOWN), (2, Seen.DOWN), (4, Seen.UP), (5, Seen.NOTHING), (7, Seen.UP)]:
        service.saw(seen, float(moment), "why")
    service.end(10.0)
    assert (service.up_s, service.down_s, service.unwatched_s) == (5.0, 3.0, 2.0)
    assert service.longest_gap_s == 4.0, "from the last answer, a second before the outage began, to the next one"
    assert [(outage.down_s, outage.over) for outage in service.outages] == [(3.0, True)]
    assert service.mean_recovery_s == 3.0


def test_an_outage_that_nobody_saw_the_middle_of_is_one_and_what_was_not_seen_is_no_downtime():
    service = Availability("nova", "somewhere")
    for moment, seen in [(0, Seen.UP), (1, Seen.DOWN), (2, Seen.NOTHING), (9, Seen.DOWN), (10, Seen.UP)]:
        service.saw(seen, float(moment), "why")
    service.end(11.0)
    assert [(outage.down_s, outage.over) for outage in service.outages] == [(2.0, True)]
    assert service.unwatched_s == 7.0


def test_an_outage_that_lasts_has_no_time_to_recovery_and_counts_to_the_end():
    service = Availability("nova", "somewhere")
    service.saw(Seen.UP, 0.0)
    service.saw(Seen.DOWN, 1.0, "why")
    service.end(44.2)
    assert (service.mean_recovery_s, service.outages[0].over) == (None, False)
    assert service.budget_used(Objective(0.999, 30.0)) == pytest.approx(43.2 / 2592.0)


def test_the_clock_stands_still_while_the_process_does_whoever_asks_first():
    moments = iter([100.0, 100.1, 100.2, 107.2, 107.3])
    clock = WatchedClock(1.0, lambda: next(moments))
    assert [round(clock.now(), 3) for _ in range(4)] == [0.1, 0.2, 0.2, 0.3]
    assert [round(lapse.seconds, 3) for lapse in clock.lapses] == [7.0]


def test_a_service_that_goes_away_and_returns_has_one_outage_and_its_fellow_none(scripted):
    cache, other = scripted(echoing_memcached), scripted(silent)
    with Watching(Memcached(cache.way), Server(other.way)) as watching:
        watching.until(lambda: watching["memcached"].looks > 3)
        cache.close()
        watching.until(lambda: watching["memcached"].failed > 3)
        cache.open()
        watching.until(lambda: watching["memcached"].state is Seen.UP)
    service = watching["memcached"]
    assert [outage.over for outage in service.outages] == [True]
    assert 3 * EVERY <= service.down_s <= service.longest_gap_s
    assert service.mean_recovery_s == service.down_s
    assert (watching["server"].failed, watching["server"].down_s) == (0, 0)


@pytest.mark.skipif(shutil.which("memcached") is None, reason="no memcached is installed")
def test_a_real_memcached_that_is_ended_is_down(scripted):
    port = scripted(silent)
    port.close()
    command = ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(port.port)]
    process = subprocess.Popen(command)
    try:
        with Watching(Memcached(port.way)) as watching:
            watching.until(lambda: watching["memcached"].state is Seen.UP)
            process.terminate()
            process.wait(10)
            watching.until(lambda: watching["memcached"].state is Seen.DOWN)
        assert watching["memcached"].answered
    finally:
        process.kill()
        process.wait(10)


def test_a_service_that_hangs_fails_once_a_look_and_delays_no_other(scripted):
    hanging, other = scripted(silent), scripted(echoing_memcached)
    slow = Memcached(hanging.way)
    slow.service = "hanging"
    with Watching(slow, Memcached(other.way), patience=HASTE) as watching:
        watching.until(lambda: watching["hanging"].failed == 2)
        fellow = watching["memcached"].looks
        ended = watching.watch.clock.now()
    assert watching["hanging"].looks == watching["hanging"].failed
    assert ended >= 2 * HASTE, "a look that hangs is not followed by another before it has ended"
    assert fellow > 2, "the other one was looked at meanwhile"
    assert watching["hanging"].why == f"no answer within {HASTE:g} s"


def test_a_kept_connection_that_ended_is_no_outage_where_a_new_one_is_taken(scripted):
    cache = scripted(echoing_memcached)
    probe = Memcached(cache.way)
    probe.look(Limit(PATIENCE))
    cache.close()
    cache.open()
    looked(probe)


def test_a_probe_that_fails_by_itself_says_nothing_of_its_service():
    class Broken:
        service, where = "nova", "nowhere"

        def look(self, _limit):
            raise KeyError("bug")

        def close(self):
            pass

    with Watching(Broken()) as watching:
        watching.until(lambda: watching["nova"].unwatched_s > 2 * EVERY)
    assert (watching["nova"].down_s, watching["nova"].why) == (0.0, "KeyError: 'bug'")


def test_keystone_and_nova_are_down_while_nobody_answers_for_them():
    cloud = FakeOpenStack()
    web = Web(cloud.login, None)
    token = Token(cloud.login, web.session, PATIENCE)
    with Watching(Keystone(web, token), Nova(web, token)) as watching:
        watching.until(lambda: watching["keystone"].state is watching["nova"].state is Seen.UP)
        cloud.valid.clear()
        tokens = cloud.tokens
        watching.until(lambda: cloud.tokens > tokens and watching["nova"].looks > 5)
        assert not watching["keystone"].failed + watching["nova"].failed, "a token that ended is no outage"
        cloud.trouble = lambda _method, path, _body: (503, {}, False) if "/servers" in path else None
        watching.until(lambda: watching["nova"].state is Seen.DOWN)
        assert watching["nova"].why == "status 503 trouble"
        assert watching["keystone"].state is Seen.UP
        cloud.close()
        # A connection that was open is reset first; who comes anew is refused.
        watching.until(lambda: watching["keystone"].state is Seen.DOWN and "refused" in watching["keystone"].why)


def broker(answers):
    """A broker that shakes hands and answers what is published by `answers`."""

    def say(connection, channel, method):
        connection.sendall(frame.Method(channel, method).marshal())

    def serve(connection):
        replies = {
            spec.Connection.StartOk: spec.Connection.Tune(0, 131072, 60),
            spec.Connection.Open: spec.Connection.OpenOk(),
            spec.Channel.Open: spec.Channel.OpenOk(),
            spec.Confirm.Select: spec.Confirm.SelectOk(),
        }
        assert connection.recv(8) == b"AMQP\x00\x00\x09\x01"
        say(connection, 0, spec.Connection.Start(0, 9, {}, "PLAIN", "en_US"))
        buffer = b""
        while data := connection.recv(4096):
            buffer += data
            while (decoded := frame.decode_frame(buffer))[1] is not None:
                buffer = buffer[decoded[0] :]
                method = getattr(decoded[1], "method", None)
                if type(method) in replies:
                    say(connection, decoded[1].channel_number, replies[type(method)])
                elif isinstance(decoded[1], frame.Body):
                    for channel, reply in answers:
                        say(connection, channel, reply)

    return serve


ACK = (1, spec.Basic.Ack(1))
BLOCKED = (0, spec.Connection.Blocked("low on disk"))
CLOSED = (0, spec.Connection.Close(320, "CONNECTION_FORCED - going down", 0, 0))


def test_a_broker_that_confirms_is_up(scripted):
    server = scripted(broker([ACK]))
    probe = RabbitMQ(server.way, Account("u", "p", "/"))
    probe.look(Limit(PATIENCE))
    looked(probe)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([], "no answer within"),
        ([BLOCKED], "the broker takes no messages: low on disk"),
        ([CLOSED], "closed by the broker: 320 CONNECTION_FORCED"),
        ([(1, spec.Basic.Nack(1))], "the broker refused the message"),
    ],
)
def test_a_broker_that_does_not_confirm_is_down_and_says_why(scripted, answers, why):
    server = scripted(broker(answers))
    with pytest.raises(Down, match=why):
        looked(RabbitMQ(server.way, Account("u", "p", "/")), HASTE)


def test_without_an_account_the_greeting_is_what_is_looked_at(scripted):
    looked(RabbitMQ(scripted(broker([])).way, None))
    with pytest.raises(Down, match=r"speaks no AMQP|no answer"):
        looked(RabbitMQ(scripted(lambda c: c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")).way, None), HASTE)


def test_an_account_is_read_from_a_transport_url_with_several_hosts():
    who = account("rabbit://nova:p%40ss@rabbit-0:5672,nova:other@rabbit-1:5672/nova?ssl=0")
    assert (who.user, who.password, who.vhost) == ("nova", "p@ss", "nova")
    assert "p@ss" not in repr(who)


@pytest.fixture
def api_server(tmp_path):
    fake = FakeKubernetes()
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG % fake.url)
    yield fake, path
    fake.close()


def test_a_pod_is_reached_through_the_api_server_and_another_one_when_it_is_gone(scripted, api_server):
    fake, path = api_server
    first, second = scripted(echoing_memcached), scripted(echoing_memcached)
    fake.pod("m-0", app="m")
    fake.ports = {"m-0": first.port, "m-1": second.port}
    kubernetes = Kubernetes(connect(str(path), "")[0])
    with Watching(Memcached(PodPort(kubernetes, "app=m", 11211)), ApiServer(kubernetes)) as watching:
        watching.until(lambda: watching["memcached"].looks > 2)
        assert not watching["memcached"].failed, watching["memcached"].why
        first.close()
        watching.until(lambda: watching["memcached"].state is Seen.DOWN)
        fake.pod("m-0", app="old")
        watching.until(lambda: watching["memcached"].why == "there is no pod app=m")
        fake.pod("m-1", app="m")
        watching.until(lambda: watching["memcached"].state is Seen.UP)
        fake.close()
        kubernetes.client.rest_client.pool_manager.clear()
        watching.until(lambda: watching["kubernetes"].state is Seen.DOWN)
        second.close()
        watching.until(lambda: watching["memcached"].state is Seen.NOTHING)
    assert [outage.over for outage in watching["memcached"].outages] == [True]


def test_a_way_that_may_not_be_taken_is_no_outage(api_server):
    fake, path = api_server
    fake.pod("m-0", app="m")
    fake.refused.add("create pods/portforward")
    kubernetes = Kubernetes(connect(str(path), "")[0])
    with pytest.raises(Unwatched, match="Forbidden"):
        looked(Memcached(PodPort(kubernetes, "app=m", 11211)))


class Command:
    """`seatrial watch` in a process of its own."""

    def __init__(self, folder, settings, *options):
        (folder / "seatrial.toml").write_text(f'[clouds.x]\nprofile = "quick.toml"\n[clouds.x.watch]\n{settings}')
        quick = f"[watch]\nevery_s = {EVERY}\npatience_s = 3.0\nbudget_used_max = 1e-6\n"
        (folder / "quick.toml").write_text(f'extends = "baseline"\nabout = "quick"\n{quick}')
        command = [sys.executable, "-m", "seatrial.command", "watch", "--cloud", "x", "--format", "json", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        self.said = ""

    def until_said(self, *texts):
        while any(text not in self.said for text in texts):
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line

    def ended(self):
        out, said = self.process.communicate(timeout=120)
        self.said += said
        return self.process.returncode, json.loads(out)


ONLY = ("--only", "server", "--only", "memcached")


def test_a_suspended_watch_has_not_watched_and_calls_nothing_an_outage(tmp_path, scripted):
    cache, server = scripted(echoing_memcached), scripted(silent)
    settings = f'memcached = "127.0.0.1:{cache.port}"\nserver = "127.0.0.1:{server.port}"\n'
    command = Command(tmp_path, settings, *ONLY)
    command.until_said("memcached: up")
    command.process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    command.process.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    command.process.send_signal(signal.SIGTERM)
    status, told = command.ended()
    assert status == 0
    assert max(lapse["seconds"] for lapse in told["suspended"]) >= 1.5, "it was stopped for two seconds"
    assert all(service["down_s"] == 0 and not service["outages"] for service in told["services"])


def test_what_is_not_reached_from_the_beginning_is_said_at_once_and_ends_undetermined(tmp_path, scripted):
    cache, gone = scripted(echoing_memcached), scripted(silent)
    gone.close()
    settings = f'memcached = "127.0.0.1:{cache.port}"\nserver = "127.0.0.1:{gone.port}"\n'
    command = Command(tmp_path, settings, *ONLY)
    command.until_said("server: not reached from the beginning: ", "memcached: up")
    command.process.send_signal(signal.SIGINT)
    status, told = command.ended()
    assert status == 10
    assert [service["answered"] for service in told["services"]] == [False, True]


def test_more_downtime_than_the_budget_allows_ends_closed(tmp_path, scripted):
    cache = scripted(echoing_memcached)
    command = Command(tmp_path, f'memcached = "127.0.0.1:{cache.port}"\n', "--only", "memcached")
    command.until_said("memcached: up")
    cache.close()
    command.until_said("memcached: DOWN")
    cache.open()
    command.until_said("memcached: up again after")
    command.process.send_signal(signal.SIGTERM)
    status, told = command.ended()
    (service,) = told["services"]
    assert status == 1
    assert service["budget_used"] > 1e-6
    assert [outage["over"] for outage in service["outages"]] == [True]


@pytest.mark.parametrize(
    ("settings", "options", "complaint"),
    [
        ('memcached = "nowhere:x"\n', ("--only", "memcached"), "watch.memcached: nowhere:x: expected HOST:PORT"),
        ('rabbitmq = "amqp://rabbit:5672/"\n', ("--only", "rabbitmq"), "names no user and password"),
        ("", ("--only", "server"), "name one with --server"),
        ('memcached = "a:1"\n', ("--only", "memcached", "--for", "soon"), "expected a length of time"),
    ],
)
def test_wrong_settings_are_told_before_anything_is_contacted(tmp_path, monkeypatch, settings, options, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seatrial.toml").write_text(f"[clouds.x.watch]\n{settings}")
    said = CliRunner().invoke(main, ["watch", "--cloud", "x", *options])
    assert said.exit_code in {2, 4}
    assert complaint in said.output
