"""What keeps a run from changing a cloud: each guard refuses with its reason."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seatrial.fixtures.fact import built
from seatrial.fixtures.question import NotConcerned, Unavailable
from seatrial.fixtures.rights import Right
from seatrial.plugins.offenders import identity
from seatrial.plugins.remediation.change import Refused
from seatrial.plugins.remediation.pause import paused
from seatrial.plugins.remediation.risk import OF_EVERY_RUN, Risk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.source import Source
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change
    from seatrial.plugins.remediation.hand import Hand


class Guards:
    """The guards of a run. They look at the cloud as it is now, not as it was judged."""

    def __init__(self, source: Source, profile: Profile) -> None:
        self._source = source
        self._profile = profile

    def before_all(self) -> None:
        """Refuse in the profile's pause window."""
        window = paused(self._profile.remedies.pause, datetime.now(UTC))
        if window:
            raise Refused(f"profile {self._profile.name} allows no remedy now: its pause window is {window} (UTC)")

    def before_claim(self, changes: Iterable[Change]) -> None:
        """Refuse where so many are to be disturbed that the cause is elsewhere."""
        limits = self._profile.remedies
        disruptive = [change for change in changes if change.level == Risk.DISRUPTIVE and change.population]
        offenders = {identity(change.offender) for change in disruptive}
        population = max((change.population for change in disruptive), default=0)
        if population >= limits.offenders_least and len(offenders) > population * limits.offenders_share_max:
            claim = disruptive[0].claim
            raise Refused(f"{claim}: {len(offenders)} of {population} offend: the cause is not in each of them")

    def before(self, change: Change) -> None:
        """Refuse a change that is not safe at this moment."""
        self._releases()
        if change.takes:
            self._quorums(change.takes)
        if change.raw_bytes:
            self._space(change)

    def _releases(self) -> None:
        pending = self._asked("helm", lambda helm: [r for r in helm.latest if r.status.startswith("pending")], [])
        if pending:
            raise Refused(f"a Helm release is pending: {pending[0]}")

    def _quorums(self, takes: str) -> None:
        kind, _, path = takes.partition(" ")
        cluster: Cluster = built("cluster", self._source, self._profile)
        pods = [pod for pod in cluster.pods if kind == "pod" and pod.path == path]
        workloads = [w for w in cluster.workloads if kind != "pod" and w.kind.lower() == kind and w.path == path]
        labels = [item.labels for item in (*pods, *workloads)]
        alone = pods[0].path if pods else ""
        for label in labels:
            if label.get("app") == "rook-ceph-mon":
                self._mons(label.get("mon") or label.get("ceph_daemon_id") or "")
            elif label.get("application") == "mariadb" and label.get("component") == "server":
                self._galera(alone)
            elif label.get("application") == "rabbitmq" and label.get("component") == "server":
                self._brokers(alone)

    def _mons(self, mon: str) -> None:
        quorum = self._asked("ceph", lambda ceph: ceph.quorum, None)
        if quorum is None or mon not in quorum.voting:
            return
        left = len(quorum.voting) - 1
        if left * 2 <= len(quorum.mons):
            raise Refused(f"Ceph would lose its quorum: {left} of {len(quorum.mons)} mons would be left without {mon}")

    def _galera(self, pod: str) -> None:
        members = self._asked("mariadb", lambda mariadb: mariadb.members, ())
        good = {m.pod for m in members if not m.trouble(m.cluster_size)}
        self._majority("Galera", good, len(members), pod)

    def _brokers(self, pod: str) -> None:
        asked = self._asked("rabbitmq", lambda rabbitmq: rabbitmq.nodes_heard, {})
        good = {name for name, heard in asked.items() if heard}
        self._majority("RabbitMQ", good, len(asked), pod)
        unknown = self._asked("rabbitmq", lambda rabbitmq: [key for key in rabbitmq.keys if not key.known], [])
        if unknown:
            raise Refused(f"RabbitMQ would not start again: {unknown[0]} (RMQ-09)")

    @staticmethod
    def _majority(what: str, good: set[str], count: int, pod: str) -> None:
        """Refuse where less than half would be left; of one that serves alone there is no quorum to lose."""
        left = len(good - {pod}) if pod else len(good) - 1
        if count > 1 and (pod in good or not pod) and left * 2 < count:
            raise Refused(f"{what} would lose its quorum: {left} of {count} members would be left")

    def _space(self, change: Change) -> None:
        free = self._asked("ceph", lambda ceph: ceph.raw_room, None)
        if free is None or change.raw_bytes > free:
            raise Refused(
                f"{change.claim}: raw space would not hold it: {change.raw_bytes} bytes are needed, "
                f"{free or 0} are free before OSDs refuse backfill"
            )

    def _asked(self, fact: str, read: Callable[[Any], Any], otherwise: Any) -> Any:
        """Return what a fact says now; `otherwise` where the cloud has nothing of the sort."""
        try:
            return read(built(fact, self._source, self._profile))
        except NotConcerned:
            return otherwise
        except Unavailable as unavailable:
            raise Refused(f"whether it is safe cannot be seen: {unavailable}") from unavailable


def missing_rights(hand: Hand, changes: Iterable[Change]) -> list[Right]:
    """Return the rights that the changes need and the credentials do not have. Raises `Failed`."""
    return lacking(hand, (*OF_EVERY_RUN, *(right for change in changes for right in change.rights)))


def lacking(hand: Hand, rights: Iterable[Right]) -> list[Right]:
    """Return those of the rights that the credentials do not have. Raises `Failed`."""
    # The right to ask is told by asking.
    return [
        right for right in sorted(set(rights)) if right.resource != "selfsubjectaccessreviews" and not hand.may(right)
    ]
