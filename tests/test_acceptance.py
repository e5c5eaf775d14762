"""The tenant over real sockets: what is sent twice and what never, what is taken away and what is left alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from fake_openstack import PROJECT, FakeOpenStack

from seatrial.fixtures import clearing, retry_after, servers_at_once
from seatrial.fixtures.clearing import Clearing
from seatrial.fixtures.ledger import Ledger, Opened
from seatrial.fixtures.leftovers import found
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.quotas import make_room
from seatrial.fixtures.settings import load_profile
from seatrial.fixtures.tenant import Tenant
from seatrial.fixtures.tenant_session import Refused, Session

RUN = "20261121T140000Z-abcd"
MARKED = {"metadata": {"seatrial-run": RUN}}


@pytest.fixture
def cloud(monkeypatch):
    monkeypatch.setattr(clearing, "POLL", 0.05)
    monkeypatch.setattr(clearing, "ASK_AGAIN", 0.2)
    monkeypatch.setattr(clearing, "ANSWER_PATIENCE", 1.0)
    monkeypatch.setattr(retry_after, "LONGEST_S", 0.05)
    fake = FakeOpenStack()
    yield fake
    fake.close()


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / RUN / "ledger.jsonl", Opened(RUN, "fake", PROJECT))
    yield ledger
    ledger.close()


@pytest.fixture
def tenant(cloud, ledger):
    return Tenant(Session(cloud.login), ledger, clean_up_s=5.0)


def clear(tenant, patience=5.0):
    return Clearing(tenant.session, tenant.ledger, patience).clear(tenant.ledger.contents())


def test_the_ledger_has_a_name_before_the_cloud_does(cloud, tenant):
    seen = []

    def look(method, _path, _body):
        if method == "POST":
            seen.extend(tenant.ledger.contents().belongings)

    cloud.trouble = look
    tenant.made("server", tenant.name("a"))
    assert seen == [("server", f"seatrial-{RUN}-a")]


def test_a_token_that_ends_is_renewed_once_and_the_request_sent_again(cloud, tenant):
    cloud.valid.clear()
    made, _ = tenant.made("server", tenant.name("a"))
    assert made["id"] in cloud.servers
    assert (cloud.tokens, len(cloud.servers)) == (2, 1)


def test_credentials_that_stop_being_accepted_are_unavailable(cloud, tenant):
    cloud.valid.clear()
    cloud._token = lambda: (401, {}, {"error": {"message": "locked", "code": 401}})
    with pytest.raises(Unavailable, match="Keystone"):
        tenant.made("server", tenant.name("a"))


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_by_a_get_and_never_by_a_post(cloud, tenant, status):
    answers = iter([status, status])
    cloud.trouble = lambda method, _path, _body: (
        (next(answers, 0), {"Retry-After": "0.01"}, False) if method == "GET" and cloud.count("GET") < 3 else None
    )
    assert tenant.session.get("compute", "/servers").status == 200
    cloud.trouble = lambda method, _path, _body: (status, {}, False) if method == "POST" else None
    with pytest.raises(Refused, match=str(status)):
        tenant.made("server", tenant.name("a"))
    assert cloud.count("POST") == 1


def test_what_changes_while_a_slow_list_is_on_its_way_is_in_the_next_look(cloud, tenant, monkeypatch):
    monkeypatch.setattr(servers_at_once, "CHANGES_MARGIN", timedelta(seconds=1))
    wanted = msgspec.structs.replace(load_profile("lab").acceptance, servers=2, poll_s=0.01, creates_at_once=1)
    asked = []

    def slow(method, path, _body):
        if method == "GET" and "/servers/detail" in path:
            asked.append((datetime.now(UTC), parse_qs(urlsplit(path).query)))
            time.sleep(2.5 if len(asked) == 1 else 0)
            for server in cloud.servers.values():
                server["status"] = "BUILD" if len(asked) == 1 else "ACTIVE"

    cloud.trouble = slow
    servers_at_once.Boots(tenant, wanted, SimpleNamespace(body={})).run()
    (first, _), (_, filters), *_ = asked
    assert datetime.fromisoformat(filters["changes-since"][0]) <= first


def test_a_create_that_was_refused_leaves_nothing_to_wait_for(cloud, tenant):
    cloud.trouble = lambda method, _path, _body: (403, {}, False) if method == "POST" else None
    with pytest.raises(Refused):
        tenant.made("server", tenant.name("a"))
    assert tenant.ledger.contents().settled


def test_what_was_made_although_the_answer_was_an_error_is_found_and_taken_away(cloud, tenant):
    cloud.trouble = lambda method, path, _body: (504, {}, True) if method == "POST" and "servers" in path else None
    with pytest.raises(Refused):
        tenant.made("server", tenant.name("a"))
    assert len(cloud.servers) == 1
    assert clear(tenant) == []
    assert cloud.servers == {}


def test_a_server_that_ignores_its_deletion_is_asked_with_force(cloud, tenant):
    tenant.made("server", tenant.name("a"))
    cloud.trouble = lambda method, _path, _body: (204, {}, False) if method == "DELETE" else None
    assert clear(tenant) == []
    assert cloud.count("POST", "/action") == 1


def test_what_stays_is_told_with_the_reason_and_stays_in_the_ledger(cloud, tenant):
    tenant.made("network", tenant.name("a"))
    cloud.trouble = lambda method, _path, _body: (409, {}, False) if method == "DELETE" else None
    left = clear(tenant, patience=0.5)
    assert len(left) == 1
    assert "409 trouble" in left[0]
    assert not tenant.ledger.contents().settled


def test_somebody_elses_things_are_left_alone_whatever_their_names(cloud, tenant):
    ours, _ = tenant.made("server", tenant.name("a"))
    decoys = [{"name": ours["name"]}, {"name": "web", **MARKED}, {"name": f"seatrial-{RUN}-b"}]
    decoys.append({"name": f"seatrial-{RUN}-a", "metadata": {"seatrial-run": "20200101T000000Z-0000"}})
    for number, decoy in enumerate(decoys):
        cloud.servers[str(number)] = {"id": str(number), "status": "ACTIVE", **decoy}
    assert clear(tenant) == []
    assert sorted(cloud.servers) == ["0", "1", "2", "3"]
    assert found(tenant.session, "fake") == {}


def test_a_run_without_a_ledger_is_found_by_names_and_marks(cloud, tenant):
    tenant.made("server", tenant.name("a"))
    tenant.made("network", tenant.name("b"))
    cloud.networks["n"] = {"id": "n", "name": f"seatrial-{RUN}-c", "description": "", "project_id": PROJECT}
    runs = found(tenant.session, "fake", RUN)
    assert sorted(str(b).partition(" (")[0] for b in runs[RUN].belongings.values()) == [
        f"network seatrial-{RUN}-b",
        f"server seatrial-{RUN}-a",
    ]


def test_a_renamed_server_of_ours_is_taken_away_by_its_id(cloud, tenant):
    made, _ = tenant.made("server", tenant.name("a"))
    cloud.servers[made["id"]]["name"] = "renamed"
    assert clear(tenant) == []
    assert cloud.servers == {}


def test_a_quota_is_raised_as_far_as_needed_and_put_back(cloud, tenant):
    make_room(tenant.session, tenant.ledger, "compute", {"instances": 40, "cores": 10})
    assert cloud.quota == {"instances": 40, "cores": 20, "ram": 51200}
    assert clear(tenant) == []
    assert cloud.quota["instances"] == 10
    assert tenant.ledger.contents().settled


def test_a_quota_that_somebody_else_has_set_meanwhile_is_theirs(cloud, tenant):
    make_room(tenant.session, tenant.ledger, "compute", {"instances": 40, "cores": 60})
    cloud.quota["instances"] = 100
    assert clear(tenant) == []
    assert cloud.quota == {"instances": 100, "cores": 20, "ram": 51200}


def test_a_quota_that_cannot_be_raised_is_told(cloud, tenant):
    cloud.trouble = lambda method, _path, _body: (403, {}, False) if method == "PUT" else None
    with pytest.raises(Unavailable, match=r"instances 10, 40 needed.*cannot be raised"):
        make_room(tenant.session, tenant.ledger, "compute", {"instances": 40})


def test_a_missing_service_does_not_concern_the_cloud_and_a_missing_name_tells_the_nearest(cloud, tenant):
    with pytest.raises(NotConcerned, match="no block-storage service"):
        tenant.session.get("block-storage", "/volumes")
    cloud.networks["n"] = {"id": "n", "name": "private-1", "project_id": PROJECT}
    with pytest.raises(Unavailable, match=r"there is no network private \(the nearest: private-1\)"):
        tenant.find("network", "/networks", "networks", "private")


def test_a_service_that_nobody_answers_is_a_refusal_without_status(cloud, tenant):
    url = cloud.url
    cloud.close()
    with pytest.raises(Refused, match=f"no answer.*{url.rpartition(':')[2]}|no answer") as raised:
        tenant.session.get("compute", "/servers")
    assert raised.value.status == 0


def test_what_loads_a_cloud_is_not_run_unless_it_is_allowed(trial):
    run = trial.judge("--pyargs", "seatrial.suites", "--bundle", "um-cloud-after", "-m", "acceptance or memcached")
    assert "not asked for (--allow load): ACC-01" in run.text
    assert {entry["id"][:3] for entry in run.verdict["invariants"]} == {"MC-"}


def test_nothing_but_what_is_not_allowed_is_told_so(trial):
    run = trial.judge("--pyargs", "seatrial.suites", "--bundle", "um-cloud-after", "-m", "acceptance")
    assert run.status == 5
    assert "not asked for (--allow load): ACC-01" in run.text


def test_a_recorded_cloud_has_no_tenants(trial):
    options = ["--pyargs", "seatrial.suites", "--bundle", "um-cloud-after", "-m", "acceptance", "--allow", "load"]
    run = trial.judge(*options)
    assert {entry["outcome"] for entry in run.verdict["invariants"]} == {"not concerned"}
    assert not (trial.folder / "evidence").exists()
