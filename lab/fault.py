"""What a fault is: something that is broken in the lab for real, and the claim that must see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from seatrial.lab import aftermath

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break the lab, and back."""

    name: str
    title: str
    """What is broken, in the words of whoever would report it."""
    trips: str
    """The id of the claim that is violated by it, and by it alone."""
    parts: frozenset[str]
    """The parts of the lab that it needs, as `lab up --only` names them."""
    break_: Callable[[], None]
    """Breaks it, and returns when the breakage shows."""
    undo: Callable[[], None]
    """Undoes it, and returns when the lab is sound again. Harmless where nothing is broken."""

    def heal(self) -> None:
        """Undo it, and return when nothing in the lab tells of it any more."""
        self.undo()
        aftermath.clear()


@dataclass(slots=True)
class Registry:
    """Faults by name, in the order in which their files define them."""

    faults: dict[str, Fault] = field(default_factory=dict)

    def fault(
        self, name: str, *, trips: str, parts: str, heal: Callable[[], None]
    ) -> Callable[[Callable[[], None]], Callable[[], None]]:
        """Register the decorated function as what breaks; its docstring's first line is the title.

        `parts` are the parts of the lab that it needs, separated by blanks.
        """

        def register(break_: Callable[[], None]) -> Callable[[], None]:
            if name in self.faults:
                raise ValueError(f"two faults are called {name}")
            title = (break_.__doc__ or name).strip().splitlines()[0].rstrip(".")
            self.faults[name] = Fault(name, title, trips, frozenset(parts.split()), break_, heal)
            return break_

        return register


REGISTRY = Registry()
"""Every fault of the lab, once the files of `faults/` are imported."""

fault = REGISTRY.fault
