"""Undoing what a journal says was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.plugins.remediation.hand import Hand
    from seatrial.plugins.remediation.journal import Journal


def undone(journal: Journal, hand: Hand, last: int | None, say: Callable[[str], None], held: Callable[[], None]) -> int:
    """Undo what stands in a journal, the last change first; return how many were undone. Raises `Refused`, `Failed`."""
    count = 0
    for entry in journal.contents.standing(last):
        held()
        change, number = entry.change, entry.intended.number
        if not change.typed_undo:
            say(f"{change.claim}: nothing to undo: {change.typed[0]}")
            journal.became(number, "undone", "nothing was left to undo")
            continue
        for command in change.typed_undo:
            say(f"{change.claim}: {command}")
        made = change.undo(hand)
        journal.became(number, "undone", "" if made else "it was not in place")
        count += made
        hand.wait_until(f"{change.claim} to settle", lambda change=change: change.unsettled(hand))  # type: ignore[misc]
    return count
