"""A trial's figures as Allure's performance metrics: a file beside the result, which Allure 3 compares between runs.

The format is Allure 3's: an array of measurements in a file whose name ends in `-perf.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from seatrial.plugins.distribution import HIGHER, LOWER, NEITHER, Limits, direction

if TYPE_CHECKING:
    import pytest
    from allure_commons.model2 import TestResult

    from seatrial.plugins.invariants import Invariant
    from seatrial.plugins.judgement import Judgement

_SYMBOLS = {"mib_per_s": "MiB/s", "per_s": "1/s", "ms": "ms", "us": "µs", "s": "s"}
"""Units by how a figure's name ends, the longest first."""

_BETTER = {LOWER: "lower", HIGHER: "higher", NEITHER: "neutral"}


def write_metrics(
    config: pytest.Config, result: TestResult, invariant: Invariant, judgement: Judgement, about: dict[str, Any]
) -> None:
    """Write the figures of one judged claim into the folder of the results."""
    cloud = str(about.get("cloud", ""))
    better = Limits.of(about["regressions"]).better if about.get("regressions") else direction
    title = f"{invariant.id} {invariant.title}"
    metrics = [
        {
            "id": f"{cloud}/{invariant.id}/{name}",
            "key": f"{cloud}/{invariant.id}/{name}",
            "value": value,
            "start": result.start,
            "stop": result.stop,
            "title": name.removesuffix(f"_{_unit(name)}").replace("_", " "),
            "unit": _SYMBOLS.get(_unit(name), ""),
            "better": _BETTER[better(name)],
            "group": f"{cloud}/{invariant.id}",
            "groupTitle": f"{title} ({cloud})" if cloud else title,
        }
        for name, value in judgement.measured.items()
    ]
    path = Path(str(config.getoption("allure_report_dir"))) / f"{uuid4()}-perf.json"
    run = config.hook.pytest_seatrial_run(config=config)
    path.write_text(json.dumps([{**metric, "run": run} for metric in metrics], indent=1) + "\n")


def _unit(name: str) -> str:
    return next((known for known in _SYMBOLS if name.endswith(f"_{known}")), "")
