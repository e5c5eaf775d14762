"""What seatrial tells and never does: steps whose risk only a person can weigh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.change import Change, Refused

if TYPE_CHECKING:
    from seatrial.fixtures.rights import Right
    from seatrial.plugins.remediation.hand import Hand


class ByHand(Change, frozen=True, kw_only=True, tag="by hand"):
    """Commands for an operator, with what undoes them."""

    run: tuple[str, ...]
    back: tuple[str, ...] = ()

    @property
    def typed(self) -> tuple[str, ...]:
        """The commands."""
        return self.run

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The commands back."""
        return self.back

    @property
    def rights(self) -> tuple[Right, ...]:
        """None of seatrial's."""
        return ()

    def check(self, hand: Hand) -> bool:
        """Nothing is looked at."""
        del hand
        return False

    def apply(self, hand: Hand) -> None:
        """Never done."""
        del hand
        raise Refused(f"{self.claim} is mended by hand")

    def undo(self, hand: Hand) -> bool:
        """Never done."""
        del hand
        return False
