"""LOAD-01 to LOAD-03 on the lab's RabbitMQ against the budgets of the UM cloud, sound and with what slowed that one."""

from __future__ import annotations

import pytest
from mender import Gate

from seatrial.lab.faults import all_faults
from seatrial.lab.topology import ADMIN_KUBECONFIG

pytestmark = [pytest.mark.lab, pytest.mark.round, pytest.mark.usefixtures("lab")]

LOADS = ("LOAD-01", "LOAD-02", "LOAD-03")
FIGURES = ("messages_per_s", "confirm_p99_ms", "end_to_end_p99_ms")


def gate(folder, claims, *options):
    """Judge claims of the lab by the UM cloud's profile; return the status, entries by their ids, and what was said."""
    chosen = " or ".join(f"invariant(id='{claim}')" for claim in claims)
    wanted = ("-m", chosen, "--profile", "um-cloud", "--allow", "load", "--no-history", "--fail-at", "trivial")
    judged = Gate(ADMIN_KUBECONFIG, folder, *wanted, *options)
    return judged.status, {entry["id"]: entry for entry in judged.entries}, judged.said


def show(capsys, entries):
    with capsys.disabled():
        for load in LOADS:
            measured = entries[load]["measured"] or {}
            figures = ", ".join(f"{name} {measured[name]:.0f}" for name in FIGURES if name in measured)
            offending = "; ".join(entries[load]["offenders"] or ())
            print(f"\n{load} {entries[load]['outcome']}: {figures} {offending}", end="")


def test_the_labs_broker_bears_what_the_um_clouds_bore_after_its_optimization(tmp_path, capsys):
    status, entries, said = gate(tmp_path, ("RMQ-01", "RMQ-05", "RMQ-06", *LOADS))
    show(capsys, entries)
    assert status == 0, said
    assert {entries[load]["outcome"] for load in LOADS} == {"holds"}, said
    assert all(entries[load]["measured"][figure] > 0 for load in LOADS for figure in FIGURES)


def test_one_scheduler_closes_the_gate_whatever_the_loads_come_to(tmp_path, capsys):
    fault = all_faults()["rabbitmq-one-scheduler"]
    try:
        fault.break_()
        status, entries, said = gate(tmp_path, ("RMQ-01", *LOADS))
    finally:
        fault.heal()
    show(capsys, entries)
    assert (status, entries["RMQ-01"]["outcome"]) == (1, "violated"), said
    assert "schedulers_online is 1" in entries["RMQ-01"]["offenders"][0], said
    # Two cores bear the budgets with one scheduler as well.
    assert all(entries[load]["measured"][figure] > 0 for load in LOADS for figure in FIGURES)


def test_a_disk_alarm_closes_the_gate_before_any_load_and_holds_back_each_that_is_put_on_it_all_the_same(
    tmp_path, capsys
):
    fault = all_faults()["rabbitmq-disk-limit-of-ram"]
    try:
        fault.break_()
        status, entries, said = gate(tmp_path, ("RMQ-05", "RMQ-06", *LOADS))
        assert (status, entries["RMQ-06"]["outcome"]) == (1, "violated"), said
        for load in LOADS:
            assert entries[load]["outcome"] == "undetermined", said
            assert "blocking claims are violated: RMQ-06" in entries[load]["reason"], said
        status, entries, said = gate(tmp_path, ("RMQ-05", "RMQ-06", *LOADS), "--on-sick-cloud=go")
    finally:
        fault.heal()
    show(capsys, entries)
    assert (status, entries["RMQ-05"]["outcome"]) == (1, "violated"), said
    for load in LOADS:
        assert entries[load]["outcome"] == "violated", said
        assert "low on disk" in entries[load]["offenders"][0], said
