"""The cloud of the UM report, before its optimization pass: the lab with that report's faults in place, all at once.

`python -m seatrial.lab.um_cloud break` and `… heal`, for recording it and for showing one run that mends it.
"""

from __future__ import annotations

import sys

from seatrial.lab.faults import all_faults
from seatrial.lab.shell import say
from seatrial.lab.state import State

FAULTS: tuple[str, ...] = ()
"""The report's findings, in an order in which they do not undo each other."""


def break_all() -> None:
    """Put every fault of the report in place. What fails midway is left for `heal_all`."""
    faults = all_faults()
    for name in FAULTS:
        say(f"breaking {name}: {faults[name].title}")
        faults[name].break_()


def heal_all() -> None:
    """Undo every fault of the report, the last one first."""
    faults = all_faults()
    for name in reversed(FAULTS):
        say(f"healing {name}")
        faults[name].heal()


if __name__ == "__main__":
    State.mine()
    {"break": break_all, "heal": heal_all}[sys.argv[1]]()
