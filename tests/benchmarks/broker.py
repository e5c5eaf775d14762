"""PerfTest beside our own load, on the same broker, alternating: `make bench-broker`.

Both get the same scenario, a warm-up that is left out, and the same seconds. What each uses of the processor is read
from outside, from the kernel's own account of its processes, over just those seconds. The table is for
docs/performance.md; all figures of each run stand in `build/bench-broker.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import msgspec
from real_broker import SERVER, RealBroker

from seatrial.fixtures.broker_trial import scenario_of
from seatrial.fixtures.load.broker import ADDRESS
from seatrial.fixtures.settings import load_profile

PERF_TEST = "2.22.1"
"""RabbitMQ's own tool, as Maven's registry has it."""

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>seatrial</groupId><artifactId>bench</artifactId><version>1</version><dependencies><dependency>
<groupId>com.rabbitmq</groupId><artifactId>perf-test</artifactId><version>{version}</version></dependency></dependencies>
</project>
"""
SIDES = ("PerfTest", "ours")
SCENARIOS = ("baseline", "realistic", "stress")
TARGETS = {"baseline": 1.5, "realistic": 1.5, "stress": 1.3}
"""How many times PerfTest's throughput is aimed at; a third of its processor time a message in all three."""

QUEUE_AT_WORK = """
Reductions = fun(P) -> element(2, process_info(P, reductions)) end,
Pids = [amqqueue:get_pid(Q) || Q <- rabbit_amqqueue:list()],
{_, Pid} = lists:max([{Reductions(P), P} || P <- Pids]),
Look = fun(_) -> timer:sleep(3), process_info(Pid, status) =/= {status, waiting} end,
length([1 || true <- lists:map(Look, lists:seq(1, 1000))]) / 1000.
"""
"""What part of some three seconds the process of the busiest queue was at work, or waited for a processor."""

TICKS = os.sysconf("SC_CLK_TCK")
_LINE = re.compile(
    r"time (?P<at>[\d.]+) s, sent: (?P<sent>\d+) msg/s.*?received: (?P<received>\d+) msg/s"
    r"(?:.*?consumer latency: (?P<end>[\d/]+) µs)?(?:.*?confirm latency: (?P<confirm>[\d/]+) µs)?"
)
_SUMMARY = re.compile(r"(?P<what>consumer|confirm) latency min/median/75th/95th/99th (?P<all>[\d/]+) µs")


def fetched(folder):
    """Return PerfTest's class path, fetched by Maven where it is not there yet."""
    libraries = folder / "lib"
    if not list(libraries.glob(f"perf-test-{PERF_TEST}.jar")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pom.xml").write_text(POM.format(version=PERF_TEST))
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={libraries.resolve()}", "-DincludeScope=runtime"]
        subprocess.run(["mvn", "--quiet", "--batch-mode", *goal], cwd=folder, check=True, timeout=600)
    return f"{libraries}/*"


def tree(pid):
    """Return a process and all that it started."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_s(pid):
    """Return the processor seconds of a process and of all that it started, of those that still run."""
    ticks = 0
    for each in tree(pid):
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def idle_s():
    """Return for how many processor seconds the machine's processors had nothing to do since it started."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return (int(fields[3]) + int(fields[4])) / TICKS


class Clocked:
    """A process whose processor time is read where measuring begins and ends, counted from its first message.

    So are those of the broker, and of all processors that had nothing to do meanwhile.
    """

    def __init__(self, command, began, scenario, broker, environment=None):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        self.lines, self.errors = [], []
        self.cpu = self.broker_cpu = self.idle = 0.0
        self._began = threading.Event()
        readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines, began)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors, began)),
        ]
        for reader in readers:
            reader.start()
        try:
            if not self._began.wait(120):
                raise RuntimeError(f"{command[0]} did not begin: {self.said}")
            time.sleep(scenario.warm_up_s)
            before = cpu_s(self.process.pid), cpu_s(broker.process.pid), idle_s()
            time.sleep(scenario.duration_s)
            after = cpu_s(self.process.pid), cpu_s(broker.process.pid), idle_s()
            self.cpu, self.broker_cpu, self.idle = (late - early for early, late in zip(before, after, strict=True))
            status = self.process.wait(120)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for reader in readers:
                reader.join()
        if status:
            raise RuntimeError(f"{command[0]}: exit status {status}: {self.said}")

    def shares(self, rate, duration_s):
        """Return processor time a message of the client and of the broker, and what part of all was used."""
        messages = rate * duration_s
        return {
            "cpu_us": 1e6 * self.cpu / messages,
            "broker_cpu_us": 1e6 * self.broker_cpu / messages,
            "machine_busy": 1 - self.idle / (duration_s * os.cpu_count()),
        }

    @property
    def said(self):
        return "".join([*self.errors, *self.lines])[-2000:]

    def _read(self, stream, lines, began):
        for line in stream:
            lines.append(line)
            if began in line:
                self._began.set()
        stream.close()


def perf_test(classpath, broker, scenario):
    """Run PerfTest with a scenario, and return its figures."""
    seconds = scenario.warm_up_s + scenario.duration_s
    command = [
        "java",
        "-cp",
        classpath,
        "com.rabbitmq.perf.PerfTest",
        "--uri",
        f"amqp://guest:guest@127.0.0.1:{broker.port}/%2f",
    ]
    command += ["-x", str(scenario.producers), "-y", str(scenario.consumers), "-u", "perf-test", "-ad", "false"]
    command += ["-s", str(scenario.size_bytes), "-c", str(scenario.confirm_window), "-f", "mandatory"]
    command += ["-f", "persistent"] if scenario.persistent else []
    command += ["-q", str(scenario.prefetch)] if scenario.prefetch else []
    command += ["-A", str(scenario.ack_every)] if scenario.ack_every else ["-a"]
    command += ["-z", str(int(seconds + 2))]
    clocked = Clocked(command, "time ", scenario, broker)
    steady, earlier, received, measured = [], 0.0, 0.0, 0.0
    for line in clocked.lines:
        found = _LINE.search(line)
        if not found:
            continue
        at, last = float(found["at"]), earlier
        earlier = at
        if last >= scenario.warm_up_s and at <= seconds + 1:
            received += float(found["received"]) * (at - last)
            measured += at - last
            steady.append(found)
    whole = {found["what"]: found["all"] for line in clocked.lines if (found := _SUMMARY.search(line))}
    rate = received / measured
    return {
        "messages_per_s": rate,
        **clocked.shares(rate, scenario.duration_s),
        "confirm_p99_ms": _p99(whole["confirm"]),
        "end_to_end_p99_ms": _p99(whole["consumer"]),
        "confirm_p99_steady_ms": statistics.median(_p99(each["confirm"]) for each in steady if each["confirm"]),
        "end_to_end_p99_steady_ms": statistics.median(_p99(each["end"]) for each in steady if each["end"]),
    }


def _p99(slashed):
    return float(slashed.rpartition("/")[2]) / 1000


def ours(broker, scenario, folder):
    """Run our own load with a scenario, and return its figures."""
    file = Path(folder) / f"{scenario.name}.json"
    file.write_bytes(msgspec.json.encode(scenario))
    environment = {**os.environ, ADDRESS: f"amqp://guest:guest@127.0.0.1:{broker.port}/"}
    command = [sys.executable, "-m", "seatrial.fixtures.load.broker", str(file)]
    clocked = Clocked(command, "warming up", scenario, broker, environment)
    figures = json.loads(clocked.lines[-1])["figures"]
    rate = figures["messages_per_s"]
    return {
        "messages_per_s": rate,
        **clocked.shares(rate, scenario.duration_s),
        "confirm_p99_ms": figures["confirm_p99_ms"],
        "end_to_end_p99_ms": figures["end_to_end_p99_ms"],
        "lost": figures["lost_messages"],
        "duplicated": figures["duplicated_messages"],
    }


def queue_at_work(broker, scenario, load):
    """Return for what part of the time the queue's process is at work under a load: near 1, the queue is the limit.

    Such a run is no measurement: who looks takes processor time as well.
    """
    looked = []

    def look():
        time.sleep(scenario.warm_up_s + 2)
        looked.append(float(broker.ctl("eval", QUEUE_AT_WORK)))

    looking = threading.Thread(target=look)
    looking.start()
    load()
    looking.join()
    return looked[0]


def table(runs):
    """Return the table of all runs: medians, and the least and the most of each."""
    lines = [
        "| scenario | | messages/s | CPU µs a message: client | broker | confirm p99 ms | end-to-end p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in SCENARIOS:
        sides = {who: [run for run in runs if run["scenario"] == name and run["who"] == who] for who in SIDES}
        if not all(sides.values()):
            continue
        keys = ("messages_per_s", "cpu_us", "broker_cpu_us", "confirm_p99_ms", "end_to_end_p99_ms")
        medians = {
            who: {key: statistics.median(run[key] for run in side) for key in keys} for who, side in sides.items()
        }
        for who, side in sides.items():
            cells = []
            for key in keys:
                values = [run[key] for run in side]
                digits = 0 if key == "messages_per_s" else 1
                steady = f"{key.removesuffix('_ms')}_steady_ms"
                second = (
                    f"; a second's: {statistics.median(run[steady] for run in side):.1f}" if steady in side[0] else ""
                )
                cells.append(
                    f"{medians[who][key]:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f}{second})"
                )
            lines.append(f"| {name} | {who} | {' | '.join(cells)} |")
        theirs, own = medians["PerfTest"], medians["ours"]
        times = [f"{own['messages_per_s'] / theirs['messages_per_s']:.2f} x (aim {TARGETS[name]})"]
        times += [f"{own[key] / theirs[key]:.2f} x" + (" (aim 0.33)" if key == "cpu_us" else "") for key in keys[1:]]
        lines.append(f"| {name} | ratio | {' | '.join(times)} |")
    return "\n".join(lines)


def _lasting(load, name, seconds):
    return msgspec.structs.replace(scenario_of(name, getattr(load, name), load), duration_s=seconds)


def main():
    """Run it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="measured seconds of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=SCENARIOS, action="append")
    parser.add_argument("--out", type=Path, default=Path("build/bench-broker.json"))
    wanted = parser.parse_args()
    if not SERVER:
        sys.exit("rabbitmq-server is not installed: apt install rabbitmq-server")
    classpath = fetched(Path("build/perf-test"))
    load = load_profile("um-cloud").broker_load
    runs, at_work = [], {}
    with tempfile.TemporaryDirectory() as folder:
        broker = RealBroker(folder).start()

        def measured(who, scenario):
            if who == "ours":
                return ours(broker, scenario, folder)
            figures = perf_test(classpath, broker, scenario)
            broker.ctl("delete_queue", "perf-test")
            return figures

        try:
            scenarios = [_lasting(load, name, wanted.seconds) for name in wanted.only or SCENARIOS]
            for turn in range(wanted.rounds):
                for scenario in scenarios:
                    for who in SIDES if turn % 2 == 0 else reversed(SIDES):
                        begun = time.monotonic()
                        figures = measured(who, scenario)
                        run = {"scenario": scenario.name, "who": who, "turn": turn, "wall_s": time.monotonic() - begun}
                        runs.append(run | {"load_average": os.getloadavg()[0], **figures})
                        told = " ".join(f"{key} {value:,.2f}" for key, value in figures.items())
                        average = f"load average {os.getloadavg()[0]:.1f}"
                        print(f"{turn + 1} {scenario.name} {who}: {told}; {average}", flush=True)
            for scenario in scenarios:
                for who in SIDES:
                    part = queue_at_work(broker, scenario, partial(measured, who, scenario))
                    at_work[f"{scenario.name} {who}"] = part
                    print(
                        f"{scenario.name} {who}: the queue's process is at work for {part:.0%} of the time", flush=True
                    )
        finally:
            broker.stop()
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps({"runs": runs, "queue_at_work": at_work}, indent=1) + "\n")
    print(f"\n{table(runs)}\n")
    averages = [run["load_average"] for run in runs]
    print(f"{os.cpu_count()} processors; load average {min(averages):.1f} to {max(averages):.1f} while it ran")


if __name__ == "__main__":
    main()
