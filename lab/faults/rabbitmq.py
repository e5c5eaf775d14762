"""Faults of RabbitMQ that rabbitmqctl makes and undoes, in the node or in the pod beside it."""

from __future__ import annotations

from contextlib import suppress

from seatrial.lab.fault import fault
from seatrial.lab.faults.rabbitmq_broker import CLIENTS, POD, ctl, evaluate, in_pod, wait_for
from seatrial.lab.shell import LabError

_DISK_LIMIT = 50_000_000
_FILLER = "/var/lib/rabbitmq/filler"
_SECOND = "rabbit-second"
_SECOND_FOLDER = f"/var/lib/rabbitmq/{_SECOND}"
_MEBIBYTE = 1 << 20
_WATCHES_WITHIN_S = 180.0

_FREE = "rabbit_disk_monitor:get_disk_free()"
_ALARMED = "lists:member(disk, [What || {{resource_limit, What, _}, _} <- rabbit_alarm:get_alarms()])"
_QUEUES = '[N || Q <- rabbit_amqqueue:list(<<"nova">>), {resource, _, _, N} <- [amqqueue:get_name(Q)]]'


def _own_watermark() -> None:
    ctl("set_vm_memory_high_watermark", "0.6")


@fault("rabbitmq-memory-watermark", trips="RMQ-04", parts="rabbitmq", heal=_own_watermark)
def _default_watermark() -> None:
    """RabbitMQ blocks publishers at the default share of memory."""
    ctl("set_vm_memory_high_watermark", "0.4")


def _free_disk() -> int:
    # A broker that could not run df when it started, as on a machine that had much to do, tries it again after two
    # minutes. Until then it knows no figure, says yes to any limit, and heeds none.
    wait_for("RabbitMQ to watch its disk", f"is_integer({_FREE})", timeout=_WATCHES_WITHIN_S)
    return int(evaluate(_FREE))


def _limit_disk(*limit: str) -> None:
    _free_disk()
    ctl("set_disk_free_limit", *limit)


def _own_disk_limit() -> None:
    _limit_disk(str(_DISK_LIMIT))
    wait_for("RabbitMQ's disk alarm to clear", f"not {_ALARMED}")


@fault("rabbitmq-disk-limit", trips="RMQ-05", parts="rabbitmq", heal=_own_disk_limit)
def _larger_disk_limit() -> None:
    """RabbitMQ wants more disk free than was agreed, though the volume still has it."""
    _limit_disk(str(2 * _DISK_LIMIT))


@fault("rabbitmq-disk-limit-of-ram", trips="RMQ-05", parts="rabbitmq", heal=_own_disk_limit)
def _impossible_disk_limit() -> None:
    """RabbitMQ wants as much disk free as the node has RAM: an alarm that no volume can clear."""
    _limit_disk("mem_relative", "1.0")
    wait_for("RabbitMQ's disk alarm", _ALARMED)


def _empty_volume() -> None:
    in_pod(POD, "rm", "-f", _FILLER)
    _own_disk_limit()


@fault("rabbitmq-volume-full", trips="RMQ-06", parts="rabbitmq", heal=_empty_volume)
def _full_volume() -> None:
    """The volume of RabbitMQ is full, and nobody can publish."""
    filler = _free_disk() - _DISK_LIMIT + 8 * _MEBIBYTE
    in_pod(POD, "fallocate", "-l", str(filler), _FILLER)
    _limit_disk(str(_DISK_LIMIT))  # makes the monitor look now
    wait_for("RabbitMQ's disk alarm", _ALARMED)


def _own_log_level() -> None:
    ctl("set_log_level", "warning")


@fault("rabbitmq-log-level", trips="RMQ-07", parts="rabbitmq", heal=_own_log_level)
def _talkative_log() -> None:
    """RabbitMQ logs every connection."""
    ctl("set_log_level", "info")


def _own_interval() -> None:
    evaluate("application:set_env(rabbit, collect_statistics_interval, 30000)")


@fault("rabbitmq-statistics-interval", trips="RMQ-08", parts="rabbitmq", heal=_own_interval)
def _default_interval() -> None:
    """RabbitMQ collects statistics every five seconds."""
    evaluate("application:set_env(rabbit, collect_statistics_interval, 5000)")


def _own_permissions() -> None:
    ctl("set_permissions", "-p", "/", "rabbitmq", ".*", ".*", ".*")


@fault("rabbitmq-no-permissions", trips="RMQ-11", parts="rabbitmq", heal=_own_permissions)
def _no_permissions() -> None:
    """RabbitMQ's administrator may do nothing on vhost /."""
    ctl("clear_permissions", "-p", "/", "rabbitmq")


def _delete(queue: str) -> None:
    if f'"{queue}"' in evaluate(_QUEUES):
        ctl("delete_queue", "-p", "nova", queue)


def _no_durable_queue() -> None:
    _delete("lab-durable")


@fault("rabbitmq-durable-queue", trips="RMQ-12", parts="rabbitmq", heal=_no_durable_queue)
def _durable_queue() -> None:
    """A service declares a durable queue where all others are transient."""
    CLIENTS.run("lab-durable", durable=True)


def _no_heartless_client() -> None:
    CLIENTS.end("lab-heartless")


@fault("rabbitmq-no-heartbeat", trips="RMQ-13", parts="rabbitmq", heal=_no_heartless_client)
def _heartless_client() -> None:
    """A client is connected to RabbitMQ without a heartbeat."""
    CLIENTS.start("lab-heartless", heartbeat=0)


def _no_orphan() -> None:
    _delete("lab-orphan")


@fault("rabbitmq-orphaned-queue", trips="RMQ-15", parts="rabbitmq", heal=_no_orphan)
def _orphan() -> None:
    """A queue holds messages that nobody consumes."""
    CLIENTS.run("lab-orphan", messages=12)
    # Two samples of the management plugin's history, five seconds apart, are older than the lab's grace.
    samples = "exometer_slide:to_list(os:system_time(millisecond), S)"
    wait_for(
        "RabbitMQ to see that messages stay",
        f'[x || {{{{{{_, _, _, <<"lab-orphan">>}}, 5}}, S}} <- ets:tab2list(queue_msg_stats), '
        f"length([T || {{_, {{_, _, T}}}} <- {samples}, T > 0]) > 1] =/= []",
    )


def _whole_cluster() -> None:
    with suppress(LabError):  # it does not run
        in_pod(POD, *_second("rabbitmqctl"), "--quiet", "stop", timeout=60)
    second = _second_name()
    if second in evaluate("rabbit_nodes:all()"):
        ctl("forget_cluster_node", second)
    in_pod(POD, "rm", "-rf", _SECOND_FOLDER)


@fault("rabbitmq-member-down", trips="RMQ-16", parts="rabbitmq", heal=_whole_cluster)
def _member_down() -> None:
    """A member of the RabbitMQ cluster is down."""
    _whole_cluster()
    in_pod(POD, "sh", "-c", f"mkdir -p {_SECOND_FOLDER} && echo '[].' > {_SECOND_FOLDER}/plugins")
    in_pod(POD, *_second("rabbitmq-server"), "-detached", timeout=60)
    second = _second("rabbitmqctl")
    in_pod(POD, *second, "--quiet", "await_startup", "--timeout", "60", timeout=70)
    for step in (["stop_app"], ["join_cluster", _own_name()], ["start_app"], ["stop"]):
        in_pod(POD, *second, "--quiet", *step, timeout=60)
    wait_for("the second member to be down", f"not lists:member('{_second_name()}', rabbit_nodes:all_running())")


def _own_name() -> str:
    return evaluate("node()").strip("'")


def _second_name() -> str:
    return f"{_SECOND}@{_own_name().partition('@')[2]}"


def _second(program: str) -> list[str]:
    """Return the command that runs a program of a second node in the same pod, with a folder and ports of its own."""
    settings = {
        "RABBITMQ_NODENAME": _second_name(),
        "RABBITMQ_MNESIA_BASE": _SECOND_FOLDER,
        "RABBITMQ_NODE_PORT": "5673",
        "RABBITMQ_DIST_PORT": "25673",
        "RABBITMQ_CONFIG_FILE": f"{_SECOND_FOLDER}/none",
        "RABBITMQ_CONF_ENV_FILE": f"{_SECOND_FOLDER}/none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{_SECOND_FOLDER}/plugins",
        "RABBITMQ_LOG_BASE": _SECOND_FOLDER,
    }
    return ["env", *(f"{name}={value}" for name, value in settings.items()), program]


def _no_hoarder() -> None:
    CLIENTS.end("lab-hoarder")
    _delete("lab-hoarder")


@fault("rabbitmq-unacknowledged", trips="RMQ-17", parts="rabbitmq", heal=_no_hoarder)
def _hoarder() -> None:
    """A consumer takes messages and never acknowledges them."""
    CLIENTS.start("lab-hoarder", messages=10_500, consume=True)
    counted = '{{_, _, _, <<"lab-hoarder">>}, _, Unacknowledged, _, _} <- ets:tab2list(queue_coarse_metrics)'
    wait_for("RabbitMQ to count what is unacknowledged", f"[x || {counted}, Unacknowledged > 10000] =/= []")
