"""The Helm chart: it renders what its values say, grants what the claims take, and its run keeps what it found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seatrial.command.chart_rights import rights
from seatrial.fixtures.settings import load_cloud

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "seatrial"


def find_helm():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial" / "lab" / "bin"
    built = sorted(cache.glob("helm-*/helm"))
    return shutil.which("helm") or (str(built[-1]) if built else "")


HELM = find_helm()
with_helm = pytest.mark.skipif(not HELM, reason="no helm on PATH, nor built by the lab (`seatrial lab up`)")


def helm(*arguments):
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=60, check=False)


def rendered(*values):
    settings = [word for value in values for word in ("--set", value)]
    done = helm("template", "trial", str(CHART), "--namespace", "ops", "--kube-version", "1.31.0", *settings)
    assert done.returncode == 0, done.stderr
    return {(found["kind"], found["metadata"]["name"]): found for found in yaml.safe_load_all(done.stdout) if found}


def granted(role):
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule.get("apiGroups", [None])
        for resource in rule.get("resources", rule.get("nonResourceURLs"))
        for verb in rule["verbs"]
    }


JOB, ROLE = ("Job", "trial-seatrial-gate"), ("ClusterRole", "ops-trial-seatrial")


@with_helm
def test_helm_finds_nothing_to_say_against_the_chart():
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@with_helm
def test_a_run_is_made_anew_never_retried_and_has_no_other_rights_than_documented():
    found = rendered()
    job = found[JOB]
    assert job["metadata"]["annotations"] == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }
    assert (job["spec"]["backoffLimit"], job["spec"]["template"]["spec"]["restartPolicy"]) == (0, "Never")
    documented = yaml.safe_load((ROOT / "docs" / "clusterrole.yaml").read_text())
    assert granted(found[ROLE]) == granted(documented)


@with_helm
def test_argo_cd_and_a_schedule_run_the_same_as_helm():
    found = rendered("argocd.postSync=true", "cron.schedule=17 5 * * *")
    annotations = found[JOB]["metadata"]["annotations"]
    assert annotations["argocd.argoproj.io/hook"] == "PostSync"
    assert annotations["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
    cron = found["CronJob", "trial-seatrial"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["jobTemplate"]["spec"] == found[JOB]["spec"]


@with_helm
def test_no_job_stays_that_an_upgrade_could_not_change():
    assert JOB not in rendered("test.enabled=false")


@with_helm
def test_the_role_has_the_rights_of_the_claims_selected():
    ceph = granted(rendered("claims.subsystems={ceph}")[ROLE])
    assert ("", "pods/exec", "create") in ceph
    assert {resource for _, resource, _ in ceph} & {"services/proxy", "nodes/proxy", "pods/log"} == set()
    prometheus = granted(rendered("claims.subsystems={prometheus}")[ROLE])
    assert ("", "services/proxy", "get") in prometheus
    assert "pods/exec" not in {resource for _, resource, _ in prometheus}
    with_clouds = granted(rendered("openstack.cloudsSecret=clouds")[ROLE])
    assert ("", "services/proxy", "create") not in with_clouds


def test_the_rights_of_the_claims_are_those_of_today():
    assert json.loads((CHART / "files" / "rights.json").read_text()) == rights(), "stale: `make docs`"


def test_the_schema_knows_every_value_and_every_subsystem():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def unknown(given, known, at=""):
        for key, value in given.items():
            if key not in known:
                yield f"{at}{key}"
            elif isinstance(value, dict) and "properties" in known[key]:
                yield from unknown(value, known[key]["properties"], f"{at}{key}.")

    assert list(unknown(values, schema["properties"])) == []
    subsystems = schema["properties"]["claims"]["properties"]["subsystems"]["items"]["enum"]
    assert sorted(subsystems) == sorted(rights())


@with_helm
@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("claims.failAt=sometimes", "failAt"),
        ("claims.subsystems={cehp}", "subsystems"),
        ("profile=custom", "customProfile"),
        ("cron.schedule=daily", "schedule"),
        ("no.such=value", "no"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(value, named):
    done = helm("template", "trial", str(CHART), "--kube-version", "1.31.0", "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


@with_helm
def test_settings_of_a_run_are_read_by_seatrial(tmp_path):
    found = rendered("cloud=prod", "profile=lab", "waivers=# none", "claims.subsystems={ceph,nodes}")
    for name, text in found["ConfigMap", "trial-seatrial"]["data"].items():
        (tmp_path / name).write_text(text)
    container = found[JOB]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][-2:] == ["-m", "ceph or nodes"]
    settings = tmp_path / "seatrial.toml"
    recorded = ROOT / "fixtures" / "recorded" / "um-cloud-after.tar.zst"
    settings.write_text(f'{settings.read_text()}bundle = "{recorded}"\n')  # instead of the pod's own cluster
    arguments = [word.replace("/etc/seatrial", str(tmp_path)) for word in container["args"]]
    done = run(tmp_path, *arguments, report="false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cloud prod, profile lab" in done.stdout


@with_helm
def test_more_settings_of_the_cloud_are_part_of_its_own(tmp_path):
    values = tmp_path / "values.yaml"
    more = '[clouds.prod.pods]\nmemcached-client = "application=mine"\n'
    values.write_text(yaml.safe_dump({"cloud": "prod", "waivers": "# none", "settings": more}))
    done = helm("template", "trial", str(CHART), "--kube-version", "1.31.0", "--values", str(values))
    (found,) = [item for item in yaml.safe_load_all(done.stdout) if item and item["kind"] == "ConfigMap"]
    (tmp_path / "seatrial.toml").write_text(found["data"]["seatrial.toml"])
    name, cloud, _ = load_cloud("", tmp_path / "seatrial.toml")
    assert (name, cloud.profile, cloud.pods) == ("prod", "baseline", {"memcached-client": "application=mine"})
    assert cloud.waivers.endswith("waivers.toml")


def run(folder, *arguments, keep=30, report="false"):
    (folder / "work").mkdir(exist_ok=True)
    bin_, told = Path(sys.executable).parent, {"HISTORY": folder / "history", "WORK": folder / "work"}
    env = {**os.environ, **{key: str(value) for key, value in told.items()}, "KEEP": str(keep), "REPORT": report}
    env |= {"PATH": f"{bin_}:{os.environ['PATH']}", "HOSTNAME": f"pod-{len(list(folder.rglob('verdict.json')))}"}
    command = ["sh", str(CHART / "files" / "run.sh"), *arguments]
    return subprocess.run(
        command, env=env, cwd=folder / "work", capture_output=True, text=True, timeout=120, check=False
    )


def test_a_run_ends_as_the_gate_did_and_keeps_a_folder_of_its_own(tmp_path):
    statuses = [
        run(tmp_path, "--bundle", f"um-cloud-{which}", "--profile=lab", "-m=ceph", keep=2).returncode
        for which in ("before", "after", "before")
    ]
    kept = sorted((tmp_path / "history" / "runs").iterdir())
    verdicts = [json.loads((folder / "verdict.json").read_text()) for folder in kept]
    assert statuses == [1, 0, 1]
    assert [verdict["verdict"] for verdict in verdicts] == ["open", "closed"]
    assert all((folder / "junit.xml").exists() for folder in kept)


def test_what_the_image_copies_is_there():
    text = (ROOT / "Containerfile").read_text()
    assert "reports.allure_tool import allure" in text
    assert "USER 10001:10001" in text
    assert "npm/*.json" in (ROOT / "pyproject.toml").read_text()
