"""The cloud of the UM report, before its optimization pass: the lab with that report's faults in place, all at once.

`python -m seatrial.lab.um_cloud break` and `… heal`, for recording it and for showing one run that mends it.
"""

from __future__ import annotations

import contextlib
import sys

from seatrial.lab import aftermath
from seatrial.lab.faults import all_faults
from seatrial.lab.shell import LabError, hurried, say
from seatrial.lab.state import State

FAULTS = (
    "few-nova-apis",
    "few-horizon-threads",
    "hasty-horizon-probe",
    "sessions-in-the-cache",
    "horizon-requests-little",
    "unread-crash",
    "pool-with-one-copy",
    "mons-warn-too-early",
    "stale-mon-folder",
    "osd-out",
    "mon-low-on-disk",
    "schema-v1-image",
    "missing-dep-check-image",
    "image-pull-backoff",
    "one-memcached",
    "database-requests-nothing",
    "live-patch",
    "rabbitmq-one-scheduler",
    "rabbitmq-unknown-key",
    "rabbitmq-no-permissions",
    "rabbitmq-log-level",
    "rabbitmq-statistics-interval",
    "rabbitmq-memory-watermark",
    "rabbitmq-durable-queue",
    "rabbitmq-disk-limit-of-ram",
    "cordoned-node",
    "mon-out-of-quorum",
    "placement-groups-stuck",
    "slow-operations",
)
"""The report's findings, in an order in which they neither undo nor prevent each other: a crash is read as such only
in a cluster that can recover, and a broker is not restarted on a node that is cordoned."""

_ROLLED_OUT_MEANWHILE = FAULTS[: FAULTS.index("unread-crash")]
"""Faults whose rollouts go on while the next ones are put in place: they take minutes, and nothing waits for them."""


def break_all() -> None:
    """Put every fault of the report in place. What fails midway is left for `heal_all`."""
    faults = all_faults()
    for name in FAULTS:
        say(f"breaking {name}: {faults[name].title}")
        with hurried() if name in _ROLLED_OUT_MEANWHILE else contextlib.nullcontext():
            faults[name].break_()


def heal_all() -> None:
    """Undo every fault of the report, the last one first; then go round in order, and wait until the lab is sound.

    A single fault's heal waits for a sound lab, which it cannot see while the others are in place.
    """
    faults = all_faults()
    with hurried():
        for name in reversed(FAULTS):
            say(f"healing {name}")
            with contextlib.suppress(LabError):  # the second round says what would not heal
                faults[name].undo()
    for name in FAULTS:
        faults[name].undo()
    aftermath.clear()
    say("healed")


if __name__ == "__main__":
    State.mine()
    {"break": break_all, "heal": heal_all}[sys.argv[1]]()
