"""Breakages: the smallest change of the sound recorded cloud that violates an invariant, and no other.

A recorded answer comes from the lab's real services; a breakage changes it by hand, as the fault would have.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seatrial.fixtures.bundle import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from seatrial.fixtures.question import Question


@dataclass(frozen=True)
class Breakage:
    """A way to break one invariant. `consequences` are violated as well, and name it in their `explained_by`."""

    invariant: str
    name: str
    change: Callable[[RecordedCloud], None]
    consequences: tuple[str, ...]
    options: tuple[str, ...]


BREAKAGES: list[Breakage] = []


def breaks(invariant: str, *, consequences: str = "", options: str = "") -> Callable[[Any], Any]:
    """Declare a breakage of an invariant; `options` are added to the run's command line."""

    def declare(change: Callable[[RecordedCloud], None]) -> Callable[[RecordedCloud], None]:
        BREAKAGES.append(
            Breakage(invariant, change.__name__, change, tuple(consequences.split()), tuple(options.split()))
        )
        return change

    return declare


class RecordedCloud:
    """A recorded cloud in a folder of its own, to be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / MANIFEST).read_bytes())

    def entries(self, question: Question, speaker: str = "") -> list[dict[str, Any]]:
        """Return the manifest's entries of a question, of all speakers or of those whose name ends so."""
        found = [
            entry
            for entry in self.manifest["answers"]
            if entry["question"] == question.key and entry["heard"].get("speaker", "").endswith(speaker)
        ]
        assert found, f"the recorded cloud has no answer to {question} from {speaker or 'anybody'}"
        return found

    def read(self, question: Question, speaker: str = "") -> Any:
        """Return a JSON answer (the first speaker's, where several match) as it is."""
        return json.loads((self.folder / self.entries(question, speaker)[0]["file"]).read_bytes())

    @contextmanager
    def json(self, question: Question, speaker: str = "") -> Iterator[Any]:
        """Change a JSON answer (the first speaker's, where several match)."""
        path = self.folder / self.entries(question, speaker)[0]["file"]
        value = json.loads(path.read_bytes())
        before = json.dumps(value)
        yield value
        assert json.dumps(value) != before, "the breakage changed nothing"
        path.write_text(json.dumps(value, indent=1) + "\n")

    def add(self, question: Question, speaker: str, body: Any) -> None:
        """Add a speaker's JSON answer to those of a question."""
        file = f"{question.key}/{speaker}.json"
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(body, indent=1) + "\n")
        heard = {"speaker": speaker, "node": "", "exit": 0, "stderr": "", "started": 0.0, "seconds": 0.0, "error": ""}
        self.manifest["answers"].append({"question": question.key, "file": file, "sha256": "", "heard": heard})
        self._keep()

    def replace(self, question: Question, old: str, new: str, speaker: str = "") -> None:
        """Replace a piece of a text answer."""
        path = self.folder / self.entries(question, speaker)[0]["file"]
        text = path.read_text()
        assert old in text, f"{path.name} has no {old!r}"
        path.write_text(text.replace(old, new))

    def write(self, question: Question, text: str, speaker: str = "") -> None:
        """Put a text in the place of an answer."""
        entry = self.entries(question, speaker)[0]
        if not entry["file"]:
            entry["file"] = f"{question.key}/changed-{self.manifest['answers'].index(entry)}.txt"
        path = self.folder / entry["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self._keep()

    def heard(self, question: Question, speaker: str = "", **changes: Any) -> None:
        """Change what is known of an answer: exit, stderr, error, seconds, started, speaker, node."""
        for entry in self.entries(question, speaker):
            entry["heard"].update(changes)
        self._keep()

    def objects(self, question: Question, name: str) -> Any:
        """Change one object of a Kubernetes list, by its name."""
        return self._object(question, name)

    @contextmanager
    def _object(self, question: Question, name: str) -> Iterator[Any]:
        with self.json(question) as listed:
            found = [item for item in listed["items"] if item["metadata"]["name"] == name]
            assert found, f"{question} lists no {name}"
            yield found[0]

    def silence(self, question: Question, reason: str = "nobody answered") -> None:
        """Make a question go unanswered, as when a pod is not ready."""
        self.silence_key(question.key, reason)

    def silence_key(self, key: str, reason: str = "nobody answered") -> None:
        """Make the question that has this key go unanswered."""
        for entry in [entry for entry in self.manifest["answers"] if entry["question"] == key]:
            self.manifest["answers"].remove(entry)
            if entry["file"]:
                (self.folder / entry["file"]).unlink()
        self.manifest["failures"].append({"question": key, "asked": key, "reason": reason})
        self._keep()

    def _keep(self) -> None:
        (self.folder / MANIFEST).write_text(json.dumps(self.manifest, indent=1) + "\n")
