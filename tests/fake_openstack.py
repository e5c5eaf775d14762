"""Keystone, servers, networks and quotas over real sockets, whose answers a test may spoil."""

from __future__ import annotations

import json
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from keystoneauth1.identity import v3

from seatrial.fixtures.openstack_login import Login

PROJECT = "0" * 32


class FakeOpenStack:
    """Holds what was made, counts what was asked, and does to a request what `trouble` says."""

    def __init__(self):
        self.servers, self.networks, self.asked = {}, {}, []
        self.quota = {"instances": 10, "cores": 20, "ram": 51200}
        self.tokens, self.valid = 0, set()
        self.trouble = lambda *_: None
        """Of method, path and body: None, or a status, its headers, and whether the request is done all the same."""
        self.lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                status, headers, document = fake.handle(self.command, self.path, self.headers, body)
                payload = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(payload)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the library's names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    @property
    def login(self):
        auth = v3.Password(
            f"{self.url}/v3",
            username="u",
            password="p",
            user_domain_id="default",
            project_name="p",
            project_domain_id="default",
        )
        return Login(auth, "the fake", "public", None)

    def count(self, method, path=""):
        return len([asked for asked in self.asked if asked[0] == method and path in asked[1]])

    def handle(self, method, path, headers, body):
        with self.lock:
            if path.endswith("/auth/tokens"):
                known = headers.get("X-Subject-Token") in self.valid
                return self._token() if method == "POST" else (200 if known else 404, {}, {})
            if path.rstrip("/").endswith("/v3"):
                versions = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{self.url}/v3/"}]}
                return 200, {}, {"version": versions}
            self.asked.append((method, path))
            if headers.get("X-Auth-Token") not in self.valid:
                return 401, {}, {"error": {"message": "no such token"}}
            trouble = self.trouble(method, path, body)
            if trouble and not trouble[2]:
                return trouble[0], trouble[1], {"error": {"message": "trouble"}}
            answer = self._service(method, path, body)
            return (trouble[0], trouble[1], {"error": {"message": "trouble"}}) if trouble else answer

    def _token(self):
        self.tokens += 1
        token = f"token-{self.tokens}"
        self.valid.add(token)
        endpoints = {"compute": f"{self.url}/compute/v2.1", "network": f"{self.url}/network"}
        catalog = [
            {"type": kind, "name": kind, "endpoints": [{"interface": "public", "region": "R", "url": url}]}
            for kind, url in endpoints.items()
        ]
        user = {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}}
        project = {"id": PROJECT, "name": "p", "domain": {"id": "default", "name": "Default"}}
        known = {"methods": ["password"], "user": user, "project": project, "catalog": catalog, "roles": []}
        times = {"expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z"}
        return 201, {"X-Subject-Token": token}, {"token": {**known, **times}}

    def _service(self, method, path, body):
        path, _, _query = path.partition("?")
        if "/os-quota-sets/" in path:
            if method == "PUT":
                self.quota |= {name: limit for name, limit in body["quota_set"].items() if name != "force"}
            if path.endswith("/detail"):
                in_use = {"in_use": 0, "reserved": 0}
                return 200, {}, {"quota_set": {name: {"limit": limit, **in_use} for name, limit in self.quota.items()}}
            return 200, {}, {"quota_set": self.quota}
        things, key, keys = (
            (self.servers, "server", "servers") if "/compute/" in path else (self.networks, "network", "networks")
        )
        if path.endswith("/ports"):
            return 200, {}, {"ports": []}
        found = re.search(rf"/{keys}/([0-9a-f-]{{36}})(/action)?$", path)
        if method == "POST" and not found:
            id_ = str(uuid.uuid4())
            things[id_] = {"id": id_, "status": "ACTIVE", "project_id": PROJECT, **body[key]}
            return 202, {}, {key: things[id_]}
        if found and method in {"DELETE", "POST"}:
            return (204, {}, None) if things.pop(found[1], None) else (404, {}, {"error": {"message": "no such"}})
        listed = path.removesuffix("/detail").rpartition("/")[2].replace("os-keypairs", "keypairs").replace("-", "_")
        return 200, {}, {listed: list(things.values()) if listed == keys else []}
