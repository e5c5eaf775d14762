"""The hand that changes a cloud: its Kubernetes API, with the credentials of the run. Facts are not read through it."""

from __future__ import annotations

import contextlib
import shlex
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from seatrial.fixtures import kubernetes_api, podexec, resources
from seatrial.fixtures.kubernetes_api import KubernetesApi
from seatrial.fixtures.question import Unavailable
from seatrial.fixtures.settings import OpenStackLogin
from seatrial.plugins.remediation.change import Failed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from seatrial.fixtures.question import Answer
    from seatrial.fixtures.rights import Right
    from seatrial.fixtures.tenant_session import Session

PATIENCE = 30.0
"""Seconds that one request may take."""
EXEC_PATIENCE = 120.0
"""Seconds that one command in a pod may take."""

JSON_PATCH = "application/json-patch+json"

_INVALID, _FORBIDDEN = 422, 403


class Conflict(Failed):
    """Somebody else wrote the object in between."""


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """The pod that a command runs in: by name, or the first ready one with these labels (`app=x,component=y`).

    `spelled` is what kubectl exec takes for it.
    """

    namespace: str
    spelled: str
    pod: str = ""
    selector: str = ""
    container: str = ""

    def typed(self, argv: Sequence[str], *, stdin: bool = False) -> str:
        """Return the command as an operator would type it."""
        inside = f" -c {self.container}" if self.container else ""
        given = " -i" if stdin else ""
        return f"kubectl -n {self.namespace} exec{given} {self.spelled}{inside} -- {shlex.join(argv)}"


class Hand:
    """Writes to a cloud."""

    def __init__(
        self,
        client: Any,
        patience_s: float,
        poll_s: float,
        say: Callable[[str], None],
        login: OpenStackLogin | None = None,
        kubeconfig: str = "",
        context: str = "",
    ) -> None:
        """Take the kubernetes client that `fixtures.target.connect` returns. Contacts nothing.

        What is waited for is looked at every `poll_s` seconds and given up after `patience_s`; `say` hears of it.
        `kubeconfig` and `context` are for programs that reach the same cluster by themselves.
        """
        self._client = client
        self._api = KubernetesApi(client, PATIENCE)
        self.patience_s = patience_s
        self._poll_s = poll_s
        self._say = say
        self._login = login or OpenStackLogin()
        self.kubeconfig = kubeconfig
        self.context = context

    @property
    def server(self) -> str:
        """The API server's address."""
        return self._api.host

    @cached_property
    def openstack(self) -> Session:
        """A session with OpenStack, as `clouds.yaml` says. Raises `Failed` where nobody can log in."""
        from seatrial.fixtures.tenant_login import login_of  # noqa: PLC0415 - for those who log in
        from seatrial.fixtures.tenant_session import Session  # noqa: PLC0415 - likewise

        try:
            return Session(login_of(self._login))
        except Unavailable as unavailable:
            raise Failed(str(unavailable)) from unavailable

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object or a list, None where there is none. Raises `Failed`."""
        with _told_as_failed():
            try:
                return self._api.ask("GET", path)
            except kubernetes_api.Refused as refused:
                if not refused.gone:
                    raise
        return None

    def send(self, method: str, path: str, body: Any, content: str = "application/json") -> dict[str, Any]:
        """Write an object. Raises `Conflict` where it was written meanwhile, else `Failed`."""
        with _told_as_failed():
            try:
                return self._api.ask(method, path, body, content=content)
            except kubernetes_api.Refused as refused:
                if refused.conflict or (refused.status == _INVALID and content == JSON_PATCH):
                    raise Conflict(str(refused)) from refused
                raise

    def delete(self, path: str, uid: str = "") -> bool:
        """Delete an object, the one with this uid and no other; False where it is gone already. Raises `Failed`."""
        with _told_as_failed():
            try:
                return self._api.delete(path, uid)
            except kubernetes_api.Refused as refused:
                if refused.conflict:
                    name = path.rpartition("/")[2]
                    raise Refused(f"{name} is another one than was judged: {refused.said}") from refused
                raise

    def pod(self, where: Where) -> str:
        """Return the pod that is meant, none that is on its way out. Raises `Failed` where none is ready."""
        if where.pod:
            return where.pod
        path = f"{resources.path('pods', where.namespace)}?labelSelector={quote(where.selector)}"
        for pod in (self.get(path) or {}).get("items", []):
            conditions = (pod.get("status") or {}).get("conditions") or []
            ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
            if ready and not pod["metadata"].get("deletionTimestamp"):
                return str(pod["metadata"]["name"])
        raise Failed(f"no pod labelled {where.selector} is ready in {where.namespace}")

    def run(self, where: Where, argv: Sequence[str], limit: float = EXEC_PATIENCE, *, stdin: bytes = b"") -> Answer:
        """Run a command in a pod and return what it said, whatever its exit status. Raises `Failed` if unheard."""
        pod = self.pod(where)
        answer = podexec.run(self._client, where.namespace, pod, where.container, argv, limit, stdin)
        if answer.error:
            raise Failed(f"{where.namespace}/{pod}: {answer.error}")
        return answer

    def done(self, where: Where, argv: Sequence[str], limit: float = EXEC_PATIENCE, *, stdin: bytes = b"") -> str:
        """Run a command in a pod and return what it printed. Raises `Failed` unless it succeeds."""
        answer = self.run(where, argv, limit, stdin=stdin)
        if answer.exit:
            said = (answer.stderr.strip() or answer.text.strip()).splitlines()
            raise Failed(f"{' '.join(argv)[:120]}: exit status {answer.exit}: {said[-1] if said else ''}")
        return answer.text

    def wait_until(self, what: str, left: Callable[[], str]) -> None:
        """Return once `left` says nothing any more. Raises `Failed` when the time is up."""
        end = time.monotonic() + self.patience_s
        said = ""
        while remaining := left():
            if remaining != said:
                self._say(f"  waiting for {what}: {remaining}")
                said = remaining
            if time.monotonic() >= end:
                raise Failed(f"{what}: {remaining} after {self.patience_s:.0f} s")
            time.sleep(self._poll_s)

    def may(self, right: Right) -> bool:
        """Ask the API server whether these credentials have a right. Raises `Failed`."""
        with _told_as_failed():
            return self._api.may(right)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.rest_client.pool_manager.clear()


@contextlib.contextmanager
def _told_as_failed() -> Iterator[None]:
    """Tell what the API server did not do as `Failed`, and where the rights are written down."""
    try:
        yield
    except kubernetes_api.Refused as refused:
        rights = " (not allowed; docs/remedies.md lists what each remedy needs)"
        raise Failed(f"{refused}{rights if refused.status == _FORBIDDEN else ''}") from refused
    except Unavailable as unavailable:
        raise Failed(str(unavailable)) from unavailable
