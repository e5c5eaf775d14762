"""What a pod says of its node is understood, and a clock is blamed only for what is certain."""

from __future__ import annotations

import subprocess

import pytest

from seatrial.fixtures.node_probe import PROBE, looks
from seatrial.fixtures.nodes import _apart
from seatrial.fixtures.question import Answer

SAID = "clock 1000.25\nload 0.50\nroot overlay\nsees kubelet\nreaches kubernetes\nfails dns no answer\n"


def look(text=SAID, **heard):
    return looks((Answer(text.encode(), "ns/pod", "lab-1", started=1000.0, seconds=0.5, **heard),))


def test_a_look_is_read():
    seen = look()["lab-1"]
    assert (seen.load, seen.root, seen.sees_processes) == (0.5, "overlay", True)
    assert (set(seen.reaches), seen.fails, seen.datasets, seen.zfs_cores) == (
        {"kubernetes"},
        {"dns": "no answer"},
        None,
        None,
    )


def test_a_clock_is_known_as_well_as_the_question_was_quick():
    assert look()["lab-1"].clock == pytest.approx((-0.25, 0.25))


def test_a_clock_without_fractions_is_known_a_second_less():
    assert look(SAID.replace("1000.25", "1000"))["lab-1"].clock == pytest.approx((-0.5, 1.0))


def test_zfs_processes_that_ended_between_the_looks_burn_nothing():
    lines = "zfs 7 100\nzfs 8 5\nsampled 10.0\nzfs 7 150\nzfs 8 \nsampled 11.0\nhertz 100\n"
    assert look(SAID + lines)["lab-1"].zfs_cores == pytest.approx(0.5)


def test_datasets_that_could_not_be_counted_are_not_none():
    assert look(SAID + "datasets unknown\n")["lab-1"].datasets == -1


def test_a_pod_that_failed_says_nothing():
    assert look(exit=1) == {}
    assert look(error="exec refused") == {}


@pytest.mark.parametrize(
    ("clocks", "apart"),
    [
        ([(-0.5, 0.5)], [0]),
        ([(-0.5, 0.5), (1.5, 2.5)], [1, 1]),
        ([(-0.5, 0.5), (-0.4, 0.6), (9.5, 10.5)], [0, 0, 8.9]),
    ],
)
def test_a_clock_is_apart_by_the_gap_to_more_than_half_of_the_others(clocks, apart):
    gaps = [_apart(clock, clocks[:n] + clocks[n + 1 :]) for n, clock in enumerate(clocks)]
    assert gaps == pytest.approx(apart)


def test_the_script_runs_in_any_shell():
    said = subprocess.run(
        PROBE.argv,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": "9",
        },
    )
    seen = look(said.stdout)["lab-1"]
    assert seen.load >= 0
    assert seen.root
    assert "refused" in seen.fails["kubernetes"]
