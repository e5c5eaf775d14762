"""Changes of a text inside a ConfigMap or Secret: single lines, so that no secret of the rest is kept anywhere."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures import resources
from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.change import Change, Failed, Refused
from seatrial.plugins.remediation.hand import JSON_PATCH, Conflict, Where
from seatrial.plugins.remediation.risk import EXEC

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.plugins.remediation.hand import Hand

_ATTEMPTS = 5
_SECRETS = "secrets"


class Line(msgspec.Struct, frozen=True):
    """A line that takes another's place. Without `before` it is added at the end, without `after` it is taken out."""

    before: str
    after: str


class FileEdit(Change, frozen=True, kw_only=True, tag="file"):
    """Lines of a file in a ConfigMap or a Secret."""

    resource: str
    namespace: str
    name: str
    file: str
    lines: tuple[Line, ...]

    @property
    def typed(self) -> tuple[str, ...]:
        """The edit with kubectl and jq."""
        return (self._jq(self.lines),)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The edit back."""
        return (self._jq(_inverse(self.lines)),)

    @property
    def rights(self) -> tuple[Right, ...]:
        """To patch the object."""
        return (Right("patch", "", self.resource, "", self.namespace),)

    def check(self, hand: Hand) -> bool:
        """Look for the lines."""
        return self._edited(self._text(self._read(hand)), self.lines) is None

    def apply(self, hand: Hand) -> None:
        """Write the lines."""
        self._write(hand, self.lines)

    def undo(self, hand: Hand) -> bool:
        """Write the lines that were there before."""
        return self._write(hand, _inverse(self.lines))

    def _read(self, hand: Hand) -> dict[str, Any]:
        live = hand.get(resources.path(self.resource, self.namespace, self.name))
        if live is None or self.file not in (live.get("data") or {}):
            raise Refused(f"{self._whom} has no {self.file} any more")
        return live

    @property
    def _whom(self) -> str:
        return f"{self.resource.removesuffix('s')} {self.namespace}/{self.name}"

    def _text(self, live: dict[str, Any]) -> str:
        value = str(live["data"][self.file])
        return base64.b64decode(value).decode() if self.resource == _SECRETS else value

    def _edited(self, text: str, lines: tuple[Line, ...]) -> str | None:
        """Return the text with its lines changed, None where they are so already. Raises `Refused`."""
        kept = text.splitlines()
        changed = False
        for line in lines:
            made = not line.after or line.after in kept
            if made and (not line.before or line.before not in kept):
                continue
            if line.before and kept.count(line.before) != 1:
                raise Refused(f"{self._whom} changed since it was judged: {self.file} has no line {line.before!r}")
            changed = True
            at = kept.index(line.before) if line.before else len(kept)
            kept[at : at + 1] = [line.after] if line.after else []
        return "\n".join(kept) + ("\n" if text.endswith("\n") else "") if changed else None

    def _write(self, hand: Hand, lines: tuple[Line, ...]) -> bool:
        return written(
            hand, self.resource, self.namespace, self.name, self.file, lambda text: self._edited(text, lines)
        )

    def _jq(self, lines: tuple[Line, ...]) -> str:
        edits = "".join(f" | {_jq_edit(line)}" for line in lines).removeprefix(" | ")
        inside = f"@base64d | {edits} | @base64" if self.resource == _SECRETS else edits
        program = f".data[{json.dumps(self.file)}] |= ({inside})"
        kind = self.resource.removesuffix("s")
        quoted = program.replace("'", "'\\''")
        return (
            f"kubectl -n {self.namespace} get {kind} {self.name} -o json | jq '{quoted}' | "
            f"kubectl -n {self.namespace} replace -f -"
        )


class FileRestored(Change, frozen=True, kw_only=True, tag="restored file"):
    """A file that was emptied, filled again from a pod that still has it. Its contents are in no journal."""

    resource: str
    namespace: str
    name: str
    file: str
    where: Where
    path: str
    """The file inside the pod."""

    @property
    def typed(self) -> tuple[str, ...]:
        """From the pod into the Secret."""
        read = self.where.typed(("cat", self.path))
        return (self._patched(f"$({read} | base64 -w0)"),)

    @property
    def typed_undo(self) -> tuple[str, ...]:
        """The empty file again."""
        return (self._patched(""),)

    @property
    def rights(self) -> tuple[Right, ...]:
        """To read the pod's file and to patch the object."""
        return (
            msgspec.structs.replace(EXEC, namespace=self.namespace),
            Right("patch", "", self.resource, "", self.namespace),
        )

    def check(self, hand: Hand) -> bool:
        """See whether somebody filled it meanwhile."""
        live = hand.get(resources.path(self.resource, self.namespace, self.name))
        if live is None:
            raise Refused(f"secret {self.namespace}/{self.name} is gone since it was judged")
        return bool(base64.b64decode((live.get("data") or {}).get(self.file) or "").strip())

    def apply(self, hand: Hand) -> None:
        """Copy the pod's file."""
        if self.check(hand):
            return
        text = hand.done(self.where, ("cat", self.path))
        if not text.strip():
            raise Failed(f"{self.path} is empty in the pod, too")
        written(hand, self.resource, self.namespace, self.name, self.file, lambda now: None if now.strip() else text)

    def undo(self, hand: Hand) -> bool:
        """Empty it again."""
        return written(hand, self.resource, self.namespace, self.name, self.file, lambda now: "" if now else None)

    def _patched(self, value: str) -> str:
        patch = f'{{\\"data\\":{{\\"{self.file}\\":\\"{value}\\"}}}}'
        return f'kubectl -n {self.namespace} patch {self.resource.removesuffix("s")} {self.name} -p "{patch}"'


def written(hand: Hand, resource: str, namespace: str, name: str, file: str, edit: Callable[[str], str | None]) -> bool:
    """Write what `edit` makes of a file, None for no change, provided that nobody writes in between."""
    path = resources.path(resource, namespace, name)
    for _ in range(_ATTEMPTS):
        live = hand.get(path)
        if live is None:
            raise Refused(f"{resource.removesuffix('s')} {namespace}/{name} is gone")
        value = str((live.get("data") or {}).get(file) or "")
        text = edit(base64.b64decode(value).decode() if resource == _SECRETS else value)
        if text is None:
            return False
        encoded = base64.b64encode(text.encode()).decode() if resource == _SECRETS else text
        version = live["metadata"].get("resourceVersion")
        pointer = "/data/" + file.replace("~", "~0").replace("/", "~1")
        operations = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": pointer, "value": encoded},
        ]
        try:
            hand.send("PATCH", path, operations, JSON_PATCH)
        except Conflict as conflict:
            now = hand.get(path)
            if now is None or now["metadata"].get("resourceVersion") == version:
                raise Failed(str(conflict)) from conflict
            continue
        return True
    raise Failed(f"{resource.removesuffix('s')} {namespace}/{name} is written by others all the time")


def _inverse(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    return tuple(Line(line.after, line.before) for line in reversed(lines))


def _jq_edit(line: Line) -> str:
    if not line.before:
        return f". + {json.dumps(line.after + chr(10))}"
    old = line.before if line.after else line.before + "\n"
    return f"(split({json.dumps(old)}) | join({json.dumps(line.after)}))"
