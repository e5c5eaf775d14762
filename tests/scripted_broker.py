"""A broker on loopback that does what no real one can be made to do on demand: refuse, lose, repeat, tear, fall silent.

It speaks as much of AMQP 0-9-1 as a load takes, with one queue in memory.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections import deque

from pika import frame, spec

CHANNEL = 1
FRAME_MAX = 131_072
PIECE = FRAME_MAX - 8


class Client:
    """One connection, as the broker sees it."""

    def __init__(self, broker, sock):
        self.broker, self.sock = broker, sock
        self.lock = threading.RLock()
        self.published = 0
        self.delivered = 0
        self.consumes = False
        self.acknowledges = False
        self.held = deque()
        self.inbox = b""

    def send(self, *methods, channel=CHANNEL):
        self.raw(b"".join(frame.Method(channel, method).marshal() for method in methods))

    def raw(self, data):
        with self.lock, contextlib.suppress(OSError):
            self.sock.sendall(data)

    def deliver(self, body, *, again=False, before_body=b""):
        self.delivered += 1
        if self.acknowledges:
            self.held.append((self.delivered, body))
        method = spec.Basic.Deliver("c", self.delivered, again, "", "q")
        self.broker.write(
            self,
            frame.Method(CHANNEL, method).marshal()
            + frame.Header(CHANNEL, len(body), spec.BasicProperties(delivery_mode=1)).marshal()
            + b"".join(
                before_body + frame.Body(CHANNEL, body[at : at + PIECE]).marshal() for at in range(0, len(body), PIECE)
            ),
        )

    def ack(self, tag, *, multiple=False):
        self.send(spec.Basic.Ack(tag, multiple))

    def nack(self, tag, *, multiple=False):
        self.send(spec.Basic.Nack(tag, multiple))

    def give_back(self, body):
        self.raw(
            frame.Method(CHANNEL, spec.Basic.Return(312, "NO_ROUTE", "", "q")).marshal()
            + frame.Header(CHANNEL, len(body), spec.BasicProperties()).marshal()
            + frame.Body(CHANNEL, body).marshal()
        )

    def hang_up(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def serve(self):
        with contextlib.suppress(OSError, ConnectionError):
            self._serve()
        with self.broker.lock:
            if self in self.broker.clients:
                self.broker.clients.remove(self)
            for _, body in reversed(self.held):  # as a real queue does: in front, and marked
                self.broker.queue.appendleft((body, True))
        self.sock.close()
        self.broker.pour()

    def _serve(self):
        assert self._take(8)[:4] == b"AMQP"
        self.send(spec.Connection.Start(0, 9, {"product": "scripted"}, "PLAIN", "en_US"), channel=0)
        self._method()
        self.send(spec.Connection.Tune(0, FRAME_MAX, self.broker.heartbeat), channel=0)
        while True:
            method = self._method()
            if isinstance(method, spec.Basic.Publish):
                body = self._content()
                self.published += 1
                self.broker.publish(self, self.published, body)
            else:
                self._answer(method)

    def _answer(self, method):
        answers = {
            spec.Connection.Open: (0, spec.Connection.OpenOk()),
            spec.Channel.Open: (CHANNEL, spec.Channel.OpenOk()),
            spec.Confirm.Select: (CHANNEL, spec.Confirm.SelectOk()),
            spec.Basic.Qos: (CHANNEL, spec.Basic.QosOk()),
            spec.Queue.Declare: (CHANNEL, spec.Queue.DeclareOk("q", 0, 0)),
            spec.Basic.Consume: (CHANNEL, spec.Basic.ConsumeOk("c")),
            spec.Connection.Close: (0, spec.Connection.CloseOk()),
        }
        with self.broker.lock:  # who has heard that it consumes is delivered to from then on
            if type(method) in answers:
                channel, answer = answers[type(method)]
                self.send(answer, channel=channel)
            if isinstance(method, spec.Basic.Consume):
                self.consumes, self.acknowledges = True, not method.no_ack
                self.broker.clients.append(self)
        if isinstance(method, spec.Basic.Consume):
            self.broker.pour()
        if isinstance(method, spec.Basic.Ack):
            while self.held and self.held[0][0] <= method.delivery_tag:
                self.held.popleft()

    def _method(self):
        while True:
            kind, body = self._frame()
            if kind == 1:
                method = spec.methods[struct.unpack_from(">I", body)[0]]()
                method.decode(body, 4)
                return method

    def _content(self):
        size = struct.unpack_from(">HHQ", self._frame()[1])[2]
        body = b""
        while len(body) < size:
            body += self._frame()[1]
        return body

    def _frame(self):
        kind, _, size = struct.unpack(">BHI", self._take(7))
        return kind, self._take(size + 1)[:-1]

    def _take(self, count):
        while len(self.inbox) < count:
            data = self.sock.recv(1 << 20)
            if not data:
                raise ConnectionError
            self.inbox += data
        taken, self.inbox = self.inbox[:count], self.inbox[count:]
        return taken


class ScriptedBroker:
    """`publish` is what happens to a message, and may be replaced; so may `write`, by which deliveries leave."""

    def __init__(self, *, tls=None, heartbeat=0):
        self.heartbeat = heartbeat
        self.lock = threading.RLock()
        self.queue = deque()
        self.clients = []
        self.everybody = []
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(tls)
        self.publish = self.carry
        self.write = lambda client, data: client.raw(data)
        self.port = 0
        self.open()

    def open(self):
        self.listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()

    def close(self):
        """Go away, without a word to anybody."""
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for client in list(self.everybody):
            client.hang_up()
        self.everybody.clear()

    def _accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            client = Client(self, self.tls.wrap_socket(sock, server_side=True) if self.tls else sock)
        except (OSError, ssl.SSLError):
            return
        self.everybody.append(client)
        client.serve()

    def carry(self, client, tag, body):
        """Queue a message and confirm it, as a broker should."""
        self.keep(body)
        client.ack(tag)

    def keep(self, body, *, again=False):
        with self.lock:
            self.queue.append((body, again))
        self.pour()

    def pour(self):
        with self.lock:
            while self.queue and self.clients:
                body, again = self.queue.popleft()
                self.clients[0].deliver(body, again=again)
