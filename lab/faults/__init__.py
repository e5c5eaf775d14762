"""The ways to break the lab, a file for each subsystem."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from seatrial.lab.fault import Registry

if TYPE_CHECKING:
    from seatrial.lab.fault import Fault

FAULTS = Registry()
"""Each file of this room registers its faults here."""


def all_faults() -> dict[str, Fault]:
    """Return every fault by its name."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return FAULTS.faults
