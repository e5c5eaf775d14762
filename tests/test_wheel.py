"""The built wheel, in an empty environment, judges a recorded cloud by its own command and by stock pytest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the tree: setuptools writes into `build/` beside its sources, which xdist workers share."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "build", "dist", "evidence", "out", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "tree", ignore=left_out)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(folder / "tree")]
    built = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


def test_no_top_level_package_but_seatrial_reaches_site_packages(wheel):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"seatrial"}


def test_the_wheel_works_in_an_empty_environment(wheel, tmp_path):
    def run(*command, status=0):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", str(tmp_path / "env"))
    run(str(tmp_path / "env/bin/pip"), "install", "--quiet", str(wheel))
    seatrial, python = str(tmp_path / "env/bin/seatrial"), str(tmp_path / "env/bin/python")
    assert "CEPH-01" in [entry["id"] for entry in json.loads(run(seatrial, "list", "--format", "json"))]
    judging = ["--bundle", "um-cloud-before", "--profile", "lab"]
    assert "the gate is closed" in run(seatrial, "gate", *judging, status=1)
    said = run(python, "-m", "pytest", "-p", "seatrial", "--pyargs", "seatrial.suites", *judging, status=1)
    assert "the gate is closed" in said
    assert "profile lab" in said
