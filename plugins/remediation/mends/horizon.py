"""What mends Horizon: lines of its Secret, its Deployment, and pods that start anew with both."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from seatrial.fixtures.horizon import MOUNTED_SITE, SERVERS, SETTINGS_FILE, SITE_FILES
from seatrial.fixtures.wsgi import daemons
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.fields import Field
from seatrial.plugins.remediation.files import FileEdit, FileRestored, Line
from seatrial.plugins.remediation.mends.requests import requested
from seatrial.plugins.remediation.objects import Patch
from seatrial.plugins.remediation.places import container_fields, exactly, lasting, pod_of, restarted, set_values, short
from seatrial.plugins.remediation.risk import EXEC, PATCH_DEPLOYMENTS, PATCH_SECRETS, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.horizon import Horizon
    from seatrial.fixtures.objects import Workload
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change, Value
    from seatrial.plugins.remediation.fields import Key

_DAEMON = re.compile(r"^\s*WSGIDaemonProcess\s")
_THREADS = re.compile(r"\bthreads=\d+")
_ENGINE = re.compile(r"^\s*SESSION_ENGINE\s*=")
_SITES = "/etc/apache2/sites-enabled/"


def _deployment(cluster: Cluster) -> Workload:
    found = cluster.workload("Deployment", application="horizon", component="server")
    assert found is not None, "the fact raises where there is none"
    return found


@remedy("HZN-01", Risk.DISRUPTIVE, PATCH_SECRETS, PATCH_DEPLOYMENTS)
def serve_more_requests(source: Source, cluster: Cluster, horizon: Horizon, profile: Profile) -> Iterator[Change]:
    """Gives each process more threads, which cost no memory, and replaces pod after pod.

    Undo gives them the old ones, and replaces the pods again.
    """
    few, workload = horizon.concurrency, _deployment(cluster)
    demanded = profile.horizon
    per_pod = max(demanded.requests_per_pod, math.ceil(demanded.requests_in_all / max(few.replicas, 1)))
    if few.per_pod >= per_pod or not few.processes:
        return
    threads = math.ceil(per_pod / few.processes)
    there = [(name, line) for name in SITE_FILES for line in _lines(cluster, workload, name) if _DAEMON.match(line)]
    if not there:
        return
    name, line = there[0]
    new = _THREADS.sub(f"threads={threads}", line) if _THREADS.search(line) else f"{line} threads={threads}"
    if len(daemons(new)) == 1:
        values = lasting(
            source,
            "Deployment",
            workload.path,
            ("conf.horizon.wsgi.threads", threads),
        )
        yield _edit(cluster, workload, name, Line(line, new), str(few), values)
        yield restarted(workload, str(few), completing=True)


@remedy("HZN-02", Risk.SAFE, EXEC, PATCH_SECRETS)
def restore_apaches_site(source: Source, cluster: Cluster, horizon: Horizon) -> Iterator[Change]:
    """Fills the empty file from a pod that was started with it; no pod is restarted. Undo empties it again."""
    if not horizon.site.empty:
        return
    workload = _deployment(cluster)
    secret, _, name = horizon.site.where.removeprefix("secret ").partition(" ")
    namespace, _, secret_name = secret.partition("/")
    for answer in source.ask(MOUNTED_SITE):
        if not answer.error and not answer.exit and len(daemons(answer.text)) == 1:
            yield FileRestored(
                offender=str(horizon.site),
                before="empty",
                after=f"as pod {answer.speaker} has it",
                resource="secrets",
                namespace=namespace,
                name=secret_name,
                file=name,
                where=exactly(pod_of(cluster, answer.speaker), SERVERS.container),
                path=f"{_SITES}{name}",
                values=lasting(source, "Deployment", workload.path, ("conf.horizon.apache", "the whole site")),
            )
            return


@remedy("HZN-03", Risk.DISRUPTIVE, PATCH_DEPLOYMENTS)
def probe_with_patience(source: Source, cluster: Cluster, horizon: Horizon, profile: Profile) -> Iterator[Change]:
    """Gives the readiness probe the agreed patience, and replaces pod after pod. Undo gives it the old one."""
    demanded, workload = profile.horizon, _deployment(cluster)
    hasty = [
        p for p in horizon.readiness if p.timeout_s < demanded.probe_timeout_s or p.delay_s < demanded.probe_delay_s
    ]
    containers = workload.spec.template.spec.containers
    server = next((c for c in containers if c.name == SERVERS.container), containers[0])
    probe = server.readiness_probe
    if not hasty or not probe:
        return
    place: Key = "readinessProbe"
    now: dict[tuple[Key, ...], Any] = {
        (place, name): probe.get(name) for name in ("timeoutSeconds", "initialDelaySeconds")
    }
    new: dict[tuple[Key, ...], Any] = {
        (place, "timeoutSeconds"): max(probe.get("timeoutSeconds", 1), demanded.probe_timeout_s),
        (place, "initialDelaySeconds"): max(probe.get("initialDelaySeconds", 0), demanded.probe_delay_s),
    }
    paths = "pod.probes.horizon.horizon.readiness"
    yield Patch(
        offender=str(hasty[0]),
        before=f"timeout {probe.get('timeoutSeconds', 1)} s, initial delay {probe.get('initialDelaySeconds', 0)} s",
        after=f"timeout {new[place, 'timeoutSeconds']} s, initial delay {new[place, 'initialDelaySeconds']} s",
        resource="deployments",
        namespace=workload.namespace,
        name=workload.name,
        fields=tuple(container_fields(workload, server.name, new, now)),
        rollout=True,
        takes=short(workload),
        values=tuple(
            value
            for name in ("timeoutSeconds", "initialDelaySeconds")
            for value in lasting(
                source,
                "Deployment",
                workload.path,
                (f"{paths}.params.{name}", new[place, name]),
                (f"{paths}.{name}", new[place, name]),
            )
        ),
    )


@remedy("HZN-04", Risk.DISRUPTIVE, PATCH_SECRETS, PATCH_DEPLOYMENTS)
def keep_sessions_in_the_database(
    source: Source, cluster: Cluster, horizon: Horizon, profile: Profile
) -> Iterator[Change]:
    """Sets the session engine and replaces pod after pod: everybody logs in again. Undo sets the old one, likewise."""
    sessions, wanted = horizon.sessions, profile.horizon.session_engines[0]
    if sessions.engine in profile.horizon.session_engines:
        return
    workload = _deployment(cluster)
    lines = [line for line in _lines(cluster, workload, SETTINGS_FILE) if _ENGINE.match(line)]
    old = lines[-1] if lines else ""
    new = f'SESSION_ENGINE = "{wanted}"'
    if old and "'" in old:
        new = f"SESSION_ENGINE = '{wanted}'"
    values = lasting(
        source,
        "Deployment",
        workload.path,
        ("conf.horizon.local_settings.config.session_engine", wanted),
    )
    yield _edit(cluster, workload, SETTINGS_FILE, Line(old, new), str(sessions), values)
    yield restarted(workload, str(sessions), completing=True)


@remedy("HZN-05", Risk.DISRUPTIVE, PATCH_DEPLOYMENTS)
def request_what_horizon_needs(
    source: Source, cluster: Cluster, horizon: Horizon, profile: Profile
) -> Iterator[Change]:
    """Sets the requests, and replaces pod after pod. Undo sets the old ones, with another replacement."""
    wanted = profile.horizon.cpu_request, profile.horizon.memory_request
    thin = [request for request in horizon.requests if request.below(*wanted)]
    if thin:
        yield requested(source, _deployment(cluster), "horizon", wanted, str(thin[0]))


@remedy("HZN-06", Risk.DISRUPTIVE, PATCH_DEPLOYMENTS)
def start_with_the_secret_as_it_is(source: Source, cluster: Cluster, horizon: Horizon) -> Iterator[Change]:
    """Resumes a rollout that was paused, else replaces pod after pod: pages in progress are cut off."""
    workload = _deployment(cluster)
    outdated = horizon.outdated
    if outdated and workload.spec.paused:
        command = f"kubectl -n {workload.namespace} rollout"
        yield Patch(
            offender=str(outdated[0]),
            before="the rollout is paused",
            after="it goes on",
            resource="deployments",
            namespace=workload.namespace,
            name=workload.name,
            fields=(Field(("spec", "paused"), before=True, after=None),),
            rollout=True,
            spelled=f"{command} resume deployment/{workload.name}",
            spelled_undo=f"{command} pause deployment/{workload.name}",
            takes=short(workload),
            values=set_values(
                source, "Deployment", workload.path, {"pod.lifecycle.upgrades.deployments.paused": False}
            ),
        )
    if outdated:
        yield restarted(workload, str(outdated[0]), rung=1 if workload.spec.paused else 0)


def _lines(cluster: Cluster, workload: Workload, name: str) -> list[str]:
    return cluster.mounted_files(workload).get(name, ("", ""))[1].splitlines()


def _edit(
    cluster: Cluster, workload: Workload, name: str, line: Line, offender: str, values: tuple[Value, ...]
) -> FileEdit:
    namespace, _, secret = cluster.mounted_files(workload)[name][0].partition("/")
    return FileEdit(
        offender=offender,
        before=line.before.strip() or "no such line",
        after=line.after.strip(),
        resource="secrets",
        namespace=namespace,
        name=secret,
        file=name,
        lines=(line,),
        values=values,
    )
