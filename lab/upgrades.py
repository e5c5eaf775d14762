"""Helm upgrades to other values and back: how those faults come and go that a chart's values cause."""

from __future__ import annotations

import json
from typing import Any

from seatrial.lab.kubectl import helm
from seatrial.lab.releases import CHARTS
from seatrial.lab.shell import LabError

_MARK = "a fault of the lab"


def upgrade(release: str, namespace: str, *settings: str) -> None:
    """Upgrade a release of the lab's chart of that name to its values but for these (`key=value`, as `--set` takes)."""
    chosen = [word for setting in settings for word in ("--set", setting)]
    helm(
        *("upgrade", release, str(CHARTS / release), "--namespace", namespace),
        *("--reset-then-reuse-values", *chosen, "--description", _MARK),
    )


def restore(release: str, namespace: str) -> bool:
    """Upgrade a release back to the values that it had before faults came; return whether there was one."""
    history = json.loads(helm("history", release, "--namespace", namespace, "--output", "json", timeout=30))
    if history[-1]["description"] != _MARK:
        return False
    sound: list[dict[str, Any]] = [revision for revision in history if revision["description"] != _MARK]
    if not sound:
        raise LabError(f"release {release}: no revision from before the faults is left: `seatrial lab up` restores it")
    number, description = str(sound[-1]["revision"]), str(sound[-1]["description"])
    values = helm("get", "values", release, "--namespace", namespace, "--revision", number, "--output", "json")
    helm(
        *("upgrade", release, str(CHARTS / release), "--namespace", namespace, "--reset-values"),
        *("--values", "-", "--description", description),
        stdin=values if values.strip() != "null" else "{}",
    )
    return True
