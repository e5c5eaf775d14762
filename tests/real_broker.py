"""A RabbitMQ of this machine's own package, on loopback, with everything it writes in one folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SERVER = next(
    (path for path in ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server") or "") if
     path and Path(path).exists()), "",
)  # fmt: skip
"""The server itself: Debian's wrapper on PATH changes to a user and a folder of its own."""


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def wait_for(port, patience):
    deadline = time.monotonic() + patience
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class RealBroker:
    """One node. `settings` are lines of its `rabbitmq.conf`."""

    def __init__(self, folder, *settings):
        self.folder = Path(folder)
        self.port, self.distribution, self.mapper = free_port(), free_port(), free_port()
        self.node = f"seatrial-{secrets.token_hex(3)}@localhost"
        for name in ("home", "mnesia", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        conf = self.folder / "rabbitmq.conf"
        conf.write_text("\n".join([f"listeners.tcp.1 = 127.0.0.1:{self.port}", *settings]) + "\n")
        (self.folder / "enabled_plugins").write_text("[].\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder / "home"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self.distribution),
            "RABBITMQ_CONFIG_FILE": str(conf),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none.conf"),
            "ERL_EPMD_PORT": str(self.mapper),
            "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),
        }
        self.within = []
        """What starts the server, if it is not to start as it is: a shell that joins a control group, say."""
        self.process = self.ports = None

    def start(self, patience=300.0):
        with (self.folder / "out").open("ab") as out:
            # Erlang's port mapper: the node would start it as a daemon that outlives it.
            self.ports = subprocess.Popen(
                ["epmd", "-port", str(self.mapper), "-address", "127.0.0.1"],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
            )
            wait_for(self.mapper, patience)
            self.process = subprocess.Popen(
                [*self.within, SERVER],
                env=self.environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + patience
        while not self.listens():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError((self.folder / "out").read_text()[-2000:])
            time.sleep(0.1)
        return self

    def listens(self):
        """Whether it answers to AMQP's greeting: the port is open a while before."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                sock.sendall(b"AMQP\0\0\t\1")
                sock.settimeout(1)
                return sock.recv(1) == b"\1"
        except OSError:
            return False

    def ctl(self, *words, patience=180):
        command = [str(Path(SERVER).with_name("rabbitmqctl")), "--quiet", *words]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=patience, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def stop(self, with_signal=signal.SIGKILL):
        """End the node and whatever it started: all of it is in the session that is its own."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, with_signal)
            self.process.wait(30)
            self.process = None
        if self.ports is not None:
            self.ports.kill()
            self.ports.wait()
            self.ports = None
