"""The pipelines in the documentation, run step by step in an empty folder, as their services would.

The services themselves are played: their expressions, conditions and caches; `pip` and `apt-get` are written down and
do nothing. The cloud is the recorded one, behind an API server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from rehearsed_lab import RecordedLab
from test_pipelines import CI, Loader

MISSING = [program for program in ("node", "npm") if shutil.which(program) is None]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial"
CHOSEN = "-m 'conformance and (rabbitmq or memcached)' --profile lab -p no:cacheprovider"
"""What the recorded lab can be asked for; by the environment, so that no step is changed for it."""

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"no {', no '.join(MISSING)} on this machine")


@pytest.fixture
def cloud():
    cloud = RecordedLab()
    yield cloud
    cloud.close()


class Machine:
    """A folder for a job, with this seatrial in its PATH and written down what else would be installed."""

    def __init__(self, folder, cloud):
        self.folder, self.cloud = folder, cloud
        self.installed = folder / "installed"
        programs = folder / "programs"
        programs.mkdir()
        for name in ("pip", "apt-get"):
            (programs / name).write_text(f'#!/bin/sh\nfor word; do echo "$word"; done >>{self.installed}\n')
            (programs / name).chmod(0o755)
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {"PATH": path, "HOME": str(folder), "PYTEST_ADDOPTS": CHOSEN, "CI": "true"}
        self.environment["XDG_CACHE_HOME"] = str(CACHE.parent)

    def workspace(self, name):
        """Return a new folder with what a checkout of the operator's repository has."""
        work = self.folder / name
        work.mkdir()
        (work / "seatrial.toml").write_text("[clouds.prod]\n")
        return work

    def run(self, script, work, **environment):
        """Run a script as runners do: the first command that fails ends it."""
        # Nobody is to wait for a recorded cloud to settle.
        script = script.replace("--settle 10m", "--settle 1s")
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        return subprocess.run(
            command, cwd=work, env={**self.environment, **environment}, capture_output=True, text=True, timeout=600,
            check=False,
        )  # fmt: skip

    def carry(self, what, source, target):
        """Play a cache: what it names goes from one job's folder to the next one's."""
        if (source / what).is_symlink():  # to the machine's own cache, which has the lab's images as well
            (target / what).parent.mkdir(parents=True, exist_ok=True)
            (target / what).symlink_to((source / what).readlink())
        elif (source / what).exists():
            shutil.copytree(source / what, target / what, symlinks=True, dirs_exist_ok=True)


@pytest.fixture
def machine(tmp_path, cloud):
    return Machine(tmp_path, cloud)


def left(folder):
    """Return the verdict of a job, the points of its trend, and how many runs its history has."""
    verdict = json.loads((folder / "out/verdict.json").read_text())
    trend = [json.loads(line)["name"] for line in (folder / "history/trend.jsonl").read_text().splitlines()]
    runs = (folder / "history/prod/runs.jsonl").read_text().splitlines()
    assert (folder / "out/junit.xml").read_text().startswith("<?xml")
    assert verdict["run"] in (folder / "out/report.html").read_text()
    return verdict, trend, len(runs)


def github(machine, work, attempt):
    """Run the steps of the job, and return what became of them by their names; `uses` is played by the test."""
    steps = yaml.load((CI / "github.yaml").read_text(), Loader)["jobs"]["prod"]["steps"]
    failed, done = False, {}
    for step in steps:
        if "run" not in step or not holds(step.get("if", ""), work, failed=failed):
            continue
        secrets = {"${{ secrets.SEATRIAL_KUBECONFIG }}": machine.cloud.kubeconfig}
        environment = {name: secrets[value] for name, value in step.get("env", {}).items()}
        environment |= {"RUNNER_TEMP": str(machine.folder), "GITHUB_ACTIONS": "true", "GITHUB_RUN_NUMBER": str(attempt)}
        ran = done[step["name"]] = machine.run(step["run"], work, **environment)
        failed = failed or ran.returncode != 0
    return done


def holds(condition, work, *, failed):
    """Whether a step runs: one without a condition only where none has failed."""
    if not condition:
        return not failed
    text = condition.removeprefix("${{").removesuffix("}}").strip()
    text = re.sub(r"hashFiles\('([^']+)'\)", lambda found: repr("".join(map(str, work.glob(found[1])))), text)
    text = text.replace("!cancelled()", "True").replace("always()", "True").replace("&&", "and")
    return eval(text, {"__builtins__": {}})


def test_github_judges_reports_and_keeps_its_history(machine):
    first, second, third = (machine.workspace(name) for name in ("first", "second", "third"))
    done = github(machine, first, 1)
    assert {name: ran.returncode for name, ran in done.items()} == {
        "Install seatrial": 0,
        "Judge the cloud": 0,
        "Build the report": 0,
        "Forget the kubeconfig": 0,
    }, done["Judge the cloud"].stdout
    assert not (machine.folder / "kubeconfig").exists()
    wanted = [line for line in machine.installed.read_text().splitlines() if line.startswith("seatrial")]
    assert [version("seatrial") in Requirement(line).specifier for line in wanted] == [True]
    machine.carry("history", first, second)
    github(machine, second, 2)
    machine.cloud.durable = True
    machine.carry("history", second, third)
    closed = github(machine, third, 3)
    assert {name: ran.returncode for name, ran in closed.items()}["Judge the cloud"] == 1
    verdicts, trends, runs = zip(*map(left, (first, second, third)), strict=True)
    assert [verdict["verdict"] for verdict in verdicts] == ["open", "open", "closed"]
    assert trends[-1] == [verdict["run"] for verdict in verdicts]
    assert runs == (1, 2, 3)
    assert not (machine.folder / "kubeconfig").exists()


def test_github_forgets_the_kubeconfig_where_nothing_could_be_judged(machine):
    machine.cloud.kubeconfig = "no kubeconfig: ["
    work = machine.workspace("work")
    done = github(machine, work, 1)
    assert done["Judge the cloud"].returncode == 4
    assert "not a kubeconfig" in done["Judge the cloud"].stderr
    assert not (machine.folder / "kubeconfig").exists()


def gitlab(machine, work):
    """Run the job: what is before and the script in one shell, what is after in another."""
    (job,) = [job for job in yaml.load((CI / "gitlab-ci.yaml").read_text(), Loader).values() if "script" in job]
    secret = machine.folder / "secret"
    secret.write_text(machine.cloud.kubeconfig)
    environment = {"SEATRIAL_KUBECONFIG": str(secret), "CI_PROJECT_DIR": str(work), "GITLAB_CI": "true"}
    environment |= {name: str(value).replace("$CI_PROJECT_DIR", str(work)) for name, value in job["variables"].items()}
    judged = machine.run("\n".join([*job["before_script"], *job["script"]]), work, **environment)
    after = machine.run("\n".join(job["after_script"]), work, **environment)
    return job, judged, after


def test_gitlab_judges_reports_and_keeps_its_history(machine):
    first, second = machine.workspace("first"), machine.workspace("second")
    (first / ".cache").mkdir()
    CACHE.mkdir(parents=True, exist_ok=True)
    (first / ".cache/seatrial").symlink_to(CACHE)  # as a job before has left it: Allure is installed
    job, judged, after = gitlab(machine, first)
    assert (judged.returncode, after.returncode) == (0, 0), judged.stdout + after.stderr
    assert {"nodejs", "npm"} <= set(machine.installed.read_text().split())
    for path in job["cache"]["paths"]:
        machine.carry(path.rstrip("/"), first, second)
    machine.cloud.durable = True
    _, closed, after = gitlab(machine, second)
    assert (closed.returncode, after.returncode) == (1, 0)
    verdicts, trends, runs = zip(*map(left, (first, second)), strict=True)
    assert [verdict["verdict"] for verdict in verdicts] == ["open", "closed"]
    assert trends[-1] == [verdict["run"] for verdict in verdicts]
    assert runs == (1, 2)
    published = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert [path for path in published if not (second / path).exists()] == []


def shell_tasks(playbook):
    """Return the shell tasks of a playbook, those in blocks as well, with what it fills in."""
    (play,) = yaml.load((CI / "zuul" / "playbooks" / playbook).read_text(), Loader)
    tasks = [inner for task in play["tasks"] for inner in (*task.get("block", []), *task.get("always", []), task)]
    return play["vars"], [task["ansible.builtin.shell"] for task in tasks if "ansible.builtin.shell" in task]


def filled(text, known):
    """Fill in what stands in double braces, and again in what that brought in."""
    while "{{" in text:
        text = re.sub(r"\{\{\s*([\w.]+)\s*\}\}", lambda found: known[found[1]], text)
    return text


def test_zuul_judges_reports_and_keeps_its_history(machine):
    job = next(entry["job"] for entry in yaml.load((CI / "zuul/zuul.yaml").read_text(), Loader) if "job" in entry)
    work = machine.workspace("work")
    verdicts = []
    for build in ("b1", "b2"):
        variables, (judge,) = shell_tasks("run.yaml")
        known = {**job["vars"], **variables, "zuul.build": build, "ansible_user_dir": str(machine.folder)}
        known |= {"zuul.project.src_dir": "work", "seatrial_history": str(machine.folder / "history")}
        venv, out = (Path(filled(known[name], known)) for name in ("venv", "out"))
        out.mkdir(parents=True)
        if not venv.exists():
            venv.symlink_to(sys.prefix)
        (out / "kubeconfig").write_text(machine.cloud.kubeconfig)
        judged = machine.run(filled(judge["cmd"], known), work)
        verdicts.append((judged.returncode, json.loads((out / "verdict.json").read_text())["run"]))
        variables, (report,) = shell_tasks("post.yaml")
        built = machine.run(filled(report["cmd"], {**known, **variables}), work)
        assert built.returncode == 0, built.stderr
        assert verdicts[-1][1] in (out / "report.html").read_text()
        machine.cloud.durable = True
    trend = [json.loads(line)["name"] for line in (machine.folder / "history/trend.jsonl").read_text().splitlines()]
    assert [status for status, _ in verdicts] == [0, 1]
    assert trend == [run for _, run in verdicts]
