"""What a fault leaves behind in OpenStack: restarts that its pods count, troubles in their logs, queues of pods gone.

Restarts and logs are judged for an hour; new pods know nothing of them. A queue outlives its pod by half an hour, and
an answer that came too late lies in it as long.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from seatrial.lab import openstack
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.openstack import NAMESPACE

_SERVICES = "application in (keystone, placement, glance, neutron, nova, cinder, horizon, ironic)"
_TROUBLE = re.compile(r"MessagingTimeout|\bDB(?:Deadlock|Error|ConnectionError|NonExistentTable)\b")
_UNUSED_QUEUES = """[rabbit_amqqueue:delete(Queue, true, false, <<"lab">>) ||
  Vhost <- rabbit_vhost:list_names(), Queue <- rabbit_amqqueue:list(Vhost)]."""
_LOGS_AT_ONCE = 8
_PATIENCE = 300.0


def clear() -> None:
    """Put new pods in the place of those that tell of what is over; return when OpenStack serves again."""
    if not openstack.is_installed():
        return
    openstack.wait_for_reports()
    with ThreadPoolExecutor(_LOGS_AT_ONCE) as threads:
        pods = _running()
        old = [pod["metadata"]["name"] for pod, tells in zip(pods, threads.map(_tells, pods), strict=True) if tells]
    if old:
        kubectl("-n", NAMESPACE, "delete", "pod", *old, "--wait=true", timeout=120)
        wait_until("OpenStack's pods to be ready", _unready, timeout=_PATIENCE, interval=1)
        openstack.check()
        openstack.wait_for_reports()
    broker = ("-n", NAMESPACE, "exec", "rabbitmq-rabbitmq-0", "--")
    kubectl(*broker, "rabbitmqctl", "--quiet", "eval", " ".join(_UNUSED_QUEUES.split()), timeout=60)


def _running() -> list[dict[str, Any]]:
    listed = get("pods", "--namespace", NAMESPACE, "--selector", _SERVICES)["items"]
    return [pod for pod in listed if pod["status"].get("phase") not in {"Succeeded", "Failed"}]


def _tells(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", ())
    if any(status["restartCount"] for status in statuses):
        return True
    if not all("running" in status["state"] for status in statuses):
        return False
    log = kubectl("-n", NAMESPACE, "logs", pod["metadata"]["name"], "--all-containers", "--since=1h", timeout=60)
    return bool(_TROUBLE.search(log))


def _unready() -> str | None:
    late = [
        pod["metadata"]["name"]
        for pod in _running()
        if not any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    ]
    return ", ".join(late) or None
