"""The pipelines in the documentation: they parse, and what they run is what the command understands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest
import yaml

from seatrial import command

ROOT = Path(__file__).parents[1]
CI = ROOT / "docs" / "ci"
PIPELINES = sorted(path.relative_to(CI) for path in CI.rglob("*.yaml"))
CALLING = ("github.yaml", "gitlab-ci.yaml", "zuul/playbooks/run.yaml", "zuul/playbooks/post.yaml")


class Loader(yaml.SafeLoader):
    """YAML with the tags of Zuul and GitLab, whose values are of no concern here."""


Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_sequence(node))


def texts(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return [value] if isinstance(value, str) else []


def calls(text):
    """Return the words of each call of seatrial in a shell script; what the pipeline fills in is one word."""
    filled = re.sub(r"\$?\{\{.*?\}\}", "FILLED", text).replace("\\\n", " ")
    for line in re.split(r"[\n;]", filled):
        words = re.search(r"\bseatrial (?:gate|report|cleanup|leftovers|capture)\b.*", line)
        if words:
            yield shlex.split(words[0])


@cache
def options_of_a_run():
    asked = [sys.executable, "-m", "pytest", "-p", "seatrial", "--help"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT).stdout
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said))


def options_of(name):
    if name == "gate":
        return options_of_a_run()
    found = command.main.get_command(click.Context(command.main), name)
    return {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}


def unknown(call):
    given = [word.partition("=")[0] for word in call[2:] if word.startswith("--")]
    return sorted(set(given) - options_of(call[1]))


@pytest.mark.parametrize("pipeline", PIPELINES, ids=str)
def test_a_pipeline_is_yaml(pipeline):
    assert yaml.load((CI / pipeline).read_text(), Loader)


def refused(path, schema):
    """Return why a service would refuse a pipeline, by the schema that it publishes; empty where it would not."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    command += ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr) if done.returncode else ""


SCHEMAS = [("github.yaml", "github-workflows", "runs-on:"), ("gitlab-ci.yaml", "gitlab-ci", "resource_group:")]


@pytest.mark.parametrize(("pipeline", "schema", "key"), SCHEMAS)
def test_a_pipeline_is_what_its_service_takes(pipeline, schema, key, tmp_path):
    assert refused(CI / pipeline, schema) == ""
    broken = tmp_path / pipeline
    broken.write_text((CI / pipeline).read_text().replace(key, "7_of_9:", 1))
    assert refused(broken, schema) != ""


@pytest.mark.parametrize("pipeline", CALLING)
def test_a_pipeline_calls_seatrial_as_it_is(pipeline):
    found = [call for text in texts(yaml.load((CI / pipeline).read_text(), Loader)) for call in calls(text)]
    assert found
    assert [(call, unknown(call)) for call in found if unknown(call)] == []


def test_an_option_that_does_not_exist_would_be_seen():
    (call,) = calls("seatrial gate --cloud prod \\\n  --no-such-option out")
    assert unknown(call) == ["--no-such-option"]


@pytest.mark.parametrize("pipeline", ["github.yaml", "gitlab-ci.yaml", "zuul/playbooks/post.yaml"])
def test_a_report_of_a_pipeline_keeps_its_history(pipeline):
    text = (CI / pipeline).read_text()
    (report,) = [call for part in texts(yaml.load(text, Loader)) for call in calls(part) if call[1] == "report"]
    assert report[report.index("--trend") + 1].endswith("/trend.jsonl")
    assert "history" in text
