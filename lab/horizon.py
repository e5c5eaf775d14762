"""Horizon in the lab: what its release is given, and when it really serves."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

from seatrial.lab import openstack
from seatrial.lab.kubectl import get
from seatrial.lab.shell import wait_until

NEEDS = openstack.NEEDS | {"openstack"}
"""The parts of the lab that it cannot run without."""

_SELECTOR = "application=horizon,component=server"
_USER = {"username": "admin", "password": "password", "domain": "default", "region": "default"}
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def values(*, size: str) -> dict[str, Any]:
    """Return the Helm values of the release that are not the chart's own."""
    return {"pod": {"replicas": {"server": 1}}} if size == "small" else {}


def check() -> None:
    """Return once somebody can log in through every replica."""
    wait_until("Horizon to log somebody in", _refusals, timeout=120, interval=1)


def _refusals() -> str | None:
    pods = get("pods", "--namespace", openstack.NAMESPACE, "--selector", _SELECTOR)["items"]
    staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    said = {pod["metadata"]["name"]: _refusal(pod) for pod in staying}
    return ", ".join(f"{name}: {why}" for name, why in said.items() if why) or (None if said else "it has no pod")


def _refusal(pod: dict[str, Any]) -> str | None:
    """Return why nobody can log in through this pod, or None."""
    address = f"http://{pod['status'].get('podIP')}"
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    try:
        with browser.open(f"{address}/auth/login/", timeout=30) as page:
            token = _TOKEN.search(page.read().decode())
        if token is None:
            return "its login page has no form"
        form = urllib.parse.urlencode({**_USER, "csrfmiddlewaretoken": token[1]}).encode()
        request = urllib.request.Request(f"{address}/auth/login/", form, {"Referer": address})  # noqa: S310 - a pod's
        with browser.open(request, timeout=60) as page:
            return None if "/auth/login" not in page.url else "it shows its login page again"
    except urllib.error.HTTPError as error:
        return f"it answers {error.code} {error.reason}"
    except OSError as error:
        return f"{address}: {error}"
