"""OpenStack's APIs over real sockets: what Keystone, a service, an endpoint or the API server before them may do."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_kubernetes import KUBECONFIG

from seatrial.fixtures.live import Live
from seatrial.fixtures.question import Api, Endpoints, Objects, Unavailable
from seatrial.fixtures.settings import Cloud, OpenStackLogin
from seatrial.fixtures.target import connect

CLOUDS = """
clouds:
  one:
    auth: {auth_url: "%s/v3", username: u, password: sesame, project_name: p, user_domain_id: d, project_domain_id: d}
    region_name: R
"""
PROXY = "/api/v1/namespaces/openstack/services"
PROJECT = "0" * 32


class WholeCloud:
    """An API server, Keystone and the services behind it, that say what a test tells them to, by path."""

    def __init__(self):
        self.says = {
            "/version": [(200, {"gitVersion": "v1.35.4"})],
            "/api/v1/secrets": [(200, {"kind": "SecretList", "items": []})],
            "/compute/v2.1/": [(200, {"version": {"id": "v2.1", "version": "2.104", "min_version": "2.1"}})],
        }
        self.heard, self.tokens, self.valid = [], 0, set()
        self.password = "sesame"
        self.rescopes = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.log_in(self, body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.catalog = {"identity": f"{self.url}/v3", "compute": f"{self.url}/compute/v2.1"}
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, asked):
        path = asked.path.partition("?")[0]
        self.heard.append((asked.path, asked.headers))
        if path.removeprefix(f"{PROXY}/keystone-api:5000/proxy").rstrip("/") == "/v3":
            links = [{"rel": "self", "href": f"{self.url}/v3/"}]
            reply(asked, 200, {"version": {"id": "v3.14", "status": "stable", "links": links}})
        elif path.startswith("/compute/v2.1/s") and asked.headers["X-Auth-Token"] not in self.valid:
            reply(asked, 401, {"error": {"message": "no such token"}})
        else:
            replies = self.says.get(path, [(404, {"itemNotFound": {"message": "not found"}})])
            reply(asked, *((replies.pop(0) if len(replies) > 1 else replies[0]) or ()))

    def log_in(self, asked, body):
        self.heard.append((asked.path, asked.headers))
        identity = body["auth"]["identity"]
        if "token" in identity:
            known = self.rescopes and body["auth"]["scope"] == {"system": {"all": True}}
        else:
            known = identity["password"]["user"]["password"] == self.password
        if not known:
            reply(asked, 401, {"error": {"message": "The request you have made requires authentication."}})
            return
        self.tokens += 1
        self.valid.add(f"token-{self.tokens}")
        services = [
            {
                "type": kind,
                "name": kind,
                "endpoints": [{"interface": "public", "region": "R", "region_id": "R", "url": u}],
            }
            for kind, u in self.catalog.items()
        ]
        known = {
            "methods": ["password"],
            "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "D"}},
            "project": {"id": PROJECT, "name": "p", "domain": {"id": "d", "name": "D"}},
            "roles": [],
            "catalog": services,
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
        }
        reply(asked, 201, {"token": known}, ("X-Subject-Token", f"token-{self.tokens}"))


def reply(asked, status=None, body=None, *headers):
    if status is None:
        asked.close_connection = True
        return
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with contextlib.suppress(ConnectionError):
        asked.send_response(status)
        for name, value in headers:
            asked.send_header(name, value)
        asked.send_header("Content-Length", str(len(body)))
        asked.end_headers()
        asked.wfile.write(body)


@pytest.fixture
def cloud():
    one = WholeCloud()
    yield one
    one.http.shutdown()
    one.http.server_close()


def reading(cloud, folder, openstack=None):
    (folder / "kubeconfig").write_text(KUBECONFIG % cloud.url)
    (folder / "clouds.yaml").write_text(CLOUDS % cloud.url)
    client, context = connect(str(folder / "kubeconfig"), "")
    named = OpenStackLogin(clouds_yaml=str(folder / "clouds.yaml"), cloud="one")
    return Live(Cloud(openstack=openstack or named), client, context)


@pytest.fixture
def live(cloud, tmp_path):
    with contextlib.closing(reading(cloud, tmp_path)) as source:
        yield source


SERVERS = Api("compute", "/servers", "2.73")


def test_all_pages_become_one_answer_with_one_token(cloud, live):
    following = {"rel": "next", "href": "http://elsewhere/v2.1/servers?marker=1"}
    cloud.says["/compute/v2.1/servers"] = [
        (200, {"servers": [{"id": "1"}], "servers_links": [following]}),
        (200, {"servers": [{"id": "2"}]}),
    ]
    assert json.loads(live.one(SERVERS).body) == {"servers": [{"id": "1"}, {"id": "2"}]}
    assert [path for path, _ in cloud.heard if "/servers" in path][-1] == "/compute/v2.1/servers?marker=1"
    assert cloud.tokens == 1


@pytest.mark.parametrize(("newest", "asked"), [("2.104", "compute 2.73"), ("2.60", "compute 2.60")])
def test_a_microversion_is_the_newest_that_both_know(cloud, live, newest, asked):
    cloud.says["/compute/v2.1/"] = [(200, {"version": {"id": "v2.1", "version": newest, "min_version": "2.1"}})]
    cloud.says["/compute/v2.1/servers"] = [(200, {"servers": []})]
    live.one(SERVERS)
    assert cloud.heard[-1][1]["OpenStack-API-Version"] == asked


def test_a_token_that_ends_is_renewed_once(cloud, live):
    cloud.says["/compute/v2.1/servers"] = [(200, {"servers": []})]
    cloud.says["/compute/v2.1/services"] = [(200, {"services": []})]
    live.one(SERVERS)
    cloud.valid.clear()
    assert live.one(Api("compute", "/services")).body
    assert cloud.tokens == 2


def test_wrong_credentials_are_told_and_tried_once(cloud, live):
    cloud.password = "changed"
    for path in ("/servers", "/services", "/flavors"):
        with pytest.raises(Unavailable, match=r"cloud one of clouds\.yaml.*the credentials are not accepted"):
            live.one(Api("compute", path))
    assert len([path for path, _ in cloud.heard if path.endswith("/auth/tokens")]) == 1


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (
            (403, {"forbidden": {"message": "Policy doesn't allow it"}}),
            "takes the admin role.: Policy doesn't allow it",
        ),
        ((500, {"computeFault": {"message": "DBError"}}), "status 500: DBError"),
        ((503, b"<html><h1>Service Unavailable</h1></html>"), "nobody behind it: Service Unavailable"),
        ((200, b'{"servers": [{"id": "1'), "half an answer"),
        ((200, b"[]"), "not an object"),
        ((200, {"servers": [], "truncated": True}), "cut off by the service"),
        ((200, {"servers": [], "servers_links": [{"rel": "next", "href": "?marker=1"}]}), "turn in a circle"),
    ],
)
def test_what_is_no_whole_list_is_unavailable(cloud, live, said, complaint):
    cloud.says["/compute/v2.1/servers"] = [said]
    with pytest.raises(Unavailable, match=complaint):
        live.one(SERVERS)


def test_an_answer_that_breaks_off_is_unavailable(cloud, live):
    cloud.says["/compute/v2.1/servers"] = [(200, b'{"servers": []}', ("Content-Length", "100"))]
    with pytest.raises(Unavailable, match="compute API, GET /servers"):
        live.one(SERVERS)


def test_a_busy_service_is_obeyed_and_counted(cloud, live):
    busy = (503, {"message": "later"}, ("Retry-After", "1"))
    cloud.says["/compute/v2.1/servers"] = [busy, (200, {"servers": []})]
    before = time.monotonic()
    assert live.one(SERVERS).body
    assert live.retries == 1
    assert time.monotonic() - before >= 1


def test_a_connection_that_a_server_ended_is_made_anew(cloud, live):
    cloud.says["/compute/v2.1/servers"] = [None, (200, {"servers": []})]
    assert live.one(SERVERS).body
    assert live.retries == 1


def test_a_server_that_ends_every_connection_is_told(cloud, live):
    cloud.says["/compute/v2.1/servers"] = [None]
    with pytest.raises(Unavailable, match="Remote end closed connection without response"):
        live.one(SERVERS)


def test_no_answer_in_time_is_told_with_the_time(cloud, live):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cloud.catalog["compute"] = f"http://127.0.0.1:{silent.getsockname()[1]}/v2.1"
        (answer,) = live.ask(Api("compute", "/servers", timeout=0.5))
    assert answer.error == "compute API, GET /servers: no answer within 0.5 s"
    assert answer.seconds >= 0.5


def test_a_dead_endpoint_is_told(cloud, live):
    cloud.catalog["compute"] = "http://127.0.0.1:1/v2.1"
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1: Connection refused"):
        live.one(SERVERS)


def test_a_service_that_is_not_in_the_catalogue_gives_no_answer(live):
    assert live.ask(Api("baremetal", "/nodes")) == ()


def test_volumes_have_a_service_by_its_older_name(cloud, live):
    cloud.catalog["volumev3"] = f"{cloud.url}/volume/v3/{PROJECT}"
    cloud.says[f"/volume/v3/{PROJECT}/volumes"] = [(200, {"volumes": []})]
    assert live.one(Api("block-storage", "/volumes")).body


def test_of_each_item_there_is_one_answer_and_none_of_those_that_went_meanwhile(cloud, live):
    every = Api("compute", "/things")
    cloud.says["/compute/v2.1/things"] = [(200, {"things": [{"id": "a"}, {"uuid": "b"}]})]
    cloud.says["/compute/v2.1/things/b"] = [(200, {"thing": 1})]
    answers = live.ask(Api("compute", "/things/{id}", each=every))
    assert [answer.speaker for answer in answers] == ["b"]


def test_no_credentials_and_no_keystone_are_no_openstack(cloud, tmp_path):
    with contextlib.closing(reading(cloud, tmp_path, OpenStackLogin())) as live:
        assert live.ask(SERVERS) == ()
        assert live.ask(Endpoints()) == ()


@pytest.mark.parametrize(
    ("clouds", "complaint"),
    [
        ("clouds: {two: {}}", r"no such cloud \(it has: two\)"),
        ("clouds: {one: {auth: {auth_url: 'http://x'}, auth_type: nonsense}}", "nonsense"),
        ("clouds: [", "not YAML"),
        ("3", "it has no clouds"),
        (None, "No such file"),
    ],
)
def test_a_wrong_clouds_yaml_is_told(cloud, tmp_path, clouds, complaint):
    with contextlib.closing(reading(cloud, tmp_path)) as live:
        path = tmp_path / "clouds.yaml"
        path.unlink() if clouds is None else path.write_text(clouds)
        with pytest.raises(Unavailable, match=f"OpenStack cloud one.*{complaint}"):
            live.one(SERVERS)


def secret(url):
    told = {
        "OS_AUTH_URL": url,
        "OS_USERNAME": "admin",
        "OS_PASSWORD": "sesame",
        "OS_USER_DOMAIN_NAME": "default",
        "OS_PROJECT_NAME": "admin",
        "OS_PROJECT_DOMAIN_NAME": "default",
        "OS_REGION_NAME": "R",
        "OS_INTERFACE": "internal",
    }
    data = {name: base64.b64encode(value.encode()).decode() for name, value in told.items()}
    return {"metadata": {"name": "keystone-keystone-admin", "namespace": "openstack"}, "data": data}


IN_CLUSTER = "http://keystone-api.openstack.svc.cluster.local:5000/v3"


@pytest.fixture
def inside(cloud, tmp_path):
    """A cloud of which nothing but a kubeconfig is known."""
    cloud.says["/api/v1/secrets"] = [(200, {"kind": "SecretList", "items": [secret(IN_CLUSTER)]})]
    cloud.catalog["compute"] = "http://nova-api.openstack.svc.cluster.local:8774/v2.1"
    with contextlib.closing(reading(cloud, tmp_path, OpenStackLogin())) as source:
        yield source


def test_with_a_kubeconfig_alone_keystones_admin_asks_through_the_api_server(cloud, inside):
    cloud.says[f"{PROXY}/nova-api:8774/proxy/v2.1/servers"] = [(200, {"servers": []})]
    assert inside.one(Api("compute", "/servers?all_tenants=1")).body
    (login,) = [path for path, _ in cloud.heard if path.endswith("/auth/tokens")]
    assert login == f"{PROXY}/keystone-api:5000/proxy/v3/auth/tokens"
    path, headers = cloud.heard[-1]
    assert path == f"{PROXY}/nova-api:8774/proxy/v2.1/servers?all_tenants=1"
    assert (headers["Authorization"], headers["X-Auth-Token"]) == ("Bearer sesame", "token-1")


def test_what_the_api_server_refuses_is_its_refusal(cloud, inside):
    refused = {"kind": "Status", "apiVersion": "v1", "message": 'cannot get resource "services/proxy"', "code": 403}
    cloud.says[f"{PROXY}/nova-api:8774/proxy/v2.1/servers"] = [(403, refused)]
    with pytest.raises(Unavailable, match=r"docs/clusterrole\.yaml grants what a trial reads: cannot get"):
        inside.one(Api("compute", "/servers"))


@pytest.mark.parametrize("rescopes", [True, False])
def test_bare_metal_is_asked_for_the_whole_system_where_a_project_is_refused(cloud, live, rescopes):
    cloud.rescopes = rescopes
    cloud.catalog["baremetal"] = f"{cloud.url}/baremetal"
    cloud.says["/baremetal/v1/conductors"] = [(403, {"faultstring": "Access was denied"}), (200, {"conductors": []})]
    if rescopes:
        assert json.loads(live.one(Api("baremetal", "/conductors")).body) == {"conductors": []}
        assert cloud.heard[-1][1]["X-Auth-Token"] == "token-2"
    else:
        with pytest.raises(Unavailable, match="403, this user may not"):
            live.one(Api("baremetal", "/conductors"))


def certificate(folder, name, days):
    """Write a certificate that signs itself, and return its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "tls.crt", folder / "tls.key"


@contextlib.contextmanager
def with_tls(cloud, folder, name, days):
    """Put TLS before an endpoint, and name it in the catalogue."""
    crt, key = certificate(folder, name, days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            reply(self, 200, {"versions": []})

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    cloud.catalog = {"compute": f"https://127.0.0.1:{server.server_port}/v2.1"}
    try:
        yield str(crt)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("name", "days", "known", "trouble"),
    [
        ("127.0.0.1", 50, True, ""),
        ("127.0.0.1", 50, False, "not trusted: self-signed certificate"),
        ("127.0.0.1", -1, True, "not trusted: certificate has expired"),
        ("127.0.0.2", 50, True, "not trusted: IP address mismatch"),
    ],
)
def test_an_endpoints_certificate_is_looked_at(cloud, tmp_path, name, days, known, trouble):
    with with_tls(cloud, tmp_path, name, days) as crt:
        named = OpenStackLogin(clouds_yaml=str(tmp_path / "clouds.yaml"), cloud="one", cacert=crt if known else "")
        with contextlib.closing(reading(cloud, tmp_path, named)) as live:
            told = json.loads(live.one(Endpoints()).body)
    ends = datetime.fromisoformat(told["ends"][0])
    assert trouble in told["distrust"]
    assert bool(told["distrust"]) == bool(trouble)
    assert told["trouble"] == ""
    assert told["status"] == (0 if trouble else 200)
    assert abs((ends - datetime.now(UTC)).days - days) <= 1


def test_every_endpoint_is_visited_whatever_becomes_of_the_others(cloud, live):
    cloud.catalog = {
        "compute": "http://127.0.0.1:1/v2.1",
        "network": f"{cloud.url}/network",
        "image": f"{cloud.url}/image/",
    }
    cloud.says["/network"] = [(200, {"versions": []})]
    cloud.says["/image"] = [(503, b"")]
    told = {(visit := json.loads(answer.body))["service"]: visit for answer in live.ask(Endpoints())}
    assert told["compute"]["trouble"] == "127.0.0.1:1: Connection refused"
    assert told["compute"]["reached"]
    assert told["network"]["status"] == 200
    assert told["image"]["status"] in {404, 503}


def test_a_list_is_asked_again_where_something_must_come_first(cloud, live):
    cloud.says["/compute/v2.1/servers"] = [(200, {"servers": []}), (200, {"servers": [{"id": "1"}]})]
    usage = Api("compute", "/usage", after=(SERVERS,))
    after = Api(SERVERS.service, SERVERS.path, SERVERS.microversion, after=(usage,))
    live.prefetch([after, usage, Objects("secrets"), SERVERS])
    assert json.loads(live.one(SERVERS).body) == {"servers": []}
    assert json.loads(live.one(after).body) == {"servers": [{"id": "1"}]}
    assert SERVERS.key != after.key
