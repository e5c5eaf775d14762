"""Verdicts as Prometheus metrics, in a file for node-exporter's textfile collector.

The format is Prometheus's text exposition format, without timestamps, which that collector refuses. `docs/reports.md`
says what each metric means.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from seatrial.reports.placed import place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

METRICS = {
    "seatrial_run_info": "The last run: its id, profile and verdict.",
    "seatrial_gate_open": "Whether the last run opened the gate.",
    "seatrial_exit_status": "The exit status of the last run.",
    "seatrial_run_started_timestamp_seconds": "When the last run began, in seconds since the epoch.",
    "seatrial_run_duration_seconds": "How long the last run took.",
    "seatrial_invariants": "How many invariants had this outcome.",
    "seatrial_invariant_violated": "Whether this invariant is violated; absent where it was not judged.",
    "seatrial_invariant_offenders": "How many offend against this invariant, without those that a waiver covers.",
    "seatrial_figure": "A figure that a trial measured; its unit stands at the end of its name.",
}

_JUDGED = ("holds", "mended", "violated", "waived", "stale waiver")

Sample = tuple[str, dict[str, str], float]


def write(verdicts: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the metrics of one verdict for each cloud, renamed into place.

    Raises OSError, and ValueError for a file that the collector would not read, or two verdicts of one cloud.
    """
    if path.suffix != ".prom":
        raise ValueError(f"{path}: node-exporter reads files that end in .prom only")
    clouds = [verdict["cloud"] for verdict in verdicts]
    twice = sorted({cloud for cloud in clouds if clouds.count(cloud) > 1})
    if twice:
        raise ValueError(f"two verdicts of cloud {twice[0] or 'without a name'}: give its last one only")
    place(exposition(verdicts), path)


def exposition(verdicts: Sequence[dict[str, Any]]) -> str:
    """Return the metrics as text, those of one name together, as the format demands."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for verdict in verdicts:
        for sample in _samples(verdict):
            found[sample[0]].append(sample)
    lines = []
    for name, meaning in METRICS.items():
        if name in found:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
            lines += [f"{name}{{{_labels(labels)}}} {value!r}" for _, labels, value in found[name]]
    return "\n".join(lines) + "\n"


def _samples(verdict: dict[str, Any]) -> Iterable[Sample]:
    cloud = {"cloud": verdict["cloud"]}
    told = {"run": verdict["run"], "profile": verdict["profile"], "verdict": verdict["verdict"]}
    yield "seatrial_run_info", {**cloud, **told}, 1
    yield "seatrial_gate_open", cloud, int(verdict["verdict"] == "open")
    yield "seatrial_exit_status", cloud, verdict["exit"]
    yield "seatrial_run_started_timestamp_seconds", cloud, datetime.fromisoformat(verdict["started"]).timestamp()
    yield "seatrial_run_duration_seconds", cloud, verdict["duration"]
    for outcome, count in verdict["counts"].items():
        yield "seatrial_invariants", {**cloud, "outcome": outcome}, count
    for entry in verdict["invariants"]:
        named = {**cloud, "invariant": entry["id"], "severity": entry["severity"]}
        if entry["outcome"] in _JUDGED:
            titled = {**named, "title": entry["title"]}
            yield "seatrial_invariant_violated", titled, int(entry["outcome"] == "violated")
            yield "seatrial_invariant_offenders", named, len(entry["offenders"])
        for figure, value in entry["measured"].items():
            yield "seatrial_figure", {**cloud, "invariant": entry["id"], "figure": figure}, value


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
