"""An API server on loopback that keeps objects, their versions and their preconditions, and runs `exec` by a script.

No more of Kubernetes than what a mending run writes to: JSON patches with tests, merge patches, Leases, reviews of
rights, deletions with a uid, watches, and commands in pods by websocket.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from seatrial.fixtures.resources import PATHS

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {token: sesame}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLUSTER_WIDE = {"nodes", "persistentvolumes", "namespaces", "storageclasses", "clusterrolebindings"}


class FakeKubernetes:
    """Objects by their path. `runs` answers commands: from (pod, argv) to (stdout, exit status)."""

    def __init__(self):
        self.objects = {}
        self.told = {}
        """Answers to a GET that are no objects, by their path: what a node's kubelet says, for one."""
        self.version = 0
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.changes = []
        """What watches tell: each change with its version, the object's path, its type and the object."""
        self.busy = lambda _verb, _path: False
        """Whether a request is answered 429; `rejected` counts them, and `/metrics` tells of them."""
        self.rejected = 0
        self.failing = {}
        """By verb and path, as `GET /metrics`: the status and the body with which a request is answered."""
        self.asked = []
        self.refused = set()
        """Verbs and resources, as `patch nodes`, that reviews deny."""
        self.before_write = []
        """Functions that are called, once each, before a write is done: another client's doing."""
        self.after_write = []
        """Functions that are called after each write, with the verb and the path: what controllers do."""
        self.around_write = []
        """Functions that are called with the number of a write and whether it is done: what kills a client in it."""
        self.writes = 0
        self.commands = []
        self.logs = {}
        """What pods wrote, by their names; `any_log` is that of the others."""
        self.any_log = ""
        self.ports = {}
        """The ports of this machine that answer for pods, by the pod's name or by its port."""
        self.runs = lambda _pod, _argv: ("", 0)
        server = self

        class Handler(_Handler):
            cloud = server

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # a client that is killed resets its connection
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def put(self, kind, item):
        """Keep an object, as somebody else would write it."""
        with self.lock:
            self.version += 1
            metadata = item["metadata"]
            metadata.setdefault("uid", f"uid-{self.version}")
            metadata["resourceVersion"] = str(self.version)
            self.objects[self.path(kind, metadata)] = item
            self.tell("MODIFIED", self.path(kind, metadata), item)
            return item

    def tell(self, what, path, item):
        """Let watches hear of a change."""
        with self.changed:
            self.changes.append((self.version, path, what, copy.deepcopy(item)))
            self.changed.notify_all()

    def get(self, kind, name, namespace=""):
        return self.objects.get(self.path(kind, {"name": name, "namespace": namespace}))

    @staticmethod
    def path(kind, metadata):
        api = PATHS.get(kind) or "/apis/rbac.authorization.k8s.io/v1"
        space = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
        return f"{api}{space}/{kind}/{metadata['name']}"

    def node(self, name, *, cordoned=False, **labels):
        spec = {"unschedulable": True} if cordoned else {}
        conditions = [{"type": "Ready", "status": "True"}]
        return self.put(
            "nodes", {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"conditions": conditions}}
        )

    def pod(self, name, namespace="n", node="n1", containers=("c",), **labels):
        return self.put(
            "pods",
            {
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {"nodeName": node, "containers": [{"name": c} for c in containers]},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
            },
        )

    def written(self):
        """Return the verbs and resources of all writes but those of Leases and reviews."""
        own = ("leases", "selfsubjectaccessreviews")
        return [(verb, path) for verb, path in self.asked if verb != "GET" and not any(o in path for o in own)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: FakeKubernetes

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        path, query = parts.path, parse_qs(parts.query)
        if path.endswith("/exec"):
            self._exec(path, query)
            return
        if path.endswith("/portforward"):
            self._forward(path, int(query["ports"][0]))
            return
        self.cloud.asked.append(("GET", path))
        if self._busy("GET", path):
            return
        fixed = self._fixed(path)
        if fixed is not None:
            self._say(200, fixed)
            return
        if "watch" in query:
            self._watch(path, query)
        elif path == "/metrics":
            told = f'apiserver_request_total{{code="429",resource="pods",verb="POST"}} {self.cloud.rejected}\n'
            self._say(200, told)
        elif path == "/version":
            self._say(200, {"gitVersion": "v1.35.4", "major": "1", "minor": "35"})
        else:
            self._objects(path, query)

    def _objects(self, path, query):
        with self.cloud.lock:
            if path in self.cloud.objects:
                self._say(200, self.cloud.objects[path])
                return
            kind = path.rpartition("/")[2]
            if kind in PATHS:
                items = [
                    item
                    for key, item in sorted(self.cloud.objects.items())
                    if key.startswith(PATHS[kind])
                    and f"/{kind}/" in key
                    and (path == f"{PATHS[kind]}/{kind}" or key.startswith(f"{path}/"))
                    and _selected(item, query)
                ]
                version = {"resourceVersion": str(self.cloud.version)}
                self._say(200, {"kind": "List", "metadata": version, "items": items})
                return
        self._say(404, {"message": "not found"})

    def _fixed(self, path):
        """Return what is answered whatever objects there are."""
        if path.endswith("/log"):
            return self.cloud.logs.get(path.split("/")[-2], self.cloud.any_log)
        if path == "/version":
            return {"gitVersion": "v1.35.4", "major": "1", "minor": "35"}
        return self.cloud.told.get(path)

    def do_POST(self):
        self._around(done=False)
        self._post()
        self._around(done=True)

    def do_PATCH(self):
        self._around(done=False)
        self._patch()
        self._around(done=True)

    def do_DELETE(self):
        self._around(done=False)
        self._delete()
        self._around(done=True)

    def _busy(self, verb, path):
        if f"{verb} {path}" in self.cloud.failing:
            self._say(*self.cloud.failing[f"{verb} {path}"])
            return True
        if not self.cloud.busy(verb, path):
            return False
        self.cloud.rejected += 1
        self._say(429, {"message": "too many requests"}, ("Retry-After", "0.01"))
        return True

    def _watch(self, path, query):
        """Tell what has happened under a path since a version, and what happens, to the end of the connection."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        version, deadline, told = (
            int(query["resourceVersion"][0]),
            time.monotonic() + float(query["timeoutSeconds"][0]),
            0,
        )
        while time.monotonic() < deadline:
            with self.cloud.changed:
                if told == len(self.cloud.changes):
                    self.cloud.changed.wait(0.2)
                news, told = self.cloud.changes[told:], len(self.cloud.changes)
            lines = [
                json.dumps({"type": what, "object": item}) + "\n"
                for at, where, what, item in news
                if at > version and where.startswith(f"{path}/") and _selected(item, query)
            ]
            try:
                self._chunk("".join(lines).encode())
            except OSError:
                return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, said):
        if said:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(said), said))
            self.wfile.flush()

    def _around(self, *, done):
        if "leases" in self.path or "reviews" in self.path:
            return
        self.cloud.writes += not done
        for function in self.cloud.around_write:
            function(self.cloud.writes, done)

    def _post(self):
        body, (path, _, query) = self._body(), self.path.partition("?")
        self.cloud.asked.append(("POST", path))
        if self._busy("POST", path):
            return
        if "dryRun" in query:
            self._say(201, body)
            return
        if path.endswith("selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            allowed = f"{asked['verb']} {asked['resource']}" not in self.cloud.refused
            self._say(201, {**body, "status": {"allowed": allowed}})
            return
        with self.cloud.lock:
            key = f"{path}/{body['metadata']['name']}"
            if "/namespaces/" in path:
                body["metadata"]["namespace"] = path.split("/")[-2]
            if key in self.cloud.objects:
                self._say(409, {"message": "already exists"})
                return
            if "/namespaces/" in path:
                body["metadata"]["namespace"] = path.split("/")[-2]
            self._kept(key, body, 201)
        self._told("POST", path)

    def do_PUT(self):
        body, path = self._body(), self.path
        self.cloud.asked.append(("PUT", path))
        with self.cloud.lock:
            live = self.cloud.objects.get(path)
            if live is None or live["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
                self._say(409, {"message": "the object has been modified"})
                return
            self._kept(path, body)

    def _patch(self):
        body, path = self._body(), self.path
        self.cloud.asked.append(("PATCH", path))
        if self._busy("PATCH", path):
            return
        while self.cloud.before_write:
            self.cloud.before_write.pop(0)()
        with self.cloud.lock:
            live = copy.deepcopy(self.cloud.objects.get(path))
            if live is None:
                self._say(404, {"message": "not found"})
                return
            try:
                new = _patched(live, body) if "json-patch" in self.headers["Content-Type"] else _merged(live, body)
            except (KeyError, IndexError, ValueError) as error:
                self._say(422, {"message": str(error)})
                return
            self._kept(path, new)
        self._told("PATCH", path)

    def _delete(self):
        body, path = self._body(), self.path
        self.cloud.asked.append(("DELETE", path))
        if self._busy("DELETE", path):
            return
        with self.cloud.lock:
            live = self.cloud.objects.get(path)
            if live is None:
                self._say(404, {"message": "not found"})
                return
            uid = (body.get("preconditions") or {}).get("uid")
            if uid and uid != live["metadata"]["uid"]:
                self._say(409, {"message": "the UID in the precondition does not match"})
                return
            del self.cloud.objects[path]
            for inside in [key for key in self.cloud.objects if key.startswith(f"{path}/")]:
                del self.cloud.objects[inside]
            self._say(200, {})
        self._told("DELETE", path)

    def _told(self, verb, path):
        for function in self.cloud.after_write:
            function(verb, path)

    def _kept(self, path, item, status=200):
        self.cloud.version += 1
        item["metadata"].setdefault("uid", f"uid-{self.cloud.version}")
        item["metadata"]["resourceVersion"] = str(self.cloud.version)
        self.cloud.objects[path] = item
        self.cloud.tell("ADDED" if status == 201 else "MODIFIED", path, item)
        self._say(status, item)

    def _body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def _say(self, status, body, *headers):
        said = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        with contextlib.suppress(OSError):  # whoever asked was killed: what was written is written all the same
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

    def _exec(self, path, query):
        pod, argv = path.split("/")[-2], tuple(query["command"])
        self.cloud.commands.append((pod, argv))
        self._upgrade()
        given = self._heard() if query["stdin"] == ["true"] else b""
        out, status = self.cloud.runs(pod, argv, given) if given else self.cloud.runs(pod, argv)
        self._frame(b"\x01" + (out.encode() if isinstance(out, str) else out))
        causes = {"details": {"causes": [{"reason": "ExitCode", "message": str(status)}]}}
        ended = {"status": "Success"} if not status else {"status": "Failure", **causes}
        self._frame(b"\x03" + json.dumps(ended).encode())
        self._frame(b"\x03\xe8", opcode=8)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.recv(64)

    def _forward(self, path, port):
        """Carry bytes to a port of this machine, as the kubelet does: a channel for data, one for what went wrong."""
        if "create pods/portforward" in self.cloud.refused:
            self._say(403, {"message": "not allowed"})
            return
        target = self.cloud.ports.get(path.split("/")[-2]) or self.cloud.ports.get(port)
        if target is None:
            self._say(404, {"message": "no such port"})
            return
        self._upgrade()
        self.close_connection = True
        for channel in (b"\x00", b"\x01"):
            self._frame(channel + port.to_bytes(2, "little"))
        try:
            pod = socket.create_connection(("127.0.0.1", target), 5)
        except OSError as error:
            self._frame(b"\x01" + f"error forwarding port {port}: {error}".encode())
            return
        pod.settimeout(None)
        threading.Thread(target=self._carry_back, args=(pod,), daemon=True).start()
        with pod, contextlib.suppress(OSError, ValueError, AssertionError):
            while (given := self._heard()) is not None:
                pod.sendall(given)

    def _carry_back(self, pod):
        with contextlib.suppress(OSError):
            while data := pod.recv(1 << 16):
                self._frame(b"\x00" + data)
        with contextlib.suppress(OSError, ValueError):  # the client may have hung up
            self._frame(b"\x03\xe8", opcode=8)

    def _upgrade(self):
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + _MAGIC).digest())
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade")):
            self.send_header(name, value)
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()

    def _heard(self):
        """Return what the client sends in one frame, without its channel; None where it is the end."""
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 0xF == 8:
            return None
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self.rfile.read(2 if length == 126 else 8), "big")
        mask = self.rfile.read(4)
        masked = self.rfile.read(length)
        pattern = (mask * (length // 4 + 1))[:length]
        plain = (int.from_bytes(masked, "big") ^ int.from_bytes(pattern, "big")).to_bytes(length, "big")
        assert plain[:1] == b"\x00", "not on the first channel"
        return plain[1:]

    def _frame(self, payload, opcode=2):
        length = len(payload)
        if length < 126:
            size = bytes([length])
        else:
            size = b"\x7e" + struct.pack(">H", length) if length < 1 << 16 else b"\x7f" + struct.pack(">Q", length)
        self.wfile.write(bytes([0x80 | opcode]) + size + payload)
        self.wfile.flush()


def _selected(item, query):
    """Whether a label selector selects an object: labels that are there, or have a value."""
    labels = item["metadata"].get("labels") or {}
    wanted = [part.partition("=") for part in query.get("labelSelector", [""])[0].split(",") if part]
    return all(label in labels and (not equals or labels[label] == value) for label, equals, value in wanted)


def _patched(item, operations):
    """Apply a JSON patch (RFC 6902): test, add, replace, remove."""
    for operation in operations:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in operation["path"].split("/")[1:]]
        parent = item
        for key in keys[:-1]:
            parent = parent[int(key)] if isinstance(parent, list) else parent[key]
        last = int(keys[-1]) if isinstance(parent, list) else keys[-1]
        if operation["op"] == "test":
            if parent[last] != operation["value"]:
                raise ValueError(f"testing value {operation['path']} failed")
        elif operation["op"] == "remove":
            del parent[last]
        elif operation["op"] == "replace" and not isinstance(parent, list) and last not in parent:
            raise KeyError(last)
        elif operation["op"] == "add" and isinstance(parent, list):
            parent.insert(last, operation["value"])
        else:
            parent[last] = operation["value"]
    return item


def _merged(item, patch):
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, dict):
            item[key] = _merged(item.get(key) or {}, value)
        else:
            item[key] = value
    return item
