"""What mends RabbitMQ's settings: now by rabbitmqctl, for good in its ConfigMap, and what only a restart changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.fixtures.rabbitmq_questions import BROKERS
from seatrial.fixtures.rabbitmq_settings import information, settings
from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.files import FileEdit, Line
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.objects import Restart
from seatrial.plugins.remediation.places import exactly, lasting, pod_of, restarted, workload_of
from seatrial.plugins.remediation.risk import DELETE_PODS, EXEC, PATCH_CONFIGMAPS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.rabbitmq import RabbitMQ
    from seatrial.fixtures.rabbitmq_settings import Configured
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change, Value
    from seatrial.plugins.remediation.hand import Where

_FLAGS = "SERVER_ADDITIONAL_ERL_ARGS"
_WATERMARK = "vm_memory_high_watermark.relative"
_DISK_LIMIT = "disk_free_limit.absolute"
_MEGABYTE = 1_000_000


@remedy("RMQ-01 RMQ-02 RMQ-03", Risk.DISRUPTIVE, PATCH_CONFIGMAPS, DELETE_PODS)
def start_with_the_agreed_flags(
    source: Source, cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile
) -> Iterator[Change]:
    """Writes the flags into `rabbitmq-env.conf` and restarts broker after broker: clients connect anew.

    Undo writes the old ones and restarts again.
    """
    demands = profile.rabbitmq
    odd = [str(r) for r in rabbitmq.schedulers if r.value != demands.schedulers_online]
    odd += [str(r) for r in rabbitmq.async_threads if r.value != demands.async_threads]
    odd += [str(r) for r in rabbitmq.busy_waits if r.value != "none"]
    if not odd:
        return
    flags = (
        f"+S {demands.schedulers_online}:{demands.schedulers_online} +A {demands.async_threads} +K true "
        "+sbwt none +sbwtdcpu none +sbwtdio none"
    )
    yield from _configured(source, rabbitmq, {_FLAGS: f'"{flags}"'}, odd[0], environment=True)
    yield from _restart(cluster, rabbitmq, odd[0])


@remedy("RMQ-04", Risk.SAFE, EXEC, PATCH_CONFIGMAPS)
def use_the_agreed_share_of_memory(
    source: Source, cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile
) -> Iterator[Change]:
    """Sets the watermark in each broker at once, and in the ConfigMap where it has another. Undo sets the old ones."""
    agreed = profile.rabbitmq.vm_memory_high_watermark
    odd = [mark for mark in rabbitmq.memory_watermarks if mark.value != agreed]
    for mark in odd:
        yield InPod(
            offender=str(mark),
            before=str(mark.value),
            after=str(agreed),
            where=place_of(cluster, mark.broker),
            run=(ctl("set_vm_memory_high_watermark", agreed),),
            back=(ctl("set_vm_memory_high_watermark", mark.value),) if isinstance(mark.value, float) else (),
            look=_eval("vm_memory_monitor:get_vm_memory_high_watermark()"),
            expects=f"={mark.value}" if isinstance(mark.value, float) else "",
            becomes=f"={agreed}",
        )
    if any(_number(_setting(pair, _WATERMARK)) != agreed for pair in rabbitmq.settings if pair.sysctl):
        offender = str(odd[0]) if odd else _WATERMARK
        yield from _configured(source, rabbitmq, {_WATERMARK: str(agreed)}, offender)


@remedy("RMQ-05 RMQ-06", Risk.SAFE, EXEC, PATCH_CONFIGMAPS)
def want_the_agreed_disk_free(
    source: Source, cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile
) -> Iterator[Change]:
    """Sets the disk limit in each broker at once, which ends the alarm, and in the ConfigMap where it has another.

    Undo sets the old ones.
    """
    agreed = profile.rabbitmq.disk_free_limit_bytes
    odd = [limit for limit in rabbitmq.disk_limits if limit.limit != agreed and limit.volume > agreed]
    size = f"{agreed // _MEGABYTE}MB" if agreed % _MEGABYTE == 0 else str(agreed)
    for limit in odd:
        yield InPod(
            offender=str(limit),
            before=f"{limit.limit} bytes",
            after=f"{agreed} bytes",
            where=place_of(cluster, limit.broker),
            run=(ctl("set_disk_free_limit", size),),
            back=(ctl("set_disk_free_limit", limit.limit),),
            look=_eval("rabbit_disk_monitor:get_disk_free_limit()"),
            expects=f"={limit.limit}",
            becomes=f"={agreed}",
        )
    if any(information(_setting(pair, _DISK_LIMIT)) != agreed for pair in rabbitmq.settings if pair.sysctl):
        offender = str(odd[0]) if odd else _DISK_LIMIT
        yield from _configured(source, rabbitmq, {_DISK_LIMIT: size}, offender, instead_of="disk_free_limit.")
    if not odd:
        for alarm in rabbitmq.alarms:
            yield ByHand(
                offender=str(alarm),
                risk="manual",
                run=(
                    "rabbitmqctl list_queues -p VHOST name messages memory --sort-by=memory --limit=20",
                    "kubectl -n NAMESPACE exec POD -- du -xhd2 /var/lib/rabbitmq",
                ),
            )


@remedy("RMQ-07", Risk.SAFE, EXEC, PATCH_CONFIGMAPS)
def log_from_the_agreed_level_on(
    source: Source, cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile
) -> Iterator[Change]:
    """Sets the level in each broker at once, and in the ConfigMap where it has another. Undo sets the old ones."""
    agreed = profile.rabbitmq.log_level
    odd = {level.broker: level for level in rabbitmq.log_levels if level.value not in {agreed, "none"}}
    for broker, level in odd.items():
        yield InPod(
            offender=str(level),
            before=str(level.value),
            after=agreed,
            where=place_of(cluster, broker),
            run=(ctl("set_log_level", agreed),),
            back=(ctl("set_log_level", level.value),),
        )
    names = ("log.console.level", "log.default.level")
    if any(_setting(pair, names[0]) != agreed for pair in rabbitmq.settings if pair.sysctl):
        offender = str(next(iter(odd.values()))) if odd else names[0]
        yield from _configured(source, rabbitmq, dict.fromkeys(names, agreed), offender)


@remedy("RMQ-08", Risk.DISRUPTIVE, PATCH_CONFIGMAPS, DELETE_PODS)
def collect_statistics_less_often(
    source: Source, cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile
) -> Iterator[Change]:
    """Writes the interval into the ConfigMap and restarts broker after broker: clients connect anew.

    Undo writes the old one and restarts again.
    """
    agreed = profile.rabbitmq.collect_statistics_interval_ms
    odd = [str(interval) for interval in rabbitmq.statistics_intervals if interval.value != agreed]
    if odd:
        yield from _configured(source, rabbitmq, {"collect_statistics_interval": str(agreed)}, odd[0])
        yield from _restart(cluster, rabbitmq, odd[0])


@remedy("RMQ-09", Risk.SAFE, PATCH_CONFIGMAPS)
def take_unknown_keys_out(source: Source, rabbitmq: RabbitMQ) -> Iterator[Change]:
    """Takes the keys out of the ConfigMap that would keep a broker from starting; nothing restarts.

    Undo puts them back.
    """
    told: set[str] = set()
    for pair in rabbitmq.settings:
        for key in pair.keys:
            line = _line(pair.text, key.name)
            if key.known or not line or str(key) in told:
                continue
            told.add(str(key))
            yield FileEdit(
                offender=str(key),
                before=line,
                after="no such line",
                resource="configmaps",
                namespace=pair.configmap.namespace,
                name=pair.configmap.name,
                file=_file(pair),
                lines=(Line(line, ""),),
                values=_values(source, pair, key.name, None),
            )


@remedy("RMQ-10", Risk.DISRUPTIVE, PATCH_CONFIGMAPS, DELETE_PODS)
def restart_what_owes_it(source: Source, cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile) -> Iterator[Change]:
    """Writes into the ConfigMap what runs and is right, then restarts broker after broker: clients connect anew."""
    agreed = {
        profile.rabbitmq.vm_memory_high_watermark: (_WATERMARK, str(profile.rabbitmq.vm_memory_high_watermark)),
        profile.rabbitmq.disk_free_limit_bytes: (_DISK_LIMIT, str(profile.rabbitmq.disk_free_limit_bytes)),
    }
    lost = [setting for setting in rabbitmq.overridden if setting.amount in agreed]
    for setting in lost:
        name, value = agreed[setting.amount]
        yield from _configured(source, rabbitmq, {name: value}, str(setting), instead_of=name.partition(".")[0] + ".")
    owed = [*map(str, rabbitmq.restarts_owed), *map(str, lost)]
    if owed:
        yield from _restart(cluster, rabbitmq, owed[0])


def _configured(
    source: Source,
    rabbitmq: RabbitMQ,
    wanted: dict[str, str],
    offender: str,
    *,
    environment: bool = False,
    instead_of: str = "",
) -> Iterator[FileEdit]:
    """Yield the edit of each ConfigMap whose file has other settings; `instead_of` names keys that give way."""
    told: set[tuple[str, str]] = set()
    for pair in rabbitmq.settings:
        place = (pair.configmap.path, pair.name)
        if pair.sysctl == environment or place in told:
            continue
        told.add(place)
        lines = []
        for name, value in wanted.items():
            new = f"{name}={value}" if environment else f"{name} = {value}"
            others = (line for key in settings(pair.text) if instead_of and key.startswith(instead_of)
                      for line in [_line(pair.text, key)])  # fmt: skip
            old = _line(pair.text, name) or next(others, "")
            if settings(pair.text).get(name) != value.strip('"'):
                lines.append(Line(old, new))
        if lines:
            yield FileEdit(
                offender=offender,
                before="; ".join(line.before or "no such line" for line in lines),
                after="; ".join(line.after for line in lines),
                resource="configmaps",
                namespace=pair.configmap.namespace,
                name=pair.configmap.name,
                file=_file(pair),
                lines=tuple(lines),
                values=tuple(
                    value for name, text in wanted.items() for value in _values(source, pair, name, text.strip('"'))
                ),
            )


def _values(source: Source, pair: Configured, name: str, value: Any) -> tuple[Value, ...]:
    known: Any = value
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        known = float(value) if "." in value else int(value)
    section = "rabbitmq" if pair.sysctl else "rabbitmq_env"
    # Some charts nest a key by its dots, some keep it whole.
    return lasting(
        source,
        "ConfigMap",
        pair.configmap.path,
        (f"conf.{section}.{name}", known),
        *([(f"conf.rabbitmq.{name.partition('.')[0]}", known)] if value is None else []),
    )


def _restart(cluster: Cluster, rabbitmq: RabbitMQ, offender: str) -> Iterator[Restart]:
    pods = sorted(broker.pod for broker in rabbitmq.brokers)
    workload = workload_of(cluster, pod_of(cluster, pods[0]))
    if workload is not None:
        yield restarted(workload, offender, pods=tuple(pod.rpartition("/")[2] for pod in reversed(pods)))


def place_of(cluster: Cluster, broker: str) -> Where:
    """Return the place of a broker, by its pod as namespace/name."""
    return exactly(pod_of(cluster, broker), BROKERS.container or "rabbitmq")


def ctl(*words: object) -> tuple[str, ...]:
    """Return a command of rabbitmqctl."""
    return ("rabbitmqctl", "--quiet", *map(str, words))


def _eval(expression: str) -> tuple[str, ...]:
    return ctl("eval", f"{expression}.")


def _setting(pair: Configured, name: str) -> str:
    return settings(pair.text).get(name, "")


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def _line(text: str, name: str) -> str:
    """Return the line that sets a key, as it stands there; empty for none."""
    return next((line for line in text.splitlines() if name in settings(line)), "")


def _file(pair: Configured) -> str:
    """Return the ConfigMap's key that the file comes from."""
    return next((key for key, text in pair.configmap.data.items() if text is pair.text or text == pair.text), pair.name)
