"""A live source against real sockets: what an API server may do to its client."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fake_kubernetes import KUBECONFIG

from seatrial.fixtures.live import PATIENCE, Live
from seatrial.fixtures.question import Http, Kubelets, Logs, Objects, Pods, Raw, Unavailable
from seatrial.fixtures.settings import Cloud
from seatrial.fixtures.strict_toml import WrongSetting
from seatrial.fixtures.target import connect


class ApiServer:
    """An HTTP server on loopback that says what a test tells it to say, by path."""

    def __init__(self):
        self.says = {"/version": [(200, {"gitVersion": "v1.35.4"})]}
        self.heard = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                server.heard.append((self.path, self.headers))
                replies = server.says.get(path, [(404, {"message": "not found"})])
                status, body, *headers = replies.pop(0) if len(replies) > 1 else replies[0]
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def api():
    server = ApiServer()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def live(api, tmp_path):
    with contextlib.closing(reading(api.url, tmp_path)) as source:
        yield source


def reading(url, tmp_path, cloud=None):
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG % url)
    client, context = connect(str(path), "")
    return Live(cloud or Cloud(), client, context)


def pod(name):
    return {"metadata": {"name": name, "namespace": "n"}}


def test_a_list_is_read_page_by_page_with_the_kubeconfigs_token(api, live):
    api.says["/api/v1/pods"] = [
        (200, {"kind": "PodList", "metadata": {"continue": "more"}, "items": [pod("a")]}),
        (200, {"kind": "PodList", "metadata": {}, "items": [pod("b")]}),
    ]
    names = [item["metadata"]["name"] for item in json.loads(live.one(Objects("pods")).body)["items"]]
    asked = [path for path, _ in api.heard if path.startswith("/api/v1/pods")]
    assert names == ["a", "b"]
    assert asked == ["/api/v1/pods?limit=500&continue=", "/api/v1/pods?limit=500&continue=more"]
    assert api.heard[-1][1]["Authorization"] == "Bearer sesame"


def test_a_429_is_obeyed_and_counted(api, live):
    api.says["/metrics"] = [(429, {"message": "slow down"}, ("Retry-After", "1")), (200, b"up 1\n")]
    before = time.monotonic()
    assert live.one(Raw("/metrics")).text == "up 1\n"
    assert live.retries == 1
    assert time.monotonic() - before >= 1


def test_of_a_log_only_the_lines_in_question_are_kept_and_a_cut_is_told(api, live):
    running = {
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c"}]},
    }
    api.says["/api/v1/pods"] = [(200, {"kind": "PodList", "metadata": {}, "items": [running]})]
    api.says["/api/v1/namespaces/n/pods/p/log"] = [(200, b"1 INFO fine\n2 ERROR bad\n3 ERROR wor")]
    where = Pods("p", "a=b")
    (whole,) = live.ask(Logs(where, 60, lines="ERROR"))
    (cut,) = live.ask(Logs(where, 60, limit=35, lines="ERROR"))
    assert (whole.text, whole.cut) == ("2 ERROR bad\n3 ERROR wor", False)
    assert cut.text.startswith("2 ERROR bad\n(")
    assert cut.cut


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ((401, {"message": "Unauthorized"}), "the credentials are not accepted"),
        ((403, {"message": 'User "x" cannot list resource "pods"'}), "docs/clusterrole.yaml grants"),
        ((500, b"oops"), "status 500: oops"),
        ((200, b'{"kind": "PodList", "items": [{"metadata": {"na'), "half an answer"),
        ((200, b'{"kind": "Status"}'), "not a list"),
        ((200, b"<html>login</html>"), "half an answer"),
    ],
)
def test_what_is_no_list_is_unavailable(api, live, reply, complaint):
    api.says["/api/v1/pods"] = [reply]
    with pytest.raises(Unavailable, match=complaint):
        live.ask(Objects("pods"))


def test_an_answer_that_breaks_off_is_unavailable(api, live):
    api.says["/metrics"] = [(200, b"up 1\n", ("Content-Length", "100"))]
    with pytest.raises(Unavailable):
        live.ask(Raw("/metrics"))


def test_an_unreachable_api_is_waited_for_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        source = reading(url, tmp_path)
        for kind in ("pods", "nodes", "secrets"):
            with pytest.raises(Unavailable, match="Connection refused"):
                source.ask(Objects(kind))
        assert "Connection refused" in source._dead


def test_a_missing_service_is_told_by_name(api, live):
    api.says["/api/v1/services"] = [(200, {"kind": "ServiceList", "items": []})]
    with pytest.raises(Unavailable, match="no service called prometheus"):
        live.ask(Http(("prometheus:80",), "api/v1/targets"))


def test_one_silent_kubelet_does_not_hide_the_others(api, live):
    nodes = [{"metadata": {"name": name}} for name in ("k1", "k2")]
    api.says["/api/v1/nodes"] = [(200, {"kind": "NodeList", "items": nodes})]
    api.says["/api/v1/nodes/k1/proxy/healthz"] = [(200, b"ok")]
    api.says["/api/v1/nodes/k2/proxy/healthz"] = [(503, {"message": "no route"})]
    heard = {answer.speaker: answer for answer in live.ask(Kubelets("healthz"))}
    assert heard["k1"].text == "ok"
    assert "no route" in heard["k2"].error


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("[", "not a kubeconfig"), ("x: 1", "kubeconfig"), ("", "kubeconfig"), ("{contexts: 3}", "kubeconfig")],
)
def test_a_wrong_kubeconfig_is_a_usage_error(tmp_path, text, complaint):
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(WrongSetting, match=complaint):
        connect(str(path), "")


def gate(trial, *options):
    return trial.pytester.runpytest_subprocess(
        "-p", "seatrial", "-p", "no:cacheprovider", "--tb=no", "-q", "-rN", "--pyargs", "seatrial.suites", *options
    )


def test_no_kubeconfig_is_a_usage_error(trial, monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    run = gate(trial)
    assert run.ret == 4
    assert "no kubeconfig at" in run.stderr.str()


def test_a_wrong_context_is_a_usage_error(trial, tmp_path):
    (tmp_path / "k").write_text(KUBECONFIG % "http://127.0.0.1:1")
    run = gate(trial, "--kubeconfig", str(tmp_path / "k"), "--context", "prod")
    assert run.ret == 4
    assert "no context 'prod' (it has: c)" in run.stderr.str()


def test_a_user_without_rights_gets_one_reason_and_10(trial, tmp_path, api):
    (tmp_path / "k").write_text(KUBECONFIG % api.url)
    refused = (403, {"message": "forbidden"})
    api.says |= {f"/api/v1/{kind}": [refused] for kind in ("pods", "nodes")}
    run = gate(trial, "--kubeconfig", str(tmp_path / "k"), "-k", "every_pool")
    assert run.ret == 10
    assert "not allowed; docs/clusterrole.yaml grants what a trial reads: forbidden" in run.stdout.str()
    assert "Traceback" not in run.stdout.str()


def test_an_unreachable_api_ends_with_10_and_keeps_the_evidence(trial, tmp_path):
    (tmp_path / "k").write_text(KUBECONFIG % "http://127.0.0.1:1")
    run = gate(trial, "--kubeconfig", str(tmp_path / "k"), "--verdict", "v.json")
    assert run.ret == 10
    assert run.stdout.str().count("Connection refused") == 1
    verdict = json.loads((trial.folder / "v.json").read_text())
    assert {entry["outcome"] for entry in verdict["invariants"]} == {"undetermined"}
    assert list((trial.folder / "evidence").glob("*/manifest.json"))


def test_ctrl_c_does_not_wait_for_an_answer_that_never_comes(trial, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "k").write_text(KUBECONFIG % f"http://127.0.0.1:{silent.getsockname()[1]}")
        options = ["-k", "every_pool", "--kubeconfig", str(tmp_path / "k"), "--verdict", "v.json"]
        command = [sys.executable, "-m", "seatrial.command", "gate", *options]
        process = subprocess.Popen(command, cwd=trial.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        silent.accept()[0].recv(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE - 1)
    assert process.returncode == 2
    assert json.loads((trial.folder / "v.json").read_text())["counts"]["not judged"] > 0


def test_evidence_that_cannot_be_written_does_not_cost_the_verdict(trial, tmp_path, api):
    (tmp_path / "k").write_text(KUBECONFIG % api.url)
    (tmp_path / "file").write_text("in the way")
    run = gate(trial, "--kubeconfig", str(tmp_path / "k"), "--evidence", str(tmp_path / "file"))
    assert run.ret == 10
    assert "the evidence is not complete (Not a directory" in run.stdout.str()
