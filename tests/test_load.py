"""The load on a broker over real sockets: what happens to messages, and that every one of them is accounted for."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import threading
import time

import pytest
from pika import frame, spec
from scripted_broker import CHANNEL, ScriptedBroker

from seatrial.fixtures.load.broker import endpoint_of, outcome
from seatrial.fixtures.load.histogram import Latencies
from seatrial.fixtures.load.payload import KEY, Batch, Key
from seatrial.fixtures.load.scenario import Endpoint, Scenario, WrongScenario
from seatrial.fixtures.load.tally import Received, Sent, Share, counted
from seatrial.fixtures.load.wire import Lost, Rejected, opened
from seatrial.fixtures.load.worker import READY, Task, Worker

SCENARIO = Scenario(
    name="test",
    producers=1,
    consumers=1,
    queue="transient",
    persistent=False,
    size_bytes=100,
    confirm_window=20,
    rate_per_s=0,
    prefetch=0,
    ack_every=0,
    warm_up_s=0,
    duration_s=0.15,
    settle_s=3,
)
PATIENCE = 20


def scenario(**changes):
    return Scenario(**{name: changes.get(name, getattr(SCENARIO, name)) for name in SCENARIO.__struct_fields__})


@pytest.fixture
def broker():
    broker = ScriptedBroker()
    yield broker
    broker.close()


def at(broker, **more):
    return Endpoint(**{"host": "127.0.0.1", "port": broker.port, "user": "u", "password": "p", "patience_s": 5, **more})


class Process(threading.Thread):
    """A worker in a thread of this process, told by a pipe as it is by its parent."""

    def __init__(self, task):
        super().__init__(daemon=True)
        self.ears, self.mouth = os.pipe()
        self.ready, self.share = threading.Event(), None
        self.worker = Worker(task, self.ears, lambda kind, _: self.ready.set() if kind == READY else None)
        self.start()

    def run(self):
        self.share = self.worker.run()
        self.ready.set()

    def tell(self, word):
        os.write(self.mouth, f"{word}\n".encode())

    def end(self):
        self.join(PATIENCE)
        os.close(self.mouth)
        os.close(self.ears)
        assert self.share is not None, "the worker did not end"
        return self.share


def load(endpoint, wanted=SCENARIO, *, left=0, lost=0, more=0):
    """Put a load on a broker until all has come: but for `lost` messages, and `more` than were published."""
    consuming, producing = (
        Process(
            Task(endpoint=endpoint, scenario=wanted, queue="q", run=7, numbers=list(range(count)), consumes=consumes)
        )
        for consumes, count in ((True, wanted.consumers), (False, wanted.producers))
    )
    for process in (consuming, producing):
        assert process.ready.wait(PATIENCE)
    start = time.monotonic_ns()
    for process in (consuming, producing):
        process.tell(start)
    share = producing.end()
    known = [len({*sent.nacked, *sent.returned, *sent.unconfirmed}) for sent in share.sent]
    distinct = sum(sent.published for sent in share.sent) - sum(known) - lost
    consumer, deadline = consuming.worker._consumers[0], time.monotonic() + PATIENCE
    while time.monotonic() < deadline and (
        sum(len(seen) - seen.count(0) for seen in consumer.seen.values()) < distinct or consumer.count < distinct + more
    ):
        time.sleep(0.02)
    consuming.tell("stop")
    return outcome(wanted, [share, consuming.end()], left)


def fate(**expected):
    return {"lost": 0, "duplicated": 0, "refused": 0, "unroutable": 0, "unconfirmed": 0, "strays": 0, **expected}


def told(done):
    return {name: getattr(done.fate, name) for name in fate()}


def test_a_batch_is_what_pika_would_have_made_of_each_message():
    publish = frame.Method(CHANNEL, spec.Basic.Publish(exchange="", routing_key="q", mandatory=True)).marshal()
    properties = spec.BasicProperties(delivery_mode=2)
    for size, frame_max in ((32, 131072), (100, 131072), (300, 108)):
        batch = Batch(publish, properties, Key(7, 3, 1000, 0, 0), size, frame_max)
        for base, stamp, count in ((0, 1, 2), (2**40 + 5, 2**62, 3), (2**40 + 8, 2**62 + 1, batch.most)):
            expected = b""
            for place in range(count):
                body = KEY.pack(7, 3, 1000, base, stamp) + struct.pack(">H", place) + bytes(size - 32)
                expected += publish + frame.Header(CHANNEL, size, properties).marshal()
                for at_ in range(0, size, frame_max - 8):
                    expected += frame.Body(CHANNEL, body[at_ : at_ + frame_max - 8]).marshal()
            assert bytes(batch.numbered(base, stamp, count)) == expected


@pytest.mark.parametrize("ack_every", [0, 7])
def test_all_that_is_published_is_confirmed_and_comes_once(broker, ack_every):
    done = load(at(broker), scenario(producers=3, ack_every=ack_every, prefetch=50 if ack_every else 0))
    assert told(done) == fate()
    assert done.fate.published == done.fate.confirmed == done.fate.received > 100
    figures = done.figures()
    assert figures["messages_per_s"] > 0
    assert 0 < figures["confirm_p50_ms"] <= figures["confirm_p99_ms"] <= figures["confirm_max_ms"]
    assert 0 < figures["end_to_end_p50_ms"] <= figures["end_to_end_max_ms"]
    assert done.closures == []


def test_messages_larger_than_a_frame_come_whole(broker):
    done = load(at(broker), scenario(size_bytes=300_000, confirm_window=4))
    assert told(done) == fate()
    assert done.fate.received > 0


def test_confirms_may_come_in_any_order_and_for_several_at_once(broker):
    waiting = []

    def publish(client, tag, body):
        broker.keep(body)
        waiting.append(tag)
        if len(waiting) == 5:
            _, second, third, fourth, fifth = waiting
            client.ack(fourth)
            client.ack(second)
            client.ack(third, multiple=True)  # the first, and the third
            client.ack(fifth)
            waiting.clear()

    broker.publish = publish
    done = load(at(broker), scenario(confirm_window=5))
    assert told(done) == fate(unconfirmed=done.fate.unconfirmed)
    assert done.fate.unconfirmed < 5
    assert done.fate.confirmed + done.fate.unconfirmed == done.fate.published


def test_refused_messages_are_counted_and_are_not_lost(broker):
    def publish(client, tag, body):
        if tag % 10:
            broker.carry(client, tag, body)
        else:
            client.nack(tag)

    broker.publish = publish
    done = load(at(broker))
    assert told(done) == fate(refused=done.fate.published // 10)
    assert done.fate.refused > 0


def test_messages_that_come_back_are_counted_and_are_not_lost(broker):
    def publish(client, tag, body):
        if tag % 10:
            broker.carry(client, tag, body)
        else:
            client.give_back(body)
            client.ack(tag)

    broker.publish = publish
    done = load(at(broker))
    assert told(done) == fate(unroutable=done.fate.published // 10)
    assert done.fate.unroutable > 0


def test_a_confirmed_message_that_never_comes_is_lost(broker):
    def publish(client, tag, body):
        if tag in {50, 60, 61}:
            client.ack(tag)
        else:
            broker.carry(client, tag, body)

    broker.publish = publish
    assert told(load(at(broker), lost=3)) == fate(lost=3)


def test_what_the_queue_still_holds_is_not_lost(broker):
    def publish(client, tag, body):
        if tag in {50, 60, 61}:
            client.ack(tag)
        else:
            broker.carry(client, tag, body)

    broker.publish = publish
    assert told(load(at(broker), left=2, lost=3)) == fate(lost=1)


def test_a_message_that_comes_twice_is_a_duplicate(broker):
    def publish(client, tag, body):
        broker.carry(client, tag, body)
        if tag in {50, 60}:
            broker.keep(body)

    broker.publish = publish
    assert told(load(at(broker), more=2)) == fate(duplicated=2)


def test_messages_of_somebody_else_are_strays(broker):
    def publish(client, tag, body):
        broker.carry(client, tag, body)
        if tag == 50:
            broker.keep(b"short")
            broker.keep(b"")
            broker.keep(KEY.pack(8, 0, 0, 0, 0) + body[KEY.size :])

    broker.publish = publish
    assert told(load(at(broker), more=3)) == fate(strays=3)


def test_a_blocked_producer_waits_and_its_time_is_counted(broker):
    pause = 0.4

    def publish(client, tag, body):
        broker.carry(client, tag, body)
        if tag == 20:
            client.send(spec.Connection.Blocked("low on memory"), channel=0)
            before = client.published
            threading.Timer(pause, lambda: client.send(spec.Connection.Unblocked(), channel=0)).start()
            blocked.append(before)

    blocked = []
    broker.publish = publish
    done = load(at(broker), scenario(duration_s=0.8))
    assert told(done) == fate()
    assert (done.blocked_by, len(blocked)) == ("low on memory", 1)
    assert 0.9 * pause < done.blocked_s < 0.8
    assert done.fate.published > 20


def test_a_channel_that_the_broker_stops_stands_still_until_it_may_go_on(broker):
    came = []

    def publish(client, tag, body):
        came.append(time.monotonic())
        broker.carry(client, tag, body)
        if tag == 20:
            client.send(spec.Channel.Flow(active=False))
            threading.Timer(0.3, lambda: client.send(spec.Channel.Flow(active=True))).start()

    broker.publish = publish
    assert told(load(at(broker), scenario(duration_s=0.6))) == fate()
    assert max(after - before for before, after in itertools.pairwise(came)) > 0.2


@pytest.mark.parametrize("ending", ["channel", "connection", "hang up", "torn"])
def test_a_connection_that_ends_is_opened_again_and_what_was_unconfirmed_is_sent_again(broker, ending):
    ended = []

    def publish(client, tag, body):
        broker.keep(body)
        if tag == 35 and not ended:
            ended.append(client)
            if ending == "channel":
                client.send(spec.Channel.Close(406, "PRECONDITION_FAILED", 0, 0))
            elif ending == "connection":
                client.send(spec.Connection.Close(320, "CONNECTION_FORCED", 0, 0), channel=0)
            elif ending == "torn":
                client.raw(frame.Heartbeat().marshal()[:-1] + b"\x00")
            else:
                client.hang_up()
        elif client not in ended:
            client.ack(tag)

    broker.publish = publish
    done = load(at(broker), scenario(duration_s=0.6))
    expected = {"channel": "406 PRECONDITION", "connection": "320 CONNECTION", "torn": "a frame without its end"}
    assert expected.get(ending, "") in done.closures[0]
    assert done.fate.repeated > 0
    assert told(done) == fate(duplicated=done.fate.duplicated)
    assert 0 < done.fate.duplicated <= done.fate.repeated
    assert done.fate.confirmed == done.fate.published
    assert done.away_s > 0


def test_a_consumer_that_is_cancelled_comes_back_for_the_rest_and_gets_again_what_it_held(broker):
    cancelled = []

    def publish(client, tag, body):
        broker.carry(client, tag, body)
        if tag == 35 and not cancelled:
            cancelled.append(broker.clients[0])
            cancelled[0].send(spec.Basic.Cancel("c", nowait=True))

    broker.publish = publish
    done = load(at(broker), scenario(duration_s=0.6, ack_every=1000))
    assert "its queue is gone" in done.closures[0]
    assert told(done) == fate(duplicated=done.fate.duplicated)
    assert done.fate.redelivered >= done.fate.duplicated > 0


def test_a_broker_that_goes_away_and_returns_is_waited_for(broker):
    gone = threading.Event()

    def publish(client, tag, body):
        if not gone.is_set():
            broker.carry(client, tag, body)
        if tag == 40 and not gone.is_set():
            gone.set()
            threading.Thread(target=leave).start()

    def leave():
        broker.close()
        broker.publish = broker.carry
        time.sleep(0.4)
        broker.open()

    broker.publish = publish
    done = load(at(broker), scenario(duration_s=1.0))
    assert told(done) == fate(duplicated=done.fate.duplicated)
    assert any("refused" in reason.lower() for reason in done.closures)
    assert done.fate.received > 40


def test_a_broker_that_does_not_return_leaves_messages_unconfirmed_and_says_why(broker):
    def publish(client, tag, body):
        if tag <= 40:
            broker.carry(client, tag, body)
        else:
            threading.Thread(target=broker.close).start()

    broker.publish = publish
    done = load(at(broker), scenario(settle_s=1))
    assert told(done) == fate(unconfirmed=done.fate.unconfirmed)
    assert done.fate.unconfirmed > 0
    assert done.closures


@pytest.mark.lab  # not for the lab's sake: heartbeats are whole seconds; for the round
@pytest.mark.round
def test_a_broker_that_falls_silent_is_noticed_by_its_heartbeat():
    broker = ScriptedBroker(heartbeat=1)  # AMQP counts them in whole seconds
    try:
        done = load(at(broker), scenario(duration_s=2.5, rate_per_s=0.5))
        assert any("two heartbeats" in reason for reason in done.closures)
    finally:
        broker.close()


def test_deliveries_in_pieces_and_with_heartbeats_in_between_are_all_understood(broker):
    cuts = itertools.cycle((1, 3, 7, 20, 50, 11))

    def write(client, data):
        at_ = 0
        while at_ < len(data):
            size = next(cuts)
            client.raw(data[at_ : at_ + size])
            at_ += size

    def publish(client, tag, body):
        with broker.lock:
            for consumer in broker.clients:
                consumer.deliver(body, before_body=frame.Heartbeat().marshal() if tag % 3 == 0 else b"")
        client.ack(tag)

    broker.write, broker.publish = write, publish
    done = load(at(broker))
    assert told(done) == fate()
    assert done.fate.received == done.fate.published > 20


def test_at_a_set_rate_a_message_is_late_from_when_it_should_have_been_sent(broker):
    pause = 0.5

    def publish(client, tag, body):
        if tag == 100:
            time.sleep(pause)
        broker.carry(client, tag, body)

    broker.publish = publish
    done = load(at(broker), scenario(rate_per_s=1000, confirm_window=10, duration_s=1.0))
    assert told(done) == fate()
    assert done.fate.published == 1000
    late = Latencies(done.end_to_end)._histogram
    waited = late.get_total_count() - sum(late.get_count_at_index(i) for i in range(late._counts_index_for(100_000)))
    # Some 400 fell due in the pause and a tenth of a second before its end; a closed loop would have seen ten.
    assert waited > 200


def test_messages_that_were_due_and_could_not_be_sent_are_counted(broker):
    def publish(client, tag, body):
        broker.carry(client, tag, body)
        if tag == 50:
            client.send(spec.Connection.Blocked("low on disk"), channel=0)

    broker.publish = publish
    done = load(at(broker), scenario(rate_per_s=1000, settle_s=0.2))
    assert done.fate.unsent == 150 - done.fate.published
    assert 50 <= done.fate.published < 100


def test_without_confirms_nothing_is_waited_for(broker):
    broker.publish = lambda _client, _tag, body: broker.keep(body)
    done = load(at(broker), scenario(confirm_window=0, rate_per_s=2000))
    assert told(done) == fate()
    assert done.fate.received == done.fate.published == 300


def test_a_parent_that_is_gone_takes_its_processes_with_it(broker):
    task = Task(endpoint=at(broker), scenario=scenario(duration_s=60), queue="q", run=7, numbers=[0], consumes=False)
    process = Process(task)
    assert process.ready.wait(PATIENCE)
    process.tell(time.monotonic_ns())
    os.close(process.mouth)
    process.join(PATIENCE)
    assert not process.is_alive()
    os.close(process.ears)


def test_tls_is_spoken_and_its_certificate_checked(tmp_path):
    both = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=broker.example", "-addext", "subjectAltName=DNS:broker.example",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    broker = ScriptedBroker(tls=both)
    try:
        trusting = {"tls": True, "cacert": str(tmp_path / "cert.pem")}
        done = load(at(broker, **trusting, server_name="broker.example"), scenario(size_bytes=20_000))
        assert told(done) == fate()
        assert done.fate.received > 20
        for refused in ({**trusting, "server_name": "other.example"}, {"tls": True}):
            with pytest.raises(Rejected, match="its certificate is not trusted"):
                opened(at(broker, **refused), "test")
    finally:
        broker.close()


def test_who_is_no_broker_is_told_so(broker):
    broker.close()
    with pytest.raises(Lost, match=f"127.0.0.1:{broker.port}"):
        opened(at(broker), "test")


def test_what_is_seen_by_several_is_put_together():
    def sent(**more):
        nothing = {
            "in_window": 0,
            "unsent": 0,
            "repeated": 0,
            "nacked": [],
            "returned": [],
            "unconfirmed": [],
            "closures": [],
        }
        zero = {"blocked_s": 0.0, "blocked_by": "", "away_s": 0.0}
        return Sent(**{"producer": 0, "published": 6, "confirmed": 6, **nothing, **zero, **more})

    def received(**seen):
        counts = {int(name[1:]): bytes(count) for name, count in seen.items()}
        return Received(
            count=sum(map(sum, counts.values())),
            in_window=0,
            redelivered=0,
            strays=0,
            seen=counts,
            away_s=0,
            closures=[],
        )

    both = [received(p0=[1, 0, 1], p1=[0, 1]), received(p0=[0, 0, 1, 1, 0, 0, 0, 0])]
    found = counted([sent(nacked=[4]), sent(producer=1, published=2)], both, 0)
    assert (found.lost, found.duplicated) == (3, 1)  # 1 and 5 of the first, 0 of the second; its 2 came twice
    assert counted([sent()], [], 2).lost == 4
    assert counted([sent(unconfirmed=[0, 1, 2, 3, 4, 5])], [], 0).lost == 0
    with pytest.raises(ValueError, match="not the share of a load"):
        Share.unpacked(b"nonsense")


@pytest.mark.parametrize(
    "wrong",
    [{"queue": "lazy"}, {"size_bytes": 31}, {"producers": 0}, {"ack_every": 9, "prefetch": 8}, {"duration_s": 0}],
)
def test_a_scenario_that_cannot_be_is_refused_with_its_field(wrong):
    with pytest.raises(WrongScenario, match=next(iter(wrong))):
        scenario(**wrong).check()


def test_an_address_is_taken_apart_and_its_password_is_not_shown():
    endpoint = endpoint_of("amqps://me:p%40ss@broker.example/%2fload")
    assert (endpoint.host, endpoint.port, endpoint.password, endpoint.vhost) == (
        "broker.example", 5671, "p@ss", "/load",
    )  # fmt: skip
    assert "p@ss" not in repr(endpoint)
    with pytest.raises(WrongScenario, match="SEATRIAL_BROKER"):
        endpoint_of("http://broker.example")
