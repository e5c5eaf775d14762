"""Live migrations over real sockets: how long they took, why they failed, and for how long a server was away."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from types import SimpleNamespace

import msgspec
import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes
from fake_openstack import PROJECT, FakeOpenStack

from seatrial.fixtures import clearing
from seatrial.fixtures.ledger import Ledger, Opened
from seatrial.fixtures.live_migrations import LiveMigrations
from seatrial.fixtures.load.reachability import Downtime, Reachability
from seatrial.fixtures.migration_hosts import check_computes
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.settings import load_profile
from seatrial.fixtures.tenant import Tenant
from seatrial.fixtures.tenant_session import Session

RUN = "20261121T140000Z-abcd"
PROFILE = load_profile("lab")
WANTED = msgspec.structs.replace(
    PROFILE.live_migration, servers=2, within_s=5.0, total_p50_s=20.0, total_p95_s=20.0, answers_within_s=0.5
)
ACCEPTANCE = msgspec.structs.replace(PROFILE.acceptance, poll_s=0.05)
DEMAND = SimpleNamespace(body={})
ENDED = {"start_time": "2026-11-21T14:00:00.000000", "finish_time": "2026-11-21T14:00:02.000000"}


def compute(name, state="up", status="enabled", kind="QEMU"):
    return {
        "id": name,
        "hypervisor_hostname": name,
        "hypervisor_type": kind,
        "state": state,
        "status": status,
        "servers": [],
    }


class Computes(FakeOpenStack):
    """Nova with computes, which migrates a server live as `moves` says: (seconds, destination, what went wrong)."""

    def __init__(self):
        super().__init__()
        self.computes = [compute("c1"), compute("c2"), compute("c3")]
        self.address, self.port = "127.0.0.1", 0
        self.moves = lambda _server: (0.1, "c2", "")
        self.on_move = lambda _server, _seconds: None
        self.records, self.under_way, self.requests = {}, [], 0
        self.before_boot = "c1"

    def handle(self, method, path, headers, body):
        status, given, document = super().handle(method, path, headers, body)
        if path.endswith("/action"):
            given = {**given, "x-openstack-request-id": f"req-{self.requests}"}
        return status, given, document

    def _service(self, method, path, body):  # noqa: PLR0911 - an answer each
        bare = path.partition("?")[0]
        if bare.endswith(("/compute/v2.1/", "/compute/v2.1")):
            return 200, {}, {"version": {"version": "2.96", "min_version": "2.1", "status": "CURRENT", "id": "v2.1"}}
        if bare.endswith("/os-hypervisors/detail"):
            return 200, {}, {"hypervisors": self.computes}
        if bare.endswith("/os-migrations"):
            for server in self.servers.values():
                self.advance(server)
            asked = path.partition("instance_uuid=")[2].partition("&")[0]
            return (
                200,
                {},
                {"migrations": [record for id_, record in self.records.items() if not asked or id_ == asked]},
            )
        if bare.endswith("/migrations"):
            return 200, {}, {"migrations": self.under_way}
        if "/os-instance-actions/" in bare:
            return 200, {}, {"instanceAction": {"events": self.events(bare.split("/")[-3])}}
        if body and "os-migrateLive" in body:
            return self.begin(self.servers[bare.split("/")[-2]])
        status, headers, document = super()._service(method, path, body)
        if method == "POST" and bare.endswith("/servers"):
            server = document["server"]
            server |= {"OS-EXT-SRV-ATTR:host": self.before_boot, "OS-EXT-STS:task_state": None}
            server["addresses"] = {"net": [{"addr": self.address, "version": 4}]}
        if method == "GET" and (found := self.servers.get(bare.rpartition("/")[2])):
            self.advance(found)
            return 200, {}, {"server": found}
        return status, headers, document

    def begin(self, server):
        self.requests += 1
        seconds, destination, wrong = self.moves(server)
        server |= {"status": "MIGRATING", "OS-EXT-STS:task_state": "migrating"}
        server["then"] = (time.monotonic() + seconds, destination, wrong)
        self.records[server["id"]] = {"id": self.requests, "status": "running", "created_at": "2026", "wrong": wrong}
        self.on_move(server, seconds)
        return 202, {}, None

    def advance(self, server):
        at, destination, wrong = server.get("then") or (float("inf"), "", "")
        if time.monotonic() < at:
            return
        server |= {"status": "ACTIVE", "OS-EXT-STS:task_state": None}
        late = wrong == "SLOW" and time.monotonic() < at + 1.0
        self.records[server["id"]]["status"] = (
            "post-migrating" if late else "error" if wrong not in {"", "SLOW"} else "completed"
        )
        if wrong == "ERROR":
            server |= {"status": "ERROR", "fault": {"message": "libvirt lost it"}}
        elif wrong in {"", "POST", "SLOW"}:
            server["OS-EXT-SRV-ATTR:host"] = destination

    def events(self, id_):
        wrong = self.records[id_]["wrong"]
        failed = {
            "event": "conductor_live_migrate_instance",
            "result": "Error",
            "details": wrong,
            "host": "k1",
            **ENDED,
        }
        return [failed] if wrong else [{"event": "compute_live_migration", "result": "Success", "host": "c1", **ENDED}]


@pytest.fixture
def cloud(monkeypatch):
    monkeypatch.setattr(clearing, "POLL", 0.05)
    fake = Computes()
    yield fake
    fake.close()


@pytest.fixture
def tenant(cloud, tmp_path):
    ledger = Ledger(tmp_path / RUN / "ledger.jsonl", Opened(RUN, "fake", PROJECT))
    yield Tenant(Session(cloud.login), ledger, clean_up_s=5.0)
    ledger.close()


def migrated(tenant, **wanted):
    trial = LiveMigrations(tenant, msgspec.structs.replace(WANTED, **wanted), ACCEPTANCE, "move-")
    assert check_computes(tenant.session) == ""
    trial.build(DEMAND)
    if trial.wanted.port:
        trial.find_addresses()
    trial.run()
    return trial


def test_servers_that_migrate_are_told_with_their_times_and_no_downtime_is_made_up(cloud, tenant, tmp_path):
    trial = migrated(tenant)
    assert trial.over_budget == []
    figures = trial.figures()
    assert (figures["servers"], figures["migrated"]) == (2, 2)
    assert 0.1 <= figures["total_p50_s"] <= figures["total_max_s"]
    assert not any("downtime" in name for name in figures)
    assert [(move.source, move.destination, move.request) for move in trial.moves] == [
        ("c1", "c2", "req-1"),
        ("c1", "c2", "req-2"),
    ]
    assert trial.moves[0].steps == [("compute_live_migration", "c1", 2.0)]
    trial.keep(tmp_path / "kept.json")
    assert '"downtime_ms": null' in (tmp_path / "kept.json").read_text()
    tenant.clear("move-")
    assert cloud.servers == {}


def test_one_after_the_other_or_side_by_side_as_the_profile_says(cloud, tenant):
    under_way, most = set(), []

    def moves(server):
        under_way.add(server["id"])
        most.append(sum(cloud.servers[id_]["status"] == "MIGRATING" for id_ in under_way) + 1)
        return 0.3, "c2", ""

    cloud.moves = moves
    migrated(tenant, servers=3)
    assert most == [1, 1, 1]
    most.clear()
    under_way.clear()
    migrated(tenant, servers=3, at_once=3)
    assert max(most) == 3


def test_a_slow_migration_is_over_its_percentiles(cloud, tenant):
    slow = iter([0.05, 3.0])
    cloud.moves = lambda _: (next(slow), "c3", "")
    over = migrated(tenant, total_p95_s=2.5).over_budget
    assert len(over) == 1
    assert over[0].startswith("live migration: p95 took 3")
    assert "more than 2.5 s (the slowest from c1 to c3: 3" in over[0]


def test_a_migration_that_fails_is_told_with_the_step_and_what_nova_says_of_it(cloud, tenant):
    cloud.moves = lambda server: (0.05, "c2", "No valid host was found." if server["name"].endswith("1") else "")
    trial = migrated(tenant)
    why = "conductor_live_migrate_instance on k1: No valid host was found."
    assert trial.over_budget == [
        f"server seatrial-{RUN}-move-001: from c1: the migration ended as error; {why} (req-1)"
    ]
    assert trial.figures()["migrated"] == 1


def test_a_server_that_does_not_survive_is_told_with_its_fault(cloud, tenant):
    cloud.moves = lambda _: (0.05, "c2", "ERROR")
    assert all("ERROR: libvirt lost it" in line for line in migrated(tenant).over_budget)


def test_a_migration_that_fails_when_the_server_has_gone_is_told_and_counts_as_none(cloud, tenant):
    cloud.moves = lambda _: (0.05, "c2", "POST")
    trial = migrated(tenant, servers=1)
    assert "from c1 to c2: it is on its new host, but the migration ended as error" in trial.over_budget[0]
    assert trial.figures()["migrated"] == 0


def test_a_server_is_left_alone_until_its_old_host_has_let_go_of_it_and_that_is_not_its_time(cloud, tenant):
    cloud.moves = lambda _: (0.05, "c2", "SLOW")
    trial = migrated(tenant, servers=1)
    assert trial.over_budget == []
    assert [record["status"] for record in cloud.records.values()] == ["completed"]


def test_a_migration_that_never_ends_is_told_with_how_far_it_is(cloud, tenant):
    cloud.moves = lambda _: (60.0, "c2", "")
    cloud.under_way = [{"status": "running", "memory_total_bytes": 512 << 20, "memory_remaining_bytes": 40 << 20}]
    over = migrated(tenant, servers=1, within_s=0.3).over_budget
    how_far = "running, 40 of 512 MiB of memory to go"
    assert over == [f"server seatrial-{RUN}-move-001: from c1: not on another host after 0.3 s: {how_far} (req-1)"]


def test_a_refused_migration_is_a_violation_and_a_forbidden_one_could_not_look(cloud, tenant):
    cloud.trouble = lambda _method, _path, body: (409, {}, False) if body and "os-migrateLive" in body else None
    assert all("409 trouble" in line for line in migrated(tenant).over_budget)
    cloud.trouble = lambda _method, _path, body: (403, {}, False) if body and "os-migrateLive" in body else None
    with pytest.raises(Unavailable, match=r"this user may not migrate servers live: POST compute .*403 trouble"):
        migrated(tenant)


def test_a_nova_that_stops_answering_leaves_a_migration_unread(cloud, tenant):
    begun = []
    cloud.on_move = lambda *_: begun.append(1)
    cloud.trouble = lambda method, _path, _b: (500, {}, False) if begun and method == "GET" else None
    with pytest.raises(Unavailable, match="move-001: GET compute"):
        assert migrated(tenant, servers=1, within_s=0.3).over_budget == []


def test_servers_that_are_not_built_are_not_the_migrations(cloud, tenant):
    cloud.trouble = lambda method, _path, _b: (500, {}, False) if method == "POST" else None
    with pytest.raises(Unavailable, match="that were to migrate were not built: POST compute /servers: 500"):
        migrated(tenant)


@pytest.mark.parametrize(
    ("computes", "why"),
    [
        ([compute("c1")], "one compute, c1: there is nowhere to migrate to"),
        ([compute("c1"), compute("i", kind="ironic")], "one compute, c1"),
        ([compute("i", kind="ironic")], "no compute but Ironic's"),
        ([], "no compute but Ironic's"),
    ],
)
def test_where_there_is_no_other_host_the_cloud_is_not_concerned(cloud, tenant, computes, why):
    cloud.computes = computes
    with pytest.raises(NotConcerned, match=why):
        check_computes(tenant.session)


def test_where_all_other_hosts_are_down_or_disabled_the_claim_is_violated(cloud, tenant):
    cloud.computes = [compute("c1"), compute("c2", state="down"), compute("c3", status="disabled")]
    trial = LiveMigrations(tenant, WANTED, ACCEPTANCE, "move-")
    trial.nowhere = check_computes(tenant.session)
    assert trial.over_budget == ["computes: 1 of 3 up and enabled (c1): no server can go"]
    assert trial.away_too_long == trial.over_budget


def test_who_is_no_administrator_hears_it_before_anything_is_made(cloud, tenant):
    cloud.trouble = lambda _method, path, _b: (403, {}, False) if "/os-migrations" in path else None
    with pytest.raises(Unavailable, match="this user may not migrate servers: an administrator may"):
        check_computes(tenant.session)
    assert cloud.count("POST") == 0


class Guest:
    """A server's sshd on loopback, which may be away."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()

    @staticmethod
    def _serve(listener):
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return

    def close(self):
        with contextlib.suppress(OSError):  # it is closed already
            self.listener.shutdown(socket.SHUT_RDWR)  # whoever waits in accept() would still take one
        self.listener.close()

    def away(self, seconds):
        """Let the port refuse everybody for so long."""
        self.close()
        time.sleep(seconds)
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()


@pytest.fixture
def guest():
    made = Guest()
    yield made
    made.close()


def test_a_downtime_is_seen_as_long_as_it_was(guest):
    watch = Reachability("127.0.0.1", guest.port)
    watch.start()
    time.sleep(0.3)
    guest.away(2.0)
    assert watch.wait(20.0)
    seen = watch.stop()
    assert 1.9 <= seen.longest_s <= 3.0 + seen.behind_s
    assert seen.answers


def test_a_server_that_stays_has_no_more_downtime_than_can_be_told(guest):
    watch = Reachability("127.0.0.1", guest.port)
    watch.start()
    assert watch.wait(5.0)
    seen = watch.stop()
    assert 0 < seen.longest_s <= 1.0 + seen.behind_s
    assert seen.taken > 3


def test_a_server_that_does_not_come_back_answers_no_more(guest):
    watch = Reachability("127.0.0.1", guest.port)
    watch.start()
    guest.close()
    assert not watch.wait(0.5)
    time.sleep(1.0)
    assert not watch.stop().answers


def test_a_server_that_is_away_too_long_while_it_migrates_is_told(cloud, tenant, guest):
    cloud.moves = lambda _: (1.0, "c2", "")
    cloud.on_move = lambda *_: threading.Thread(target=guest.away, args=(4.0,)).start()
    trial = migrated(tenant, servers=1, port=guest.port, downtime_p95_ms=400.0)
    over = trial.away_too_long
    assert len(over) == 1
    assert over[0].startswith("downtime: p95 ")
    assert over[0].endswith(" ms, more than 400 ms (the longest from c1 to c2)")
    assert trial.figures()["downtime_p95_ms"] >= 3900
    assert trial.over_budget == [], "how long it took is another claim's"


def test_a_short_downtime_holds_and_is_told_in_milliseconds(tenant, guest):
    trial = migrated(tenant, servers=1, port=guest.port, downtime_p95_ms=30000.0)
    assert trial.away_too_long == []
    assert trial.figures()["downtime_p50_ms"] > 0
    guest.close()
    trial.check_gone()


def test_somebody_else_who_answers_at_the_address_is_found_out_and_no_downtime_is_told(tenant, guest):
    trial = migrated(tenant, servers=1, port=guest.port, downtime_p95_ms=3000.0)
    with pytest.raises(
        Unavailable, match=r"127.0.0.1:\d+ answers although server \S+-move-001 is gone: it is somebody else"
    ):
        trial.check_gone()


def test_a_server_that_cannot_be_reached_leaves_its_downtime_unread(tenant, guest):
    guest.close()
    with pytest.raises(Unavailable, match=r"does not answer at 127.0.0.1:\d+ within 0.5 s: nobody can see from here"):
        migrated(tenant, servers=1, port=guest.port)


def test_a_machine_that_is_too_busy_cannot_tell_a_downtime(tenant):
    trial = LiveMigrations(tenant, WANTED, ACCEPTANCE, "move-")
    trial.moves[0].total_s, trial.moves[0].where = 1.0, "192.0.2.1:22"
    trial.moves[0].downtime = Downtime(longest_s=1.5, behind_s=1.4, taken=9, answers=True)
    with pytest.raises(Unavailable, match=r"this machine was 1\.4 s behind"):
        assert trial.away_too_long == []


def test_a_server_that_does_not_answer_from_its_new_host_is_told(tenant):
    trial = LiveMigrations(tenant, WANTED, ACCEPTANCE, "move-")
    move = trial.moves[0]
    move.total_s, move.where, move.source, move.destination = 1.0, "192.0.2.1:22", "c1", "c2"
    move.downtime = Downtime(longest_s=11.0, behind_s=0.0, taken=9, answers=False)
    assert trial.away_too_long == [f"server {move.name}: from c1 to c2: does not answer at 192.0.2.1:22"]
    assert "downtime_p50_ms" not in trial.figures()


CLOUDS = """
clouds:
  fake:
    auth:
      {auth_url: %s/v3, username: u, password: p, project_name: p, user_domain_id: default, project_domain_id: default}
    identity_api_version: 3
"""


class WholeCloud(Computes):
    """With an image, a flavor and a network, as the gate wants them."""

    def _token(self):
        status, headers, document = super()._token()
        image = {"interface": "public", "region": "R", "url": f"{self.url}/image"}
        placement = {**image, "url": f"{self.url}/placement"}
        document["token"]["catalog"] += [
            {"type": kind, "name": kind, "endpoints": [entry]}
            for kind, entry in (("image", image), ("placement", placement))
        ]
        return status, headers, document

    def _service(self, method, path, body):
        bare = path.partition("?")[0]
        known = {"id": str(uuid.UUID(int=1))}
        if "/image/" in bare and bare.endswith("/images"):
            return 200, {}, {"images": [{**known, "name": "cirros"}]}
        if bare.endswith("/flavors/detail"):
            return 200, {}, {"flavors": [{**known, "name": "m1.tiny", "vcpus": 1, "ram": 64, "disk": 0}]}
        if "/network/" in bare and bare.endswith("/networks"):
            return 200, {}, {"networks": [{**known, "name": "private"}]}
        if "/network/" in bare and "/quotas/" in bare:
            detail = {"port": {"limit": -1, "used": 0, "reserved": 0}}
            return 200, {}, {"quota": detail}
        if "/placement" in bare:
            return 403, {}, {"error": {"message": "no"}}
        return super()._service(method, path, body)


def test_the_gate_measures_migrations_and_says_why_it_has_no_downtime(trial, pytester):
    cloud = WholeCloud()
    api = FakeKubernetes()
    (pytester.path / "kubeconfig").write_text(KUBECONFIG % api.url)
    trial.write("clouds.yaml", CLOUDS % cloud.url)
    trial.write("seatrial.toml", '[clouds.x]\nkubeconfig = "kubeconfig"\n[clouds.x.openstack]\ncloud = "fake"\n')
    options = ("--cloud", "x", "--allow", "load", "-k", "migrate", "-m", "performance", "--no-history")
    try:
        run = trial.judge("--pyargs", "seatrial.suites", *options)
        left = dict(cloud.servers)
        cloud.moves = lambda _: (0.1, "c2", "no")
        failing = trial.judge("--pyargs", "seatrial.suites", *options)
    finally:
        cloud.close()
        api.close()
    assert run.outcome("LOAD-14") == "holds", run.text
    assert run.judged("LOAD-14")["measured"]["migrated"] == 3
    assert run.outcome("LOAD-16") == "not concerned"
    assert "no downtime is measured: Nova tells none" in run.judged("LOAD-16")["reason"]
    assert (run.status, left) == (0, {})
    assert (failing.status, failing.outcome("LOAD-14"), cloud.servers) == (1, "violated", {})
