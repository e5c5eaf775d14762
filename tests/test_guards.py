"""Guards: what would cost a quorum, more space than there is, or a broker that does not start again is refused."""

from __future__ import annotations

import importlib
import shutil
from datetime import UTC, datetime

import pytest

from breakage import BREAKAGES, RecordedCloud
from seatrial.fixtures.bundle import Bundle, recorded, reseal, unpack
from seatrial.fixtures.settings import load_profile
from seatrial.plugins.remediation.change import Refused
from seatrial.plugins.remediation.declaration import load
from seatrial.plugins.remediation.guards import Guards
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.pause import paused

for name in ("ceph", "mariadb", "rabbitmq"):
    importlib.import_module(f"breakages.{name}")


@pytest.fixture(scope="module")
def demands():
    return load_profile("lab")


@pytest.fixture(scope="module")
def before():
    return Bundle(recorded("um-cloud-before"))


@pytest.fixture(scope="module")
def after():
    return Bundle(recorded("um-cloud-after"))


def broken(claim, tmp_path):
    folder = tmp_path / "cloud"
    unpack(recorded("um-cloud-after"), folder)
    next(b for b in BREAKAGES if b.invariant == claim).change(RecordedCloud(folder))
    reseal(folder)
    return Bundle(folder)


def pod_of(source, demands, **labels):
    from seatrial.fixtures.fact import built  # noqa: PLC0415 - of this function alone

    return built("cluster", source, demands).pods_labelled(**labels)[0]


def change(**more):
    return ByHand(offender="x: y", claim="TST-01", run=("x",), **more)


def test_a_mon_is_not_taken_from_a_quorum_that_needs_it(before, demands):
    guards = Guards(before, demands)
    voting = pod_of(before, demands, app="rook-ceph-mon", mon="a")
    with pytest.raises(Refused, match="Ceph would lose its quorum: 1 of 3 mons would be left without a"):
        guards.before(change(takes=f"pod {voting.path}"))


def test_a_mon_that_has_no_vote_may_start_anew(before, demands):
    absent = pod_of(before, demands, app="rook-ceph-mon", mon="c")
    Guards(before, demands).before(change(takes=f"pod {absent.path}"))


def test_one_mon_of_a_whole_quorum_may_start_anew(after, demands):
    mon = pod_of(after, demands, app="rook-ceph-mon", mon="a")
    Guards(after, demands).before(change(takes=f"pod {mon.path}"))


def test_a_galera_member_is_not_taken_from_a_cluster_that_has_lost_one(tmp_path, demands):
    source = broken("DB-01", tmp_path)
    guards = Guards(source, demands)
    with pytest.raises(Refused, match="Galera would lose its quorum: 1 of 3 members would be left"):
        guards.before(change(takes="statefulset openstack/mariadb-server"))


def test_members_of_a_whole_galera_cluster_may_restart_one_after_another(after, demands):
    Guards(after, demands).before(change(takes="statefulset openstack/mariadb-server"))


def test_a_broker_that_would_not_start_again_is_not_restarted(before, demands):
    with pytest.raises(Refused, match=r"RabbitMQ would not start again: .*queue_index_max_journal_entries"):
        Guards(before, demands).before(change(takes="statefulset openstack/rabbitmq-rabbitmq"))


def test_a_single_broker_has_no_quorum_to_lose(after, demands):
    Guards(after, demands).before(change(takes="statefulset openstack/rabbitmq-rabbitmq"))


@pytest.mark.parametrize(
    ("good", "count", "pod", "refuses"),
    [
        ({"a", "b", "c"}, 3, "", False),
        ({"a", "b"}, 3, "", True),
        ({"a", "b"}, 3, "c", False),
        ({"a", "b"}, 3, "a", True),
        ({"a", "b"}, 2, "a", False),
        ({"a"}, 2, "b", False),
        ({"a"}, 2, "a", True),
        ({"a"}, 1, "a", False),
    ],
)
def test_less_than_half_is_never_left(good, count, pod, refuses):
    if refuses:
        with pytest.raises(Refused, match="would lose its quorum"):
            Guards._majority("X", good, count, pod)
    else:
        Guards._majority("X", good, count, pod)


def test_a_second_copy_that_raw_space_does_not_hold_is_refused(before, demands):
    (pool,) = load()["CEPH-01"].changes(before, demands)
    guards = Guards(before, demands)
    guards.before(pool)
    with pytest.raises(Refused, match="raw space would not hold it"):
        guards.before(change(raw_bytes=1 << 50))


def test_what_cannot_be_seen_is_not_taken_for_safe(tmp_path, demands):
    folder = tmp_path / "cloud"
    shutil.rmtree(folder, ignore_errors=True)
    unpack(recorded("um-cloud-after"), folder)
    cloud = RecordedCloud(folder)
    cloud.silence_key("objects/all/secrets.json")
    reseal(folder)
    with pytest.raises(Refused, match="whether it is safe cannot be seen"):
        Guards(Bundle(folder), demands).before(change())


@pytest.mark.parametrize(
    ("window", "moment", "inside"),
    [
        ("Fri 18:00-Mon 07:00", "2026-11-21T12:00", True),
        ("Fri 18:00-Mon 07:00", "2026-11-20T17:59", False),
        ("Fri 18:00-Mon 07:00", "2026-11-23T06:59", True),
        ("Fri 18:00-Mon 07:00", "2026-11-23T07:00", False),
        ("22:00-06:00", "2026-11-21T23:00", True),
        ("22:00-06:00", "2026-11-21T05:59", True),
        ("22:00-06:00", "2026-11-21T06:00", False),
        ("00:00-24:00", "2026-11-21T06:00", True),
    ],
)
def test_a_pause_window_is_of_the_week_or_of_the_day(window, moment, inside):
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert bool(paused([window], now)) is inside


@pytest.mark.parametrize("window", ["soon", "Fri 18:00-07:00", "Xyz 10:00-Mon 07:00"])
def test_a_pause_window_that_cannot_be_understood_is_refused(window):
    with pytest.raises(ValueError, match=r"is not of the form|days are"):
        paused([window], datetime.now(UTC))
