"""A trial's figures as Allure's performance metrics: a file beside the result, which Allure 3 compares between runs.

The format is Allure 3's: an array of measurements in a file whose name ends in `-perf.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    import pytest
    from allure_commons.model2 import TestResult

    from seatrial.plugins.invariants import Invariant
    from seatrial.plugins.judgement import Judgement

_RATES = {"_mib_per_s": "MiB/s", "_per_s": "1/s"}
_TIMES = {"_ms": "ms", "_us": "µs", "_s": "s"}
_LESS_IS_BETTER = {"refused", "lost", "errors", "failed", "nacked", "redelivered"}


def write_metrics(
    config: pytest.Config, result: TestResult, invariant: Invariant, judgement: Judgement, cloud: str
) -> None:
    """Write the figures of one judged claim into the folder of the results."""
    title = f"{invariant.id} {invariant.title}"
    metrics = [
        {
            "id": f"{cloud}/{invariant.id}/{name}",
            "key": f"{cloud}/{invariant.id}/{name}",
            "value": value,
            "start": result.start,
            "stop": result.stop,
            "title": _title(name),
            "unit": _unit(name),
            "better": better(name),
            "group": f"{cloud}/{invariant.id}",
            "groupTitle": f"{title} ({cloud})" if cloud else title,
        }
        for name, value in judgement.measured.items()
    ]
    path = Path(str(config.getoption("allure_report_dir"))) / f"{uuid4()}-perf.json"
    run = config.hook.pytest_seatrial_run(config=config)
    path.write_text(json.dumps([{**metric, "run": run} for metric in metrics], indent=1) + "\n")


def better(name: str) -> str:
    """Return whether `higher` or `lower` is better, from the unit in a figure's name; `neutral` where none says so."""
    if any(name.endswith(suffix) for suffix in _RATES):
        return "higher"
    if any(name.endswith(suffix) for suffix in _TIMES) or name in _LESS_IS_BETTER:
        return "lower"
    return "neutral"


def _suffix(name: str) -> str:
    suffixes: dict[str, Any] = {**_RATES, **_TIMES}
    return next((suffix for suffix in suffixes if name.endswith(suffix)), "")


def _unit(name: str) -> str:
    return {**_RATES, **_TIMES}.get(_suffix(name), "")


def _title(name: str) -> str:
    return name.removesuffix(_suffix(name)).replace("_", " ")
