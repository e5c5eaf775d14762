"""Red and green: every invariant holds on the sound recorded cloud, and fails on its breakage, it and no other."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pkgutil
import shutil
from pathlib import Path

import breakages
import pytest

from breakage import BREAKAGES, RecordedCloud
from seatrial import suites
from seatrial.command import catalogue
from seatrial.fixtures.bundle import recorded, reseal, unpack
from seatrial.fixtures.cluster import PODS

for module in pkgutil.iter_modules(breakages.__path__):
    importlib.import_module(f"breakages.{module.name}")

SUITES = str(Path(suites.__file__).parent)
QUESTIONS = sorted({question.key for _, names in catalogue.collected() for question in catalogue.asked(names, "lab")})


def asked_by(facts):
    return {question.key for question in catalogue.asked(facts, "lab")}


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound") / "um-cloud-after"
    unpack(recorded("um-cloud-after"), folder)
    return folder


@pytest.fixture(scope="session")
def judged_sound(sound):
    return judged(sound)


@pytest.fixture
def cloud(sound, tmp_path):
    folder = tmp_path / "cloud"
    shutil.copytree(sound, folder)
    return RecordedCloud(folder)


def judged(folder, *options):
    """Judge a recorded cloud in this process, and return each invariant's entry of the verdict.

    What nobody collected is looked for by the pytest that runs these tests, once: the inner one would go through all
    objects of both, twice for each cloud, which took a quarter of the time.
    """
    verdict = folder.parent / "verdict.json"
    quiet = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:unraisableexception"]
    quiet += ["-c", "/dev/null", "--import-mode=importlib"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        pytest.main(
            ["-p", "seatrial", *quiet, "--bundle", str(folder), "--profile", "lab", "--verdict", str(verdict),
             *options, SUITES]
        )  # fmt: skip
    assert verdict.exists(), said.getvalue()
    return {entry["id"]: entry for entry in json.loads(verdict.read_text())["invariants"]}


def with_outcome(invariants, outcome):
    return {id_ for id_, entry in invariants.items() if entry["outcome"] == outcome}


def test_every_invariant_has_a_breakage():
    claimed = {entry["id"] for entry in catalogue.entries() if entry["kind"] == "conformance"}
    assert claimed - {breakage.invariant for breakage in BREAKAGES} == set()


def test_the_sound_cloud_holds_everything_and_leaves_nothing_unread(judged_sound):
    assert with_outcome(judged_sound, "violated") == set()
    assert with_outcome(judged_sound, "undetermined") == set()


@pytest.mark.parametrize("breakage", [pytest.param(b, id=f"{b.invariant}-{b.name}") for b in BREAKAGES])
def test_a_breakage_violates_its_invariant_and_no_other(cloud, breakage):
    breakage.change(cloud)
    reseal(cloud.folder)
    invariants = judged(cloud.folder, *breakage.options)
    assert invariants[breakage.invariant]["outcome"] == "violated", invariants[breakage.invariant]
    others = with_outcome(invariants, "violated") - {breakage.invariant}
    assert others == set(breakage.consequences), [invariants[other]["offenders"] for other in others]
    assert with_outcome(invariants, "undetermined") == set()
    assert all(": " in line for line in invariants[breakage.invariant]["offenders"])


@pytest.mark.parametrize("key", QUESTIONS)
def test_a_question_without_an_answer_lets_no_claim_pass_or_fail(judged_sound, cloud, key):
    entries = [entry for entry in cloud.manifest["answers"] if entry["question"] == key]
    if not entries:
        pytest.skip(f"the lab gave no answer to {key}: the claims that ask it do not concern it")
    asking = [claim.id for claim, names in catalogue.collected() if key in asked_by(names)]
    if all(judged_sound[id_]["outcome"] == "not concerned" for id_ in asking if id_ in judged_sound):
        pytest.skip(f"the claims that ask {key} do not concern the lab: {', '.join(asking)}")
    cloud.silence_key(key)
    reseal(cloud.folder)
    before, after = judged_sound, judged(cloud.folder)
    changed = {id_: (before[id_]["outcome"], after[id_]["outcome"]) for id_ in before}
    worse = {id_: outcomes for id_, outcomes in changed.items() if outcomes[0] != outcomes[1]}
    assert {outcomes[1] for outcomes in worse.values()} <= {"undetermined"}, worse
    assert worse, f"no claim missed the answer to {key}: why is it asked?"


def test_a_cloud_without_ceph_is_told_so_and_not_judged_for_it(cloud):
    with cloud.json(PODS) as listed:
        listed["items"] = [item for item in listed["items"] if item["metadata"]["namespace"] != "rook-ceph"]
    reseal(cloud.folder)
    invariants = judged(cloud.folder, "-m", "ceph")
    assert with_outcome(invariants, "not concerned") == set(invariants)
    assert invariants["CEPH-01"]["reason"].startswith("no Ceph: ")


def test_a_silent_cloud_holds_nothing(cloud):
    for key in sorted({entry["question"] for entry in cloud.manifest["answers"]}):
        cloud.silence_key(key)
    invariants = judged(cloud.folder)
    assert with_outcome(invariants, "holds") == set()
    assert with_outcome(invariants, "violated") == set()
