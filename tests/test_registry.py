"""Registries are asked as everybody may ask them, and only a registry can say that an image is gone."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seatrial.fixtures.image_reference import Reference
from seatrial.fixtures.registry import manifest

MANIFEST = b'{"schemaVersion": 2}'


class Registry(BaseHTTPRequestHandler):
    def do_GET(self):
        host = f"http://{self.headers['Host']}"
        if self.path.startswith("/token"):
            assert "scope=repository%3Aa%2Fb%3Apull" in self.path
            self.answer(200, b'{"token": "everybody"}')
        elif "/private/" in self.path:
            self.answer(401, b"{}", challenge='Basic realm="us"')
        elif self.headers.get("Authorization") != "Bearer everybody":
            self.answer(401, b"{}", challenge=f'Bearer realm="{host}/token",service="here",scope="repository:a/b:pull"')
        elif self.path == "/v2/a/b/manifests/1":
            self.answer(200, MANIFEST)
        else:
            self.answer(404, json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN"}]}).encode())

    def answer(self, status, body, challenge=""):
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def registry():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"*": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    server.server_close()


def unasked(*_):
    raise AssertionError("the API server was asked")


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("memcached", ("docker.io", "library/memcached", "latest")),
        ("openstackhelm/nova:wallaby", ("docker.io", "openstackhelm/nova", "wallaby")),
        ("quay.io/airshipit/nova:1", ("quay.io", "airshipit/nova", "1")),
        ("host:5000/a/b@sha256:00", ("host:5000", "a/b", "sha256:00")),
    ],
)
def test_an_images_name_is_taken_apart(image, parts):
    assert Reference.parse(image) == Reference(*parts)


def test_an_anonymous_token_is_fetched_where_it_is_asked_for(registry):
    answer = manifest("quay.io/a/b:1", registry, unasked)
    assert (answer.body, answer.error, answer.speaker) == (MANIFEST, "", "quay.io/a/b:1")


def test_a_registry_says_that_an_image_is_gone(registry):
    assert manifest("quay.io/a/b:2", registry, unasked).error.endswith("status 404: MANIFEST_UNKNOWN")


def test_a_private_registry_is_said_to_refuse(registry):
    assert manifest("quay.io/private/b:1", registry, unasked).error.endswith("status 401")


def test_a_registry_that_is_not_there_is_told():
    nowhere = {"*": "http://127.0.0.1:9"}
    assert "refused" in manifest("quay.io/a/b:1", nowhere, unasked).error


def test_a_missing_service_is_no_word_of_a_registry():
    refusal = b'{"kind": "Status", "code": 404, "reason": "NotFound"}'
    answer = manifest("quay.io/a/b:1", {"*": "service:kube-system/registry:5000"}, lambda *_: (404, refusal))
    assert answer.error == "registry registry:5000: status 404"
