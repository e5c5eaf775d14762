"""Faults of RabbitMQ that come by a Helm upgrade, as they came to the clouds of the reports.

What only a restart shows is rolled out; what waits for a restart is configured with a partition above every pod, so
that the pods keep what they were started with.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from seatrial.lab import openstack
from seatrial.lab.fault import fault
from seatrial.lab.faults.rabbitmq_broker import wait_for
from seatrial.lab.kubectl import get, helm, wait_until
from seatrial.lab.releases import CHARTS, Release

if TYPE_CHECKING:
    from collections.abc import Callable

_SOUND = "+S 4:4 +A 128 +K true +sbwt none +sbwtdcpu none +sbwtdio none"
_PART_OF_A_CORE = "200m"
"""Enough for a broker to start within the rollout's limit, and for what it is asked to be answered."""

_RELEASE = ("rabbitmq", "openstack")
_ROLLOUT_TIMEOUT = 180.0
_CONFIGMAP = "rabbitmq-rabbitmq-etc"


def _own_values() -> None:
    """Upgrade the release to the values that the lab gives it, if it has others."""
    values = _values()
    sound = {"pod": {"replicas": values["pod"]["replicas"]}}
    if values != sound:
        _upgrade(sound)
    _wait_for_rollout()


def _flags(flags: str) -> None:
    _upgrade({**_values(), "conf": {"rabbitmq_env": {"SERVER_ADDITIONAL_ERL_ARGS": flags}}})
    _wait_for_rollout()


def _configure(settings: dict[str, Any], shows: str) -> None:
    """Change rabbitmq.conf and restart nothing."""
    replicas = _values()["pod"]["replicas"]
    nobody = {"upgrades": {"statefulsets": {"partition": replicas["server"]}}}
    _upgrade({"pod": {"replicas": replicas, "lifecycle": nobody}, "conf": {"rabbitmq": settings}})
    _wait_until_configured(lambda text: shows in text)


@fault("rabbitmq-one-scheduler", trips="RMQ-01", parts="rabbitmq", heal=_own_values)
def one_scheduler() -> None:
    """RabbitMQ has one scheduler, as openstack-helm derives from a small CPU limit."""
    _flags(_SOUND.replace("+S 4:4", "+S 1:1"))


@fault("rabbitmq-small-cpu-limit", trips="RMQ-01", parts="rabbitmq", heal=_own_values)
def small_cpu_limit() -> None:
    """RabbitMQ may use a part of a core, and openstack-helm derives one scheduler of that: every load on it is slow."""
    values = _values()
    pod = {**values["pod"], "resources": {"server": {"limits": {"cpu": _PART_OF_A_CORE}}}}
    flags = {"SERVER_ADDITIONAL_ERL_ARGS": _SOUND.replace("+S 4:4", "+S 1:1")}
    _upgrade({**values, "pod": pod, "conf": {"rabbitmq_env": flags}})
    _wait_for_rollout()


@fault("rabbitmq-few-async-threads", trips="RMQ-02", parts="rabbitmq", heal=_own_values)
def few_async_threads() -> None:
    """RabbitMQ's pool of threads has half its size."""
    _flags(_SOUND.replace("+A 128", "+A 64"))


@fault("rabbitmq-busy-wait", trips="RMQ-03", parts="rabbitmq", heal=_own_values)
def busy_wait() -> None:
    """RabbitMQ's idle schedulers spin."""
    _flags(_SOUND.replace("+sbwt none", "+sbwt short"))


@fault("rabbitmq-unknown-key", trips="RMQ-09", parts="rabbitmq", heal=_own_values)
def unknown_key() -> None:
    """RabbitMQ's configuration has a key that its version does not know; the next restart is its last."""
    _configure({"queue_index_max_journal_entries": 8192}, "queue_index_max_journal_entries")


@fault("rabbitmq-restart-owed", trips="RMQ-10", parts="rabbitmq", heal=_own_values)
def restart_owed() -> None:
    """RabbitMQ was configured anew and not restarted."""
    _configure({"cluster_partition_handling": "pause_minority"}, "pause_minority")


def _values() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(helm("get", "values", _RELEASE[0], "-n", _RELEASE[1], "-o", "json"))
    return values


def _upgrade(values: dict[str, Any]) -> None:
    release = Release(*_RELEASE, values)
    helm(
        *("upgrade", release.name, str(CHARTS / release.name), "--namespace", release.namespace, "--reset-values"),
        *("--description", release.fingerprint, "--values", "-"),
        stdin=yaml.safe_dump(values),
    )


def _wait_for_rollout() -> None:
    """Wait until every pod runs the newest template and is ready, and the lab's clients are connected again."""

    def late() -> str | None:
        workload = get("statefulset", "rabbitmq-rabbitmq", "-n", "openstack")
        status, wanted = workload["status"], workload["spec"]["replicas"]
        seen = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
        updated = status.get("updateRevision") == status.get("currentRevision")
        ready = status.get("readyReplicas", 0)
        return None if seen and updated and ready == wanted else f"{ready} of {wanted} brokers ready"

    wait_until("RabbitMQ to roll out", late, timeout=_ROLLOUT_TIMEOUT)
    # The clients' own readiness tells late that they lost their broker; their queues went with it.
    unused = ['<<"/">>', *([] if openstack.is_installed("statefulset/ironic-conductor") else ['<<"ironic">>'])]
    wait_for(
        "the lab's clients to be back",
        f"[Vhost || Vhost <- rabbit_vhost:list_names() -- [{', '.join(unused)}], rabbit_amqqueue:list(Vhost) =:= []]"
        " =:= []",
        timeout=_ROLLOUT_TIMEOUT,
    )


def _wait_until_configured(shows: Callable[[str], bool]) -> None:
    def missing() -> str | None:
        text = get("configmap", _CONFIGMAP, "-n", "openstack")["data"]["rabbitmq.conf"]
        return None if shows(text) else "not yet"

    wait_until("the setting to be in the ConfigMap", missing, timeout=30)
