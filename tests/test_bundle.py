"""A bundle that is torn, edited or too new is refused, with the file named."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from seatrial.fixtures.bundle import Bundle, Recorder, Recording, TornBundle, pack, reseal, unpack
from seatrial.fixtures.question import Answer, Command, Objects, Pods, Raw, Unavailable
from seatrial.fixtures.source import Source

PODS = Objects("pods")
STATUS = Command(Pods("toolbox", "app=x"), ("ceph", "status"))
VERSION = Raw("/version")


class Talking(Source):
    """A source that answers from a table, and counts what it is asked."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.asked = []

    @property
    def now(self):
        return datetime(2026, 11, 21, tzinfo=UTC)

    def fetch(self, question):
        self.asked.append(question)
        if question not in self.answers:
            raise Unavailable(f"{question}: nobody there")
        return self.answers[question]


@pytest.fixture
def folder(tmp_path):
    source = Talking(
        {
            PODS: (Answer(b'{"items": [{"metadata": {"name": "a", "namespace": "n"}}]}'),),
            STATUS: (Answer(b"HEALTH_OK\n", speaker="n/tools", node="k1", exit=0, seconds=0.5),),
        }
    )
    recorder = Recorder(source, Recording(tmp_path / "bundle", "unit"))
    recorder.prefetch([PODS, STATUS, VERSION])
    recorder.close()
    return tmp_path / "bundle"


def test_a_list_is_in_the_memory_once_and_the_source_that_heard_it_has_the_redacted_one(tmp_path):
    source = Talking(
        {PODS: (Answer(b'{"items": [{"metadata": {"name": "a"}, "token": "sesame"}]}'),), STATUS: (Answer(),)}
    )
    recorder = Recorder(source, Recording(tmp_path / "bundle", "unit"))
    (answer,) = recorder.ask(PODS)
    assert b"sesame" not in answer.body
    assert source.one(PODS) is answer
    assert source.asked == [PODS], "the inner source would have been asked twice"


def test_a_bundle_answers_what_was_heard_and_remembers_what_was_not(folder):
    bundle = Bundle(folder)
    assert bundle.one(STATUS).text == "HEALTH_OK\n"
    assert (bundle.one(STATUS).node, bundle.one(STATUS).seconds) == ("k1", 0.5)
    assert bundle.now == datetime(2026, 11, 21, tzinfo=UTC)
    with pytest.raises(Unavailable, match="nobody there"):
        bundle.ask(VERSION)
    with pytest.raises(Unavailable, match="record the cloud again"):
        bundle.ask(Objects("nodes"))


def test_a_packed_bundle_says_the_same(folder, tmp_path):
    pack(folder, tmp_path / "b.tar.zst")
    unpack(tmp_path / "b.tar.zst", tmp_path / "again")
    assert Bundle(tmp_path / "b.tar.zst").one(STATUS) == Bundle(tmp_path / "again").one(STATUS)


def test_an_edited_answer_is_refused_by_name(folder):
    (folder / "objects/all/pods.json").write_text('{"items": []}')
    with pytest.raises(TornBundle, match=r"objects/all/pods.json does not match its checksum"):
        Bundle(folder)
    reseal(folder)
    assert Bundle(folder).one(PODS).text == '{"items": []}'


def test_a_missing_answer_is_refused_by_name(folder):
    (folder / "objects/all/pods.json").unlink()
    with pytest.raises(TornBundle, match=r"objects/all/pods.json is missing"):
        Bundle(folder)


def test_a_stray_file_is_refused_by_name(folder):
    (folder / "note.txt").write_text("hello")
    with pytest.raises(TornBundle, match=r"note.txt is not in manifest.json"):
        Bundle(folder)


def test_a_newer_schema_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 2}))
    with pytest.raises(TornBundle, match="schema 2 is newer"):
        Bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "x"}', '{"schema": 1}', '{"schema": 1, "recorded": "x"}'])
def test_a_torn_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(TornBundle, match=r"manifest.json cannot be understood"):
        Bundle(folder)


@pytest.mark.parametrize("kept", [0, 10, 200])
def test_a_torn_archive_is_refused(folder, tmp_path, kept):
    pack(folder, tmp_path / "b.tar.zst")
    (tmp_path / "b.tar.zst").write_bytes((tmp_path / "b.tar.zst").read_bytes()[:kept])
    with pytest.raises(TornBundle, match="not a whole bundle"):
        Bundle(tmp_path / "b.tar.zst")


def test_each_question_is_put_once_and_its_failure_remembered():
    source = Talking({})
    for _ in range(3):
        with pytest.raises(Unavailable):
            source.ask(VERSION)
    assert source.asked == [VERSION]
    source.forget()
    with pytest.raises(Unavailable):
        source.ask(VERSION)
    assert len(source.asked) == 2


def test_a_torn_bundle_is_a_usage_error_of_the_gate(trial, folder):
    (folder / "objects/all/pods.json").unlink()
    run = trial.pytester.runpytest_subprocess("-p", "seatrial", "--pyargs", "seatrial.suites", "--bundle", str(folder))
    assert run.ret == 4
    assert "objects/all/pods.json is missing" in run.stderr.str()
    assert "Traceback" not in run.stderr.str()


def test_a_full_disk_under_the_evidence_loses_no_answer(tmp_path):
    (tmp_path / "full").symlink_to("/dev/full")
    source = Talking({STATUS: (Answer(b"HEALTH_OK\n", speaker="n/tools"),)})
    recording = Recording(tmp_path, "unit")
    recording._write("full", b"x" * 10)
    recorder = Recorder(source, recording)
    assert recorder.one(STATUS).text == "HEALTH_OK\n"
    recorder.close()
    assert recording.trouble == f"No space left on device: {tmp_path / 'full'}"
