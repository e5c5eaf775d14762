"""Ten runs of the gate with a regression in the middle, their report, and pictures of it: `make report-example`.

It takes a lab that is up and sound, with RabbitMQ and memcached at least. Run 6 and 7 find a broker with a CPU limit
below one core, of which openstack-helm derives one scheduler; before run 8 that is healed; run 10 mends what somebody
set by hand. A queue that is durable in all of them is waived. Every figure is measured, and a run that does not end as
the story has it ends the script: no picture is made of it. Pictures and page go to docs/; what they were made of stays
in `reports/out/ten-runs`. `--rehearse` plays it on a real broker of this machine instead (tests/rehearsed_lab.py).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import browser
import ten_runs_page
from rehearsed_lab import RehearsedLab

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "reports" / "out" / "ten-runs"
COMMAND = (sys.executable, "-m", "seatrial.command")
SLOW, BY_HAND, DURABLE = "rabbitmq-small-cpu-limit", "rabbitmq-memory-watermark", "rabbitmq-durable-queue"
CLAIMS = "(conformance and (rabbitmq or memcached)) or invariant(id='LOAD-01')"
RUNS, SICK, MENDING = 10, (6, 7), 10
PROFILE = """
extends = "lab"
about = "Seconds of load, and a verdict on its figures after five runs: for the ten runs of the documentation"

[broker_load]
warm_up_s = 2.0
duration_s = {seconds}

# What closes the gate here is what is worse than usual, on whatever machine this is.
[broker_load.baseline]
messages_per_s = 500.0
confirm_p99_ms = 2000.0
end_to_end_p99_ms = 5000.0

# Without a rate, who is a little faster of producer and consumer decides how much waits in the queue: chance.
[regressions]
runs_min = 5
[regressions.directions]
end_to_end_p50_ms = "neither"
end_to_end_p95_ms = "neither"
end_to_end_p99_ms = "neither"
"""
WAIVER = """
[[waiver]]
invariant = "RMQ-12"
object = "queue lab-durable *"
reason = "the service moves to transient queues with the next release"
owner = "OPS-4711"
until = {last_day}
"""


class Lab:
    """The lab of this machine, by its own command."""

    options = ("--cloud", "lab")

    def __enter__(self):
        if subprocess.run([*COMMAND, "lab", "status"], stdout=subprocess.PIPE, timeout=900, check=False).returncode:
            raise SystemExit("no lab is up: `seatrial lab up --only rabbitmq,memcached` first, or REHEARSE=yes")
        return self

    def __exit__(self, *_):
        for fault in (SLOW, BY_HAND, DURABLE):
            self.heal(fault)

    @property
    def mending(self):
        """What a run that changes the cloud is given besides: somebody who may."""
        return ("--kubeconfig", self._lab("kubeconfig", "admin").strip())

    def break_(self, fault):
        self._lab("break", fault)

    def heal(self, fault):
        self._lab("heal", fault)

    def _lab(self, *words):
        return subprocess.run(
            [*COMMAND, "lab", *words], stdout=subprocess.PIPE, text=True, timeout=900, check=True, cwd=ROOT
        ).stdout


class Show:
    """The runs, in the folder in which everything of them is kept."""

    def __init__(self, cloud, folder, seconds):
        self.cloud, self.folder = cloud, folder
        self.verdicts = {}
        (folder / "ten-runs.toml").write_text(PROFILE.format(seconds=seconds))
        (folder / "waivers.toml").write_text(WAIVER.format(last_day=(datetime.now(UTC) + timedelta(days=60)).date()))

    def seatrial(self, *words, statuses=(0,)):
        """Run seatrial in the folder as an operator would, without colours, and return what it prints."""
        environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
        environment.pop("CI", None)
        done = subprocess.run(
            [*COMMAND, *map(str, words)], cwd=self.folder, env=environment, capture_output=True, text=True,
            timeout=1800, check=False,
        )  # fmt: skip
        if done.returncode not in statuses:
            raise SystemExit(f"seatrial {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def judge(self, number):
        """Judge the cloud once more, and keep all that it leaves in a folder of its own."""
        sick, kept = number in SICK, Path(str(number))
        told = self.seatrial(
            "gate", *self.cloud.options, "-m", CLAIMS, "--allow", "load", "--profile", "ten-runs.toml",
            "--waivers", "waivers.toml", "--history", "history", "--evidence", kept / "evidence",
            "--verdict", kept / "verdict.json", "--alluredir", kept / "allure",
            *((*self.cloud.mending, "--remedy=safe") if number == MENDING else ()),
            statuses=(int(sick),),
        )  # fmt: skip
        (self.folder / kept / "said.txt").write_text(told)
        self.verdicts[number] = verdict = json.loads((self.folder / kept / "verdict.json").read_text())
        measured = self.of(number, "LOAD-01")["measured"]
        print(f"run {number}: {verdict['verdict']}, {measured['messages_per_s']:.0f} messages/s", flush=True)
        # The second sick run may find a load that is slow, and as usual by then: what is noisy has a wide usual.
        wanted = {"RMQ-01", "LOAD-01"} if number == SICK[0] else {"RMQ-01"} if sick else set()
        violated = {entry["id"] for entry in verdict["invariants"] if entry["outcome"] == "violated"}
        if not (wanted <= violated if sick else not violated):
            raise SystemExit(f"run {number} does not show what it is to show:\n{told}")

    def of(self, number, claim):
        return next(entry for entry in self.verdicts[number]["invariants"] if entry["id"] == claim)


def played(cloud, folder, seconds):
    """Judge ten times, with what happens in between."""
    show = Show(cloud, folder, seconds)
    cloud.break_(DURABLE)
    for number in range(1, RUNS + 1):
        if number == SICK[0]:
            cloud.break_(SLOW)
        elif number == SICK[-1] + 1:
            cloud.heal(SLOW)
            cloud.break_(DURABLE)  # a heal clears the queues that nobody uses
        if number == MENDING:
            cloud.break_(BY_HAND)
        show.judge(number)
        if number in (SICK[0], RUNS):
            reported(show, number)
    if show.of(MENDING, "RMQ-04")["outcome"] != "mended" or show.of(RUNS, "RMQ-12")["outcome"] != "waived":
        raise SystemExit(
            f"run {MENDING} mended nothing, or nothing was waived:\n{(folder / '10/said.txt').read_text()}"
        )
    return show


def reported(show, last):
    """Build the report after a run, as its pipeline would: of all runs so far, the trend kept in a file."""
    folders = [f"{number}/allure" for number in range(1, last + 1)]
    show.seatrial("report", *folders, "--out", f"report-{last}.html", "--trend", "trend.jsonl")


def main():
    parser = argparse.ArgumentParser(description="Ten runs, their report, and pictures of it")
    parser.add_argument("--rehearse", action="store_true", help="on a real broker of this machine, without the lab")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load, besides two that are not measured")
    parser.add_argument("--out", type=Path, default=KEPT, help="where everything of the runs is kept")
    parser.add_argument(
        "--docs", type=Path, help="where page and pictures go (default: docs/; of a rehearsal: OUT/docs)"
    )
    given = parser.parse_args()
    if browser.missing():
        raise SystemExit(f"pictures of a report take Node.js, npm and Chromium: {browser.missing()}")
    # Whatever ends it, the broker ends with it, and the lab is healed; a script's background ignores Ctrl-C by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(128 + signal.SIGTERM))
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    docs = given.docs or (given.out / "docs" if given.rehearse else ROOT / "docs")
    with RehearsedLab(given.out / "cloud") if given.rehearse else Lab() as cloud:
        show = played(cloud, given.out, given.seconds)
    ten_runs_page.write(show, docs, SICK, RUNS, rehearsed=given.rehearse)
    print(docs / "ten-runs.md")


if __name__ == "__main__":
    main()
