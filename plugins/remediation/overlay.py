"""`values-overlay.yaml`: the chart values that make live changes last, one document a release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.plugins.remediation.change import Change, Value

FILE = "values-overlay.yaml"


class _Tree(dict[str, Any]):
    """Values under a key, and what is said of it."""

    def __init__(self) -> None:
        super().__init__()
        self.claims: list[str] = []


def overlay(changes: Iterable[Change]) -> str:
    """Return the values of these changes as YAML; empty where none has any.

    Each leaf is commented with the claims that ask for it. Where two claims ask for different values of one path, the
    first one stands and the other is told in the comment.
    """
    releases: dict[str, dict[str, tuple[Value, list[str], list[Value]]]] = {}
    for change in changes:
        for value in change.values:
            paths = releases.setdefault(value.release, {})
            known = paths.setdefault(value.path, (value, [], []))
            if change.claim not in known[1]:
                known[1].append(change.claim)
            if (value.value, value.note) != (known[0].value, known[0].note) and value not in known[2]:
                known[2].append(value)
    return "".join(_document(release, paths) for release, paths in sorted(releases.items()))


def _document(release: str, paths: dict[str, tuple[Value, list[str], list[Value]]]) -> str:
    namespace, _, name = release.partition("/")
    lines = ["---", f"# release {name} in {namespace}: helm upgrade {name} CHART -n {namespace} --reuse-values -f FILE"]
    tree = _Tree()
    for path, (value, claims, others) in sorted(paths.items()):
        if value.note:
            lines.append(f"# {', '.join(claims)}: {path}: {value.note}")
            continue
        said = ", ".join([*claims, *(f"another claim asks for {other.value!r}" for other in others)])
        _put(tree, path.split("."), value.value, said)
    return "\n".join([*lines, *_lines(tree, 0)]) + "\n"


def _put(tree: _Tree, keys: list[str], value: Any, said: str) -> None:
    for key in keys[:-1]:
        under = tree.get(key)
        if not isinstance(under, _Tree):
            under = tree[key] = _Tree()
        tree = under
    tree[keys[-1]] = (value, said)


def _lines(tree: _Tree, depth: int) -> list[str]:
    lines = []
    for key, under in tree.items():
        margin = "  " * depth
        name = yaml.safe_dump(key, width=1000).partition("\n")[0]
        if isinstance(under, _Tree):
            lines += [f"{margin}{name}:", *_lines(under, depth + 1)]
            continue
        value, said = under
        if isinstance(value, dict | list) and value:
            inner = yaml.safe_dump(value, sort_keys=False, width=1000).splitlines()
            lines += [f"{margin}{name}:  # {said}", *(f"{margin}  {line}" for line in inner)]
        else:
            text = yaml.safe_dump(value, width=1000, default_style='"' if isinstance(value, str) else None)
            lines.append(f"{margin}{name}: {text.removesuffix(chr(10)).removesuffix('...').strip()}  # {said}")
    return lines
