"""A headless Chromium that can reach nothing but a page on loopback, and says what its pages asked for."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from html import unescape

ORIGIN = "http://report.test/"
_SILENT = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-default-apps", "--disable-sync", "--disable-extensions",
    "--disable-features=OptimizationHints,MediaRouter,Translate,NetworkTimeServiceQuerying", "--hide-scrollbars",
)  # fmt: skip


def missing() -> str:
    """Return why no report can be built and looked at here; empty where it can."""
    absent = [program for program in ("node", "npm", "chromium") if shutil.which(program) is None]
    return f"no {', no '.join(absent)} on this machine" if absent else ""


class Browser:
    """Opens pages. `asked` is what they wanted from the network, other than the page that is served.

    Chromium asks for things of its own as well (updates, accounts); its log tells who asked.
    """

    def __init__(self, folder, proxy):
        self._folder, self._proxy = folder, proxy
        self.asked: list[str] = []
        self.page = b""

    def shown(self, address, *options) -> str:
        """Return the text of a page once its scripts have run."""
        command = ["chromium", *_SILENT, f"--user-data-dir={self._folder}", f"--proxy-server=127.0.0.1:{self._proxy}"]
        log = self._folder.with_suffix(".netlog.json")
        command += ["--proxy-bypass-list=<-loopback>", "--virtual-time-budget=5000", f"--log-net-log={log}", *options]
        command += ["--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        self.asked += _asked_by_pages(json.loads(log.read_text()))
        text = re.sub(r"<(script|style)\b.*?</\1>", " ", done.stdout, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())

    def pictured(self, address, path, width, height, *options):
        """Write a PNG of a page, as large as told, once its scripts have run."""
        command = ["chromium", *_SILENT, f"--user-data-dir={self._folder}", f"--proxy-server=127.0.0.1:{self._proxy}"]
        command += ["--proxy-bypass-list=<-loopback>", "--virtual-time-budget=10000", f"--window-size={width},{height}"]
        command += ["--force-device-scale-factor=1", f"--screenshot={path}", *options, address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        assert path.exists(), done.stderr[-2000:]


def _asked_by_pages(log):
    for event in log["events"]:
        told = event.get("params", {})
        by_a_page = told.get("initiator", "not an origin") != "not an origin"
        if by_a_page and str(told.get("url", "")).startswith(("http:", "https:", "ws:", "wss:")):
            yield told["url"]


@contextmanager
def browser(folder):
    """Start the proxy; end it with the test."""
    opened: Browser

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == ORIGIN:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(opened.page)))
                self.end_headers()
                self.wfile.write(opened.page)
            else:
                self.send_error(502)

        do_CONNECT = do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opened = Browser(folder, server.server_port)
    try:
        yield opened
    finally:
        server.shutdown()
        server.server_close()
