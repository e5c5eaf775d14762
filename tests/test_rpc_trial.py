"""LOAD-04 as it is judged: budgets, and what was lost."""

from __future__ import annotations

import pytest

from seatrial.fixtures.load.histogram import Latencies
from seatrial.fixtures.load.rpc.run import RpcOutcome
from seatrial.fixtures.load.rpc.tally import RpcFate
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.rpc_trial import RpcTrial, scenario_of
from seatrial.fixtures.settings import load_profile

HELD_BACK = "; the broker held publishers back for 20.0 s: low on disk"


def came_to(calls=300, casts=100, slow="", blocked_s=0.0, closures=(), **fate):
    wanted = load_profile("um-cloud").broker_load
    nothing = dict.fromkeys(RpcFate.__struct_fields__, 0)
    latencies = {}
    for name in ("round_trip", "cast", "fanout"):
        recorded = Latencies()
        recorded.record(5_000_000_000 if name == slow else 5_000_000, 100)
        latencies[name] = recorded.encoded
    outcome = RpcOutcome(
        scenario=scenario_of(wanted),
        fate=RpcFate(**{**nothing, "made_calls": 730, "made_casts": 250, "made_fanouts": 20, **fate}),
        answered_in_window=int(calls * wanted.duration_s),
        casts_in_window=int(casts * wanted.duration_s),
        fanouts_in_window=1 if calls else 0,
        received_in_window=int((calls + casts) * wanted.duration_s),
        cpu_s=1.0,
        blocked_s=blocked_s,
        blocked_by="low on disk" if blocked_s else "",
        away_s=0.0,
        closures=list(closures),
        latencies=latencies,
    )
    return RpcTrial(outcome, wanted.rpc, "at its address").offending


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({}, []),
        ({"calls": 280}, ["calls: 280 a second, 285 wanted (at its address)"]),
        ({"casts": 10}, ["casts: 10 a second, 97 wanted (at its address)"]),
        ({"slow": "round_trip"}, ["round trip: p99 5001 ms, 250 ms wanted (at its address)"]),
        ({"slow": "cast"}, ["cast: p99 5001 ms, 150 ms wanted (at its address)"]),
        ({"slow": "fanout"}, ["fanout: p99 5001 ms, 150 ms wanted (at its address)"]),
        ({"twice_answered_calls": 3}, ["answered twice: 3 of 730 calls, and no connection ended"]),
        ({"lost_casts": 3}, ["lost: 3 of 250 casts, and no connection ended"]),
        ({"missing_fanouts": 3}, ["missing at a server: 3 of 20 fanouts, and no connection ended"]),
        ({"duplicated_messages": 3}, ["came twice: 3 of all messages, and no connection ended"]),
        ({"lost_casts": 3, "missing_fanouts": 3, "duplicated_messages": 1, "closures": ["it restarted"]}, []),
        ({"unanswered_calls": 3}, ["no reply: 3 of 730 calls"]),
        ({"unanswered_calls": 3, "closures": ["it left"]}, ["no reply: 3 of 730 calls (it left)"]),
        ({"gave_up_calls": 3}, ["given up after 60 s: 3 of 730 calls"]),
        ({"refused_messages": 3}, ["refused: 3 of 1000 messages"]),
        ({"unconfirmed_messages": 3}, ["unconfirmed: 3 of 1000 messages"]),
        ({"unsent_messages": 3}, ["unsent: 3 of 1003 messages"]),
        ({"left_messages": 3}, ["still queued at the end: 3 of 1000 messages"]),
        (
            {"calls": 0, "casts": 0, "blocked_s": 20.0},
            [
                f"calls: 0 a second, 285 wanted (at its address){HELD_BACK}",
                f"casts: 0 a second, 97 wanted (at its address){HELD_BACK}",
            ],
        ),
    ],
)
def test_what_talk_came_to_is_judged(outcome, said):
    assert came_to(**outcome) == said


def test_talk_of_which_nothing_came_is_not_judged():
    with pytest.raises(Unavailable, match=r"no message came through.*it left"):
        came_to(calls=0, casts=0, closures=["it left"])


def test_every_profile_describes_talk_that_can_be():
    for name in ("baseline", "um-cloud", "lab", "thousand-nodes", "understack"):
        profile = load_profile(name)
        assert scenario_of(profile.broker_load).rpc is not None
        kept = profile.broker_load.rpc
        calls = kept.rate_per_s * (1 - kept.cast_share - kept.fanout_share)
        assert 0.9 * calls < kept.calls_per_s < calls
        assert 0.9 * kept.rate_per_s * kept.cast_share < kept.casts_per_s < kept.rate_per_s * kept.cast_share
