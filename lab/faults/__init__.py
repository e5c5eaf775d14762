"""The ways to break the lab, one small file each."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from seatrial.lab.fault import REGISTRY

if TYPE_CHECKING:
    from seatrial.lab.fault import Fault


def all_faults() -> dict[str, Fault]:
    """Return every fault by its name."""
    for module in pkgutil.iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return REGISTRY.faults
