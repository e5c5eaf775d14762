"""Network namespaces that a test makes: one a pod, all of them on one switch in a namespace of its own.

Nothing is touched outside: links, queues and rules end with the processes that hold the namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

NEEDED = ("iperf3", "ip", "tc", "nft", "unshare", "nsenter")


def refusal():
    """Return why no namespaces can be made here, empty where they can."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, timeout=10, check=False)
    return made.stderr.strip()


needs_namespaces = pytest.mark.skipif(bool(refusal()), reason=refusal() or "there are namespaces")


class Namespace:
    """One, held by a process that sleeps."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        here, there = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{self.process.pid}/ns/net")
        deadline = time.monotonic() + 20
        while there.readlink() == here:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.run("ip", "link", "set", "lo", "up")

    def enter(self, *argv):
        return ["nsenter", "--target", str(self.process.pid), "--net", "--", *argv]

    def run(self, *argv, stdin=None):
        done = subprocess.run(self.enter(*argv), capture_output=True, text=True, timeout=30, check=False, input=stdin)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def close(self):
        self.process.kill()
        self.process.wait(10)


class Switch:
    """Namespaces whose `eth0` are on one switch; the switch's end of each link is called by its number."""

    def __init__(self):
        self.core = Namespace()
        self.core.run("ip", "link", "add", "br0", "type", "bridge")
        self.core.run("ip", "link", "set", "br0", "up")
        self.count = 0

    def connect(self):
        """Return a new namespace and its address."""
        self.count += 1
        link, address, one = f"port{self.count}", f"192.0.2.{self.count}", Namespace()
        peer = ["type", "veth", "peer", "name", "eth0", "netns", str(one.process.pid)]
        self.core.run("ip", "link", "add", link, *peer)
        self.core.run("ip", "link", "set", link, "master", "br0", "up")
        one.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        one.run("ip", "link", "set", "eth0", "up")
        return one, address

    def rule(self, text):
        """Let the switch do to a packet that it forwards what nftables calls so."""
        self.core.run(
            "nft", "-f", "-",
            stdin=f"table bridge t {{\n chain c {{\n type filter hook forward priority 0\n {text}\n }}\n}}\n",
        )  # fmt: skip

    def close(self):
        self.core.close()
