"""Browsers against a dashboard over real sockets: what is over budget, what is refused, and who is not let in."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures.live import Live
from seatrial.fixtures.load.browsers import Account, Dashboard, browsed
from seatrial.fixtures.load.dashboard import account_of, found
from seatrial.fixtures.measure_thresholds import Browsers
from seatrial.fixtures.openstack_login import Login
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.target import connect

WANTED = {"users": 6, "seconds": 0.6, "poll_s": 0.1, "rows": 2, "within_s": 60.0, "page_p95_s": 60.0, "row_p95_s": 60.0}
ANNA = Account("anna", "secret", "Default")
SERVER = "6e3c9a43-5a2a-4f0e-9e42-1b1d7ef41f5{}"


class Horizon:
    """Logs in by form, token and cookie as Django does, and serves one list; `trouble` answers before it does."""

    def __init__(self, rows=3):
        self.rows, self.sessions, self.asked = rows, set(), []
        self.trouble = lambda _path: None

        class Handler(_Handler):
            horizon = self

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    form = (
        '<form><input type="hidden" name="csrfmiddlewaretoken" value="masked"><select name="region">'
        '<option value="default" selected>R</option><option value="other">O</option></select>'
        '<input name="username"><input name="password"></form>'
    )

    @property
    def page(self):
        link = "/project/instances/?action=row_update&amp;table=instances&amp;obj_id="
        rows = (f'<tr class="ajax-update" data-update-url="{link}{SERVER.format(n)}">' for n in range(self.rows))
        return f"<table>{''.join(rows)}</table>"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    horizon: Horizon
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def say(self, status, page="", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(page.encode())), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(page.encode())

    def cookies(self):
        return dict(part.split("=", 1) for part in self.headers.get("Cookie", "").split("; ") if part)

    def do_GET(self):
        parts = urlsplit(self.path)
        self.horizon.asked.append(self.path)
        status = self.horizon.trouble(self.path)
        if status:
            self.say(status)
        elif parts.path == "/auth/login/":
            self.say(200, self.horizon.form, Set_Cookie="csrftoken=abc; Path=/; SameSite=Lax")
        elif parts.path == "/auth/logout/":
            self.horizon.sessions.discard(self.cookies().get("sessionid"))
            self.say(302, Location="/")
        elif self.cookies().get("sessionid") not in self.horizon.sessions:
            self.say(302, Location="/auth/login/?next=/project/instances/")
        elif "action=row_update" in parts.query:
            self.say(200 if parse_qs(parts.query)["obj_id"] else 400, "<tr></tr>")
        else:
            self.say(200, self.horizon.page)

    def do_POST(self):
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.horizon.asked.append(self.path)
        status = self.horizon.trouble(self.path)
        if status:
            self.say(status)
        elif self.cookies().get("csrftoken") != "abc" or body["csrfmiddlewaretoken"] != ["masked"]:
            self.say(403, "CSRF verification failed")
        elif (body["username"], body["password"], body["region"]) != (["anna"], ["secret"], ["default"]):
            self.say(200, self.horizon.form)
        else:
            session = f"s{len(self.horizon.asked)}"
            self.horizon.sessions.add(session)
            self.say(302, Location="/", Set_Cookie=f"sessionid={session}; HttpOnly; Path=/")


@pytest.fixture
def dashboard():
    made = Horizon()
    yield made
    made.close()


def test_users_who_are_served_are_measured_and_log_out_again(dashboard):
    load = browsed(Dashboard(dashboard.url), ANNA, Browsers(**WANTED))
    assert load.over_budget == []
    figures = load.figures()
    assert (figures["users"], figures["logins"]) == (6, 12)
    assert figures["pages"] >= 6
    assert figures["rows"] >= 2
    assert figures["pages_refused"] == figures["rows_refused"] == 0
    assert any(path.endswith(f"table=instances&obj_id={SERVER.format(1)}") for path in dashboard.asked)
    assert not any(SERVER.format(2) in path for path in dashboard.asked), "two rows of a page at most"
    assert dashboard.sessions == set()


def test_a_slow_page_is_over_budget_and_its_rows_are_not(dashboard):
    def slow(path):
        if path == "/project/instances/":
            time.sleep(0.3)

    dashboard.trouble = slow
    over = browsed(Dashboard(dashboard.url), ANNA, Browsers(**{**WANTED, "page_p95_s": 0.25})).over_budget
    assert [line.partition(": p95 took")[0] for line in over] == ["instances page"]


def test_slow_rows_are_over_budget(dashboard):
    dashboard.trouble = lambda path: time.sleep(0.2) if "row_update" in path else None
    over = browsed(Dashboard(dashboard.url), ANNA, Browsers(**{**WANTED, "row_p95_s": 0.15})).over_budget
    assert [line.partition(": p95 took")[0] for line in over] == ["instances row"]


def test_a_504_is_told_however_few_there_are(dashboard):
    seen = []

    def once(path):
        if "row_update" in path and not seen:
            seen.append(path)
            return 504
        return None

    dashboard.trouble = once
    over = browsed(Dashboard(dashboard.url), ANNA, Browsers(**WANTED)).over_budget
    assert over[-1].startswith("instances row: 1 of ")
    assert over[-1].endswith(" refused: status 504")


def test_a_page_that_never_comes_is_given_up_as_a_proxy_would(dashboard):
    dashboard.trouble = lambda path: time.sleep(1.5) if path == "/project/instances/" else None
    over = browsed(Dashboard(dashboard.url), ANNA, Browsers(**{**WANTED, "within_s": 0.3})).over_budget
    assert any("refused: no answer within 0.3 s" in line for line in over)


def test_a_session_that_is_lost_under_load_is_told(dashboard):
    def forget(path):
        if "row_update" in path:
            dashboard.sessions.clear()

    dashboard.trouble = forget
    over = browsed(Dashboard(dashboard.url), ANNA, Browsers(**WANTED)).over_budget
    assert any("sent to /auth/login/: the session has ended" in line for line in over)


@pytest.mark.parametrize(
    ("account", "form", "trouble", "why"),
    [
        (Account("anna", "wrong", "Default"), None, None, "user anna is not let in"),
        (ANNA, None, 503, "nobody can log in: status 503"),
        (ANNA, "<h1>Maintenance</h1>", None, "the login page has no form"),
    ],
)
def test_a_dashboard_that_lets_nobody_in_could_not_be_looked_at(dashboard, account, form, trouble, why):
    dashboard.form = form or dashboard.form
    dashboard.trouble = lambda _path: trouble
    with pytest.raises(Unavailable, match=why):
        browsed(Dashboard(dashboard.url), account, Browsers(**WANTED))


def test_the_dashboard_is_the_one_that_is_named_else_the_service_of_the_cluster(tmp_path):
    api = FakeKubernetes()
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG % api.url)
    source = Live(Cloud(), connect(str(path), "")[0], "c")
    target = SimpleNamespace(
        cloud=Cloud(dashboard="https://dash/horizon"), kubernetes=lambda: connect(str(path), "")[0]
    )
    login = Login(None, "the fake", "public", None)
    assert found(target, source, login).url == "https://dash/horizon/"
    target.cloud = Cloud()
    with pytest.raises(NotConcerned, match="no Horizon"):
        found(target, source, login)
    source.forget()
    labels = {"application": "horizon", "component": "server"}
    spec = {"selector": labels, "ports": [{"port": 80}]}
    api.put("services", {"metadata": {"name": "horizon-int", "namespace": "openstack"}, "spec": spec})
    there = found(target, source, login)
    assert there.url == f"{api.url}/api/v1/namespaces/openstack/services/horizon-int:80/proxy/"
    assert "sesame" in str(there.headers)
    assert "sesame" not in repr(there)
    source.close()
    api.close()


def test_a_login_without_a_password_cannot_fill_in_the_form():
    with pytest.raises(Unavailable, match="takes a user's name and password"):
        account_of(Login(None, "cloud x", "public", None, known={"application_credential_id": "1"}))
    known = {"username": "anna", "password": "secret", "user_domain_name": "Default"}
    assert account_of(Login(None, "cloud x", "public", None, known=known)) == ANNA
