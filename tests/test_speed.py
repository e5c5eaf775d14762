"""How fast a recorded cloud is judged, beside a bare pytest that judges as many trivial tests; shown, never asserted.

What is asserted is memory, which does not depend on who else uses the machine.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from seatrial.command import catalogue

MEMORY_LIMIT_MIB = 200


# A process begins with the memory of the one that it was forked from, which counts as its own: a small one in between.
LAUNCHER = """
import resource, subprocess, sys
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
status = subprocess.run(sys.argv[1:], **quiet).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def run(command, folder):
    """Run a command, and return the most memory that it had, in MiB."""
    launched = [sys.executable, "-c", LAUNCHER, *command]
    return int(subprocess.run(launched, cwd=folder, capture_output=True, check=True).stdout) / 1024


@pytest.mark.benchmark(group="judging a recorded cloud")
def test_judging_the_sound_cloud(benchmark, tmp_path):
    command = [sys.executable, "-m", "seatrial.command", "gate", "--bundle", "um-cloud-after", "--profile", "lab"]
    used = benchmark.pedantic(run, args=(command, tmp_path), rounds=3, warmup_rounds=1)
    benchmark.extra_info["MiB"] = round(used)
    assert used < MEMORY_LIMIT_MIB


@pytest.mark.benchmark(group="judging a recorded cloud")
def test_bare_pytest_with_as_many_trivial_tests(benchmark, tmp_path):
    trivial = "\n".join(f"def test_{number}():\n    assert [] == []\n" for number in range(len(catalogue.entries())))
    (tmp_path / "test_trivial.py").write_text(trivial)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_trivial.py"]
    benchmark.extra_info["MiB"] = round(benchmark.pedantic(run, args=(command, tmp_path), rounds=3, warmup_rounds=1))
