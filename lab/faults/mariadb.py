"""Faults of MariaDB.

DB-05 has none of its own: services log errors of the database where one of these takes it from them.
"""

from __future__ import annotations

from seatrial.lab import aftermath
from seatrial.lab.containers import Container, running
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import get, kubectl, wait_until
from seatrial.lab.upgrades import restore, upgrade

_NAMESPACE = "openstack"
_MEMBERS = _FIRST, _SECOND, _THIRD = tuple(f"mariadb-server-{n}" for n in range(3))
_MAKE_TABLE = """
create database if not exists seatrial_fault;
create table if not exists seatrial_fault.t (id bigint auto_increment primary key, v bigint);
replace into seatrial_fault.t values (1, 0)
"""
_UPDATE = "update seatrial_fault.t set v = v + 1 where id = 1;"
_INSERT = "insert into seatrial_fault.t (v) values (1);"
_PATIENCE = 120.0
_ROLLED_WITHIN = 300.0
_CLIENT = "mysql --defaults-file=/etc/mysql/admin_user.cnf --host=localhost --connect-timeout=5"


def _in_pod(pod: str, script: str, *argv: str) -> str:
    return kubectl("-n", _NAMESPACE, "exec", pod, "-c", "mariadb", "--", "bash", "-c", script, *argv)


def _ask(pod: str, sql: str) -> str:
    return _in_pod(pod, f'{_CLIENT} --skip-column-names --batch --execute="$0"', sql).strip()


def _start(pod: str, script: str) -> None:
    """Start a script in a pod that outlives this command."""
    _in_pod(pod, 'setsid bash -c "$0" >/dev/null 2>&1 </dev/null & echo $! >>/tmp/fault', script)


def _end(pod: str) -> None:
    """End the groups of processes that `_start` started in a pod."""
    _in_pod(
        pod, "[ ! -e /tmp/fault ] || for group in $(cat /tmp/fault); do kill -KILL -- -$group; done; rm -f /tmp/fault"
    )


def _wait_until_whole() -> None:
    query = "show status where variable_name in ('wsrep_cluster_size', 'wsrep_local_state_comment')"

    def missing() -> str | None:
        for pod in _MEMBERS:
            told = " ".join(_ask(pod, query).split())
            if told != "wsrep_local_state_comment Synced wsrep_cluster_size 3":
                return f"{pod}: {told}"
        unready = [
            pod["metadata"]["name"]
            for pod in get("pods", "--namespace", _NAMESPACE, "--selector", "application=mariadb")["items"]
            if not any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
        ]
        return f"not ready: {' '.join(unready)}" if unready else None

    wait_until("Galera to be whole", missing, timeout=_PATIENCE, interval=1)


def _third() -> Container:
    return running(_NAMESPACE, f"statefulset.kubernetes.io/pod-name={_THIRD}", "mariadb")


def _thaw() -> None:
    _third().signal("CONT")
    _wait_until_whole()


@fault("galera-member-lost", trips="DB-01", parts="mariadb", heal=_thaw)
def freeze_a_member() -> None:
    """A member of the Galera cluster hangs, and the others leave it out."""
    _third().signal("STOP")

    def whole() -> str | None:
        size = _ask(_FIRST, "show status like 'wsrep_cluster_size'").split()[-1]
        return None if size == "2" else f"{size} members"

    wait_until("the others to leave it out", whole, timeout=_PATIENCE, interval=1)


def _request_again() -> None:
    restore("mariadb", _NAMESPACE)
    _wait_for_requests(wanted=True)
    _wait_until_whole()


@fault("database-requests-nothing", trips="DB-02", parts="mariadb", heal=_request_again)
def request_nothing() -> None:
    """The database's pods request nothing."""
    upgrade("mariadb", _NAMESPACE, "pod.resources.server=null")
    _wait_for_requests(wanted=False)
    aftermath.clear()  # the roll-out took the database from its clients for a moment


def _wait_for_requests(*, wanted: bool) -> None:
    def otherwise() -> str | None:
        pods = get("pods", "--namespace", _NAMESPACE, "--selector", "application=mariadb")["items"]
        servers = [c for pod in pods for c in pod["spec"]["containers"] if c["name"] == "mariadb"]
        odd = sum(("requests" in server["resources"]) != wanted for server in servers)
        unready = [p for p in pods if not any(c["ready"] for c in p["status"].get("containerStatuses", ()))]
        return f"{odd} of {len(pods)} pods are as before, {len(unready)} not ready" if odd or unready else None

    wait_until("the members to restart", otherwise, timeout=_ROLLED_WITHIN, interval=2)


def _stop_writing() -> None:
    for pod in (_FIRST, _SECOND):
        _end(pod)
    _ask(_SECOND, "set global wsrep_provider_options='gcs.fc_limit=16'")
    _ask(_FIRST, "drop database if exists seatrial_fault")


def _write(pod: str, statements: str, *, clients: int) -> None:
    """Let clients in a pod run what a script prints, on and on."""
    _start(pod, f"for n in $(seq {clients}); do {{ {statements}; }} | {_CLIENT} --force & done; wait")


def _wait_for_counter(pod: str, counter: str, what: str) -> None:
    def count() -> int:
        return int(_ask(pod, f"show global status like '{counter}'").split()[-1])

    before = count()
    wait_until(what, lambda: None if count() > before else "none yet", timeout=_PATIENCE, interval=0.5)


@fault("conflicting-writers", trips="DB-03", parts="mariadb", heal=_stop_writing)
def conflict() -> None:
    """Two members write the same row all the time."""
    _ask(_FIRST, _MAKE_TABLE)
    for pod in (_FIRST, _SECOND):
        # Hardly a hundred a second: more would make flow control pause them.
        _write(pod, f"while sleep 0.02; do echo '{_UPDATE}'; done", clients=2)
    _wait_for_counter(_FIRST, "wsrep_local_bf_aborts", "transactions to be aborted")


@fault("paused-replication", trips="DB-04", parts="mariadb", heal=_stop_writing)
def pause() -> None:
    """A member is slow, and flow control stops the writers of all."""
    _ask(_FIRST, _MAKE_TABLE)
    _ask(_SECOND, "set global wsrep_provider_options='gcs.fc_limit=1'")
    _write(_FIRST, f"yes '{_INSERT}'", clients=3)
    _wait_for_counter(_SECOND, "wsrep_flow_control_paused_ns", "replication to pause")


def _close() -> None:
    _end(_FIRST)
    _ask(_FIRST, "set global max_connections = 512")


@fault("database-out-of-connections", trips="DB-06", parts="mariadb", heal=_close)
def connect() -> None:
    """Nearly all connections that a member takes are in use."""
    _ask(_FIRST, "set global max_connections = 10")
    _start(_FIRST, f"for n in $(seq 9); do {_CLIENT} --execute='do sleep(600)' & done; wait")

    def few() -> str | None:
        used = int(_ask(_FIRST, "show status like 'Threads_connected'").split()[-1])
        return None if used > 8 else f"{used} in use"

    wait_until("the connections to be in use", few, timeout=_PATIENCE, interval=0.5)


_LOCK = """
waits() {{ {client} --skip-column-names --batch --execute="select 1 from information_schema.processlist
  where state = 'Waiting for table metadata lock' and time >= {held_s}
  and substring_index(host, ':', 1) in ({apis})"; }}
while :; do
  echo 'lock tables nova_cell1.instances write;'
  for n in $(seq 60); do [ -z "$(waits)" ] || break; sleep 0.5; done
  echo 'unlock tables;'
  sleep 0.2
done | {client}
"""
"""Holds the lock until an API's list has waited for it as long, and lets others through twice a minute: a call between
services that waited a minute would be a fault of its own."""
_HELD_S = 12


def _unlock() -> None:
    for pod in _MEMBERS:
        _end(pod)


@fault("servers-locked", trips="OS-07", parts="openstack", heal=_unlock)
def lock() -> None:
    """Somebody works on Nova's table of servers, and who lists them waits."""
    apis = get("pods", "--namespace", _NAMESPACE, "--selector", "application=nova,component=os-api")["items"]
    addresses = ", ".join(f"'{pod['status']['podIP']}'" for pod in apis)
    for pod in _MEMBERS:
        # Whose client ends gives its locks back at once.
        _start(pod, _LOCK.format(client=_CLIENT, held_s=_HELD_S, apis=addresses))

    held = "show open tables in nova_cell1 where `table` = 'instances' and in_use > 0"

    def free() -> str | None:
        unlocked = [pod for pod in _MEMBERS if not _ask(pod, held)]
        return ", ".join(unlocked) or None

    wait_until("the servers to be locked", free, timeout=_PATIENCE, interval=0.5)
