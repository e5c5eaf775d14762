"""A real client or server of oslo.messaging in a process of its own: `oslo_party.py server|client URL [OPTION=VALUE…]`.

Runs under any Python that has oslo.messaging, whichever release. It says what it did as JSON, a line each, and ends
with its standard input.
"""

from __future__ import annotations

import json
import sys
import threading
import warnings

warnings.simplefilter("ignore")

import oslo_messaging  # noqa: E402 - its warnings are its own
from oslo_config import cfg  # noqa: E402

NAME = "load-rpc"


def say(**told):
    print(json.dumps(told), flush=True)


class Endpoint:
    target = oslo_messaging.Target(version="1.0")

    def __init__(self):
        self.lock = threading.Lock()
        self.ids = []

    def load(self, _context, stamp, filling):
        with self.lock:
            self.ids.append(int(stamp))
        return f"{len(filling)} bytes"


def serve(transport):
    endpoint = Endpoint()
    target = oslo_messaging.Target(exchange=NAME, topic=NAME, server="server-0")
    server = oslo_messaging.get_rpc_server(transport, target, [endpoint], executor="threading")
    server.start()
    say(ready=True)
    sys.stdin.read()
    server.stop()
    server.wait()
    say(served=len(endpoint.ids))


def ask(transport):
    make = getattr(oslo_messaging, "get_rpc_client", oslo_messaging.RPCClient)
    client = make(transport, oslo_messaging.Target(exchange=NAME, topic=NAME, version="1.0"))
    context = {"user_id": "u", "project_id": "p", "request_id": "req-1"}
    arguments = {"stamp": "0", "filling": "x" * 300}
    say(result=client.call(context, "load", **arguments))
    say(result=client.prepare(server="server-0").call(context, "load", **arguments))
    client.cast(context, "load", **arguments)
    client.prepare(server="server-0").cast(context, "load", **arguments)
    client.prepare(fanout=True).cast(context, "load", **arguments)
    say(ready=True)
    sys.stdin.read()


def main():
    sort, url, *options = sys.argv[1:]
    cfg.CONF([], project="seatrial")
    transport = oslo_messaging.get_rpc_transport(cfg.CONF, url)
    for option in options:
        name, _, value = option.partition("=")
        cfg.CONF.set_override(name, value, group="oslo_messaging_rabbit")
    {"server": serve, "client": ask}[sort](transport)


if __name__ == "__main__":
    main()
