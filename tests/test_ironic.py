"""What conductors and sites are read from: cpu.stat of both cgroup versions, logs of two releases, mod_wsgi's line."""

from __future__ import annotations

import subprocess

import pytest

from seatrial.fixtures.ironic_conductors import _COMPLAINT, _ROUND, CPU_STAT, _throttled
from seatrial.fixtures.question import Answer, Unavailable
from seatrial.fixtures.wsgi import daemons

V1 = "nr_periods 200\nnr_throttled 50\nthrottled_time 12345678\nnr_bursts 0\nburst_time 0\n"
V2 = "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 200\nnr_throttled 50\nthrottled_usec 12\n"
IDLE = "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n"


@pytest.mark.parametrize(("text", "share"), [(V1, 0.25), (V2, 0.25), (IDLE, 0.0)])
def test_the_share_of_throttled_periods_is_read_from_both_versions(text, share):
    assert _throttled(Answer(text.encode())) == share


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.stat": V2}),
        ("0::/kubepods/pod1/c1\n", {"cpu.stat": "usage_usec 9\n", "kubepods/pod1/c1/cpu.stat": V2}),
        ("9:pids:/kubepods/c1\n4:cpu,cpuacct:/kubepods/c1\n0::/\n", {"cpu,cpuacct/cpu.stat": V1}),
        ("4:cpu:/kubepods/c1\n", {"cpu/cpu.stat": "nr_periods 1\n", "cpu/kubepods/c1/cpu.stat": V1}),
    ],
    ids=["v2", "v2-of-the-node", "v1", "v1-of-the-node"],
)
def test_a_pod_finds_its_own_group(tmp_path, groups, files):
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(text)
    shell, option, script = CPU_STAT.argv
    script = script.replace("/proc/self/cgroup", f"{tmp_path}/groups").replace("/sys/fs/cgroup", f"{tmp_path}/sys")
    done = subprocess.run([shell, option, script], capture_output=True, timeout=10, check=True)
    assert _throttled(Answer(done.stdout)) == 0.25


def test_a_group_that_tells_of_no_periods_was_not_looked_at():
    with pytest.raises(Unavailable):
        _throttled(Answer(b"usage_usec 9\n", speaker="openstack/ironic-conductor-0"))


def test_a_round_is_told_with_its_seconds_or_its_intervals():
    debug = (
        "DEBUG ironic.conductor.manager [None req-1] Completed power state sync operation, evaluated 3 nodes with 4 "
    )
    assert _ROUND.search(f"{debug}workers in 12.50 seconds _sync_power_states /x/manager.py:1752")["seconds"] == "12.50"
    warning = "WARNING ironic.conductor.manager [-] The power state sync operation runtime is 3x the [conductor]sync"
    assert _COMPLAINT.search(warning)["times"] == "3"
    assert not _COMPLAINT.search(debug)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ("horizon-http processes=5 threads=1 user=horizon group=horizon display-name=%{GROUP}", (5, 1)),
        ("horizon-http threads=8 user=horizon", (1, 8)),
        ("horizon-http processes=8 python-path=/var/lib/kolla/venv", (8, 15)),
    ],
)
def test_what_the_line_leaves_out_is_mod_wsgis_own(options, numbers):
    assert daemons(f"WSGIDaemonProcess {options}") == [numbers]
