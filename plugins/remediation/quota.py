"""A quota that is raised by the service's own API, and put back by the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.fixtures.quotas import limits_of, set_limits
from seatrial.fixtures.tenant_session import Refused as ApiRefused
from seatrial.plugins.remediation.change import Change, Failed, Refused

if TYPE_CHECKING:
    from seatrial.fixtures.rights import Right
    from seatrial.fixtures.tenant_session import Session
    from seatrial.plugins.remediation.hand import Hand

_OPTIONS = {"port": "ports"}


class QuotaRaise(Change, frozen=True, kw_only=True, tag="quota"):
    """Limits of one service, for the project of whoever runs this: what they are, and what they become."""

    service: str
    limits: dict[str, int]
    wanted: dict[str, int]

    @property
    def typed(self) -> tuple[str, ...]:
        """By OpenStack's own client."""
        return (self._spelled(self.wanted),)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The old limits."""
        return (self._spelled(self.limits),)

    @property
    def rights(self) -> tuple[Right, ...]:
        """None of Kubernetes': OpenStack decides."""
        return ()

    def check(self, hand: Hand) -> bool:
        """Compare the limits with what was judged."""
        return self._compared(hand.openstack, self.limits, self.wanted)

    def apply(self, hand: Hand) -> None:
        """Raise the limits."""
        if not self.check(hand):
            self._put(hand.openstack, self.wanted)

    def undo(self, hand: Hand) -> bool:
        """Put the limits back; what somebody else has set meanwhile is theirs."""
        if self._compared(hand.openstack, self.wanted, self.limits):
            return False
        self._put(hand.openstack, self.limits)
        return True

    def _compared(self, session: Session, now: dict[str, int], then: dict[str, int]) -> bool:
        try:
            said = limits_of(session, self.service)
        except ApiRefused as refused:
            raise Failed(str(refused)) from refused
        live = {name: said.get(name) for name in now}
        if live == then:
            return True
        if live != now:
            raise Refused(f"the {self.service} quota changed since it was judged: {live}")
        return False

    def _put(self, session: Session, limits: dict[str, int]) -> None:
        try:
            set_limits(session, self.service, limits)
        except ApiRefused as refused:
            raise Failed(str(refused)) from refused

    def _spelled(self, limits: dict[str, int]) -> str:
        options = " ".join(f"--{_OPTIONS.get(name, name)} {limit}" for name, limit in sorted(limits.items()))
        return f"openstack quota set {options} $(openstack token issue -f value -c project_id)"
