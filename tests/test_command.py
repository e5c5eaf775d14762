"""The command: list, explain and profile contact nothing and read well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from seatrial.command import catalogue, main

ROOT = Path(__file__).parents[1]


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_list_tells_every_invariant_as_json(monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    listed = json.loads(run("list", "--format", "json").output)
    assert all(
        set(entry) == {"id", "title", "subsystem", "kind", "severity", "source", "remedy", "test"} for entry in listed
    )
    risks = {entry["id"]: entry["remedy"]["risk"] for entry in listed}
    assert all(entry["remedy"]["text"] for entry in listed)
    assert (risks["CEPH-01"], risks["RMQ-05"], risks["NODE-03"]) == ("moves-data", "safe", "manual")
    assert risks["CEPH-13"] is None, "it is looked into, and nothing can be changed"
    assert "CEPH-01" in [entry["id"] for entry in listed]


def test_explain_tells_what_is_asked():
    said = run("explain", "ceph-01")
    assert said.exit_code == 0
    assert "osd dump" in said.output
    assert "Remedy:" in said.output


def test_explain_of_an_unknown_id_is_a_usage_error():
    said = run("explain", "CEPH-99")
    assert said.exit_code == 2
    assert "no invariant CEPH-99" in said.output


@pytest.mark.parametrize(
    "command", [(), ("gate",), ("list",), ("explain",), ("capture",), ("profile", "show"), ("lab",)]
)
def test_every_help_reads_well(command):
    said = run(*command, "--help")
    assert said.exit_code == 0
    assert "Usage:" in said.output


def test_a_profile_shows_each_number_with_its_source():
    said = run("profile", "show", "um-cloud")
    assert "ceph.pool_size = 2" in said.output
    assert "# UM" in said.output


def test_a_wrong_profile_ends_with_4(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('extends = "baseline"\nabout = "x"\n[ceph]\nx = 1\n')
    said = run("profile", "check", str(path))
    assert said.exit_code == 4
    assert "p.toml:4: ceph.x: unknown key" in said.output


def test_the_catalogue_in_the_docs_is_fresh():
    assert (ROOT / "docs" / "invariants.md").read_text() == catalogue.as_markdown(), "run `make docs`"


@pytest.mark.parametrize("selection", ["-mceph", "-m=ceph"])
def test_letters_after_m_are_no_options_of_their_own(selection):
    """An `h` among them printed help and ended with 0, which a pipeline takes for an open gate."""
    judging = ["gate", selection, "--bundle", "um-cloud-before", "--profile", "lab"]
    command = [sys.executable, "-m", "seatrial.command", *judging]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stdout
    assert "the gate is closed" in done.stdout
