"""Calls, casts and fanouts on a real RabbitMQ: what becomes of each, whatever befalls the broker or those who talk."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest
from real_broker import RealBroker
from rpc_parties import NAME, RUN, Meddler, Ours, at, on_a_channel, scenario, talk

from seatrial.fixtures.load.control import held, take_all_away
from seatrial.fixtures.load.histogram import Latencies
from seatrial.fixtures.load.rpc.client import mixture
from seatrial.fixtures.load.rpc.envelope import CALL, CAST, FANOUT
from seatrial.fixtures.load.rpc.run import run
from seatrial.fixtures.load.rpc.tally import Asked, Served, counted
from seatrial.fixtures.load.rpc.topology import Topology
from seatrial.fixtures.load.scenario import WrongScenario

RIGHT = {"unsent_messages", "refused_messages", "unconfirmed_messages", "unanswered_calls", "gave_up_calls"} | {
    "twice_answered_calls", "lost_casts", "missing_fanouts", "duplicated_messages", "abandoned_replies",
    "left_messages", "stray_messages",
}  # fmt: skip
"""Figures that are zero where all is well."""


@pytest.fixture
def endpoint(broker):
    endpoint = at(broker)
    yield endpoint
    for left in list(Ours.running):  # of a test that failed
        left.drop()
    topology = Topology(NAME, RUN, "transient", scenario().rpc)
    servers, clients = range(3), range(3)
    queues = [NAME, *map(topology.topic_of, servers), *map(topology.fanout_queue, servers)]
    queues += map(topology.reply_queue, clients)
    take_all_away(endpoint, queues, [NAME, topology.fanout])


def wrong(done):
    return {name: count for name, count in done.figures().items() if name in RIGHT and count}


def test_all_calls_are_answered_and_all_else_comes_once(endpoint):
    done = talk(endpoint, scenario(producers=2, consumers=3, callers=3, connections=2))
    assert (wrong(done), done.closures) == ({}, [])
    fate, figures = done.fate, done.figures()
    assert fate.answered_calls == fate.made_calls > 10
    assert fate.made_casts > 5
    assert fate.made_fanouts > 3
    assert figures["calls_per_s"] > 0
    assert figures["casts_per_s"] > 0
    assert figures["fanouts_per_s"] > 0
    assert 0 < figures["round_trip_p50_ms"] <= figures["round_trip_p99_ms"] <= figures["round_trip_max_ms"]
    assert figures["cast_p99_ms"] > 0
    assert figures["fanout_p99_ms"] > 0
    assert len(Latencies(done.latencies["cast"])) == fate.made_casts
    assert len(Latencies(done.latencies["fanout"])) == 3 * fate.made_fanouts


def test_messages_of_several_frames_are_put_together(endpoint):
    done = talk(endpoint, scenario(size_bytes=300_000, prefetch=3))
    assert wrong(done) == {}
    assert done.fate.answered_calls > 0


def test_who_takes_messages_away_leaves_calls_unanswered_and_casts_lost(endpoint):
    thieves = []
    wanted = scenario(timeout_s=0.3, duration_s=1.0, settle_s=2, callers=4)

    def steal():
        thieves.append(Meddler(endpoint, NAME, lambda *_: None))

    done = talk(endpoint, wanted, steal, more=lambda: -thieves[0].met)
    thieves[0].end()
    fate = done.fate
    assert fate.unanswered_calls > 0
    assert fate.lost_casts > 0
    assert fate.unanswered_calls + fate.lost_casts == thieves[0].met
    assert fate.gave_up_calls == fate.unanswered_calls
    assert wrong(done).keys() == {"unanswered_calls", "lost_casts", "gave_up_calls"}
    assert done.figures()["round_trip_max_ms"] >= 300  # a call that was given up has waited so long


def test_a_call_that_is_passed_on_twice_is_answered_twice(endpoint):
    def twice(channel, properties, body):
        for server in (0, 1):
            channel.basic_publish(NAME, f"{NAME}.server-{server}", body, properties)

    copiers = []
    wanted = scenario(consumers=2, fanout_share=0.0, duration_s=1.0)
    done = talk(endpoint, wanted, lambda: copiers.append(Meddler(endpoint, NAME, twice)), more=lambda: copiers[0].met)
    copiers[0].end()
    fate = done.fate
    assert 0 < fate.twice_answered_calls < fate.duplicated_messages == copiers[0].met
    assert wrong(done).keys() == {"twice_answered_calls", "duplicated_messages"}


def test_what_comes_twice_to_one_server_is_worked_on_once(endpoint):
    def twice(channel, properties, body):
        for _ in range(2):
            channel.basic_publish(NAME, f"{NAME}.server-0", body, properties)

    copiers = []

    def copy():
        copiers.append(Meddler(endpoint, NAME, twice))

    done = talk(endpoint, scenario(duration_s=1.0), copy, more=lambda: copiers[0].met)
    copiers[0].end()
    assert done.fate.ignored_messages == done.fate.duplicated_messages == copiers[0].met > 0
    assert wrong(done).keys() == {"duplicated_messages"}


def test_a_server_that_fanouts_do_not_reach_misses_them(endpoint):
    topology = Topology(NAME, RUN, "transient", scenario().rpc)

    def unbind():
        gone = topology.fanout_queue(1)
        on_a_channel(endpoint, lambda channel: channel.queue_unbind(gone, topology.fanout, NAME))

    wanted = scenario(consumers=2, fanout_share=0.6, timeout_s=0.5, settle_s=2, duration_s=1.5)
    done = talk(endpoint, wanted, unbind, more=lambda: -10_000)
    assert 0 < done.fate.missing_fanouts <= done.fate.made_fanouts


def test_strangers_are_counted_and_nothing_else(endpoint):
    def speak():
        bodies = (b"", b"nothing", b'{"oslo.version": "2.0", "oslo.message": "{}"}')
        on_a_channel(endpoint, lambda channel: [channel.basic_publish("", f"{NAME}.server-0", body) for body in bodies])

    done = talk(endpoint, scenario(timeout_s=1.0, settle_s=2), speak, more=lambda: 3)
    assert done.fate.stray_messages == 3


def test_a_reply_whose_client_is_away_is_sent_again_until_it_is_there(endpoint):
    servers = Ours(endpoint, scenario(), consumes=True)
    call = {"_msg_id": "a" * 32, "_reply_q": "reply_away"}
    body = json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(call)})
    on_a_channel(endpoint, lambda channel: channel.basic_publish("", f"{NAME}.server-0", body))
    server, deadline = servers.worker.servers[0], time.monotonic() + 20
    while not server._returned and time.monotonic() < deadline:
        time.sleep(0.02)
    letter = server._returned[0]
    on_a_channel(endpoint, lambda channel: channel.queue_declare("reply_away"))
    while not held(endpoint, "reply_away") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert held(endpoint, "reply_away") == 1
    on_a_channel(endpoint, lambda channel: channel.queue_delete("reply_away"))
    assert server.abandoned == 0
    server.settled(letter, letter.give_up_ns + 1, refused=False, returned=True)
    assert server.abandoned == 1  # once a minute is over
    servers.tell("stop")
    servers.end()


def test_at_a_set_rate_a_call_is_late_from_when_it_should_have_been_made(broker, endpoint):
    pause = 1.0

    def stop():
        time.sleep(0.4)
        os.killpg(broker.process.pid, signal.SIGSTOP)
        time.sleep(pause)
        os.killpg(broker.process.pid, signal.SIGCONT)

    done = talk(endpoint, scenario(rate_per_s=200, duration_s=2.5, cast_share=0.0, fanout_share=0.0), stop)
    assert wrong(done) == {}
    assert done.fate.made_calls == 500
    late = Latencies(done.latencies["round_trip"])._histogram
    waited = late.get_total_count() - sum(late.get_count_at_index(i) for i in range(late._counts_index_for(100_000)))
    # Some 180 fell due in the pause and a tenth of a second before its end; the two connections had one call each.
    assert waited > 120


@pytest.fixture
def alarm(broker):
    """RabbitMQ's alarm of memory, and what ends it."""
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

    def end():
        broker.ctl("set_vm_memory_high_watermark", "0.4")

    yield end
    end()


def test_an_alarm_holds_senders_back_and_nothing_is_lost(endpoint, alarm):
    done = talk(endpoint, scenario(rate_per_s=50, duration_s=1.0, settle_s=30), alarm)
    assert wrong(done) == {}
    assert done.blocked_by == "low on memory"
    assert done.blocked_s > 0
    assert done.figures()["round_trip_max_ms"] > 1000 * done.blocked_s / 8  # of four senders: calls fell due meanwhile


def test_an_alarm_that_stays_leaves_messages_unsent_and_says_why(endpoint, alarm):  # noqa: ARG001 - it stays
    done = talk(endpoint, scenario(rate_per_s=50, settle_s=0.5, timeout_s=3), more=lambda: -10_000)
    assert done.fate.unsent_messages > 0
    assert done.blocked_by == "low on memory"
    assert sum([done.fate.made_calls, done.fate.made_casts, done.fate.made_fanouts, done.fate.unsent_messages]) == 25


def test_connections_that_are_closed_are_opened_again_and_what_was_unconfirmed_is_sent_again(broker, endpoint):
    done = talk(
        endpoint,
        scenario(rate_per_s=300, duration_s=6.0, settle_s=20),
        lambda: broker.ctl("close_all_connections", "drill"),
    )
    assert any("drill" in closure for closure in done.closures)
    assert done.away_s > 0
    told = wrong(done)
    assert not told.keys() - {"duplicated_messages", "unanswered_calls", "twice_answered_calls"}
    assert done.fate.answered_calls + done.fate.unanswered_calls == done.fate.made_calls
    assert done.fate.unanswered_calls <= 10  # requests that a server had acknowledged, and its word was not sent yet


@pytest.mark.lab  # not for the lab's sake: minutes of a real broker are for the round
@pytest.mark.round
@pytest.mark.parametrize(("queue", "own"), [("transient", "transient"), ("quorum", "quorum")])
def test_a_broker_that_restarts_is_waited_for_and_what_was_lost_is_told(tmp_path, queue, own):
    own_broker = RealBroker(tmp_path / "own").start()
    kinds = {"queue": queue, "own_queues": own}
    wanted = scenario(producers=2, consumers=2, rate_per_s=100, duration_s=40.0, settle_s=120, timeout_s=30, **kinds)

    def restart():
        time.sleep(3)
        own_broker.stop()
        own_broker.start()

    told = []
    try:
        watcher = threading.Thread(target=restart)
        watcher.start()
        done = run(at(own_broker), wanted, NAME, told.append)
        watcher.join()
        queues = own_broker.ctl("list_queues").split()
    finally:
        own_broker.stop()
    fate = done.fate
    assert done.away_s > 1
    assert done.closures
    assert fate.repeated_messages > 0
    assert fate.unsent_messages == fate.unconfirmed_messages == fate.refused_messages == 0
    assert fate.answered_calls + fate.unanswered_calls == fate.made_calls
    assert fate.answered_calls > 0
    assert done.figures()["round_trip_max_ms"] > 1000
    if queue == "quorum":
        assert (fate.lost_casts, fate.missing_fanouts) == (0, 0)  # what was confirmed is there again
    assert queues == []


def test_a_whole_load_takes_everything_away(broker):
    wanted = scenario(producers=2, consumers=2, rate_per_s=200, warm_up_s=0.2, duration_s=1.0)
    told = []
    done = run(at(broker), wanted, NAME, told.append)
    assert wrong(done) == {}
    assert done.cpu_s > 0
    assert done.figures()["client_cpu_per_message_us"] > 0
    assert "4 processes are connected" in told[0]
    assert broker.ctl("list_queues").split() == []
    assert NAME not in broker.ctl("list_exchanges")


def test_kinds_are_spread_evenly():
    kinds = mixture(scenario(cast_share=0.25, fanout_share=0.02).rpc)
    assert [kinds.count(kind) for kind in (CALL, CAST, FANOUT)] == [730, 250, 20]
    for start in range(0, 1000, 100):
        assert 70 <= kinds[start : start + 100].count(CALL) <= 76


@pytest.mark.parametrize(
    "wrong_field",
    [
        {"callers": 0},
        {"cast_share": 0.9, "fanout_share": 0.2},
        {"own_queues": "durable"},
        {"confirm_window": 2},
        {"size_bytes": 100},
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_its_field(wrong_field):
    with pytest.raises(WrongScenario, match=list(wrong_field)[-1]):
        scenario(**wrong_field)


def test_what_several_know_is_put_together():
    nothing = {"repeated": 0, "strays": 0, "blocked_s": 0.0, "blocked_by": "", "away_s": 0.0, "closures": []}

    def asked(**more):
        known = {"unsent": 0, "refused": [[], [], []], "unconfirmed": [[], [], []], "gave_up": 0, "received": 0}
        made = {"made": [4, 4, 2], "answers": b"\1\1\1\1", "answered_in_window": 0}
        return Asked(**{"client": 0, **made, **known, **nothing, **more})

    def served(number, calls, casts, fanouts):
        zero = dict.fromkeys(("redelivered", "ignored", "replies", "abandoned", "refused"), 0)
        seen = {0: [bytes(calls), bytes(casts), bytes(fanouts)]}
        return Served(server=number, seen=seen, in_window=[0, 0, 0], **zero, **nothing)

    two = [served(0, [1, 1], [1, 0, 1, 0], [1, 1]), served(1, [0, 0, 1, 1], [0, 1, 0, 1], [1, 1])]
    fine = counted([asked()], two, 0)
    assert (fine.answered_calls, fine.unanswered_calls, fine.lost_casts, fine.missing_fanouts) == (4, 0, 0, 0)
    assert (fine.duplicated_messages, fine.twice_answered_calls) == (0, 0)
    two[1].seen[0][CAST] = bytes([1, 0, 0, 0])
    two[1].seen[0][FANOUT] = b"\1"
    found = counted([asked(answers=b"\2\0\1")], two, 0)
    assert (found.answered_calls, found.unanswered_calls, found.twice_answered_calls) == (2, 2, 1)
    assert (found.lost_casts, found.missing_fanouts, found.duplicated_messages) == (2, 1, 1)
    assert counted([asked()], two, 1).lost_casts == 1
    known = counted([asked(unconfirmed=[[1], [1], [1]], refused=[[3], [3], []], answers=b"\2\0\1\0")], two, 0)
    assert (known.unanswered_calls, known.lost_casts, known.missing_fanouts) == (0, 0, 0)
    assert (known.unconfirmed_messages, known.refused_messages) == (3, 2)
