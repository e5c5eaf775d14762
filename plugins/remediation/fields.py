"""Fields of an object by their path, and the JSON Patch (RFC 6902) that changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = str | int


class Field(msgspec.Struct, frozen=True):
    """A field of an object: where it is, what it must be, and what it becomes. None stands for a field not there."""

    path: tuple[Key, ...]
    before: Any
    after: Any


def value_at(item: Any, path: tuple[Key, ...]) -> Any:
    """Return the value at a path, None where there is none."""
    for key in path:
        if isinstance(item, list):
            item = item[key] if isinstance(key, int) and key < len(item) else None
        elif isinstance(item, dict):
            item = item.get(key)
        else:
            return None
    return item


def inverse(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return what sets the fields back."""
    return tuple(Field(field.path, field.after, field.before) for field in fields)


def operations(live: dict[str, Any], fields: tuple[Field, ...], *, parents: bool = True) -> list[dict[str, Any]]:
    """Return the JSON patch of fields; parents that the object does not have are made on the way."""
    made: set[tuple[Key, ...]] = set()
    patch: list[dict[str, Any]] = []
    for field in fields:
        if field.before == field.after:
            continue
        if parents and field.after is not None:
            patch += _parents(live, field.path, made)
        if field.after is None:
            if not parents or value_at(live, field.path) is not None:
                patch.append({"op": "remove", "path": pointer(field.path)})
        else:
            there = value_at(live, field.path) if parents else field.before
            operation = "add" if there is None else "replace"  # adding to a list would insert
            patch.append({"op": operation, "path": pointer(field.path), "value": field.after})
    return patch


def _parents(live: dict[str, Any], path: tuple[Key, ...], made: set[tuple[Key, ...]]) -> Iterator[dict[str, Any]]:
    for length in range(1, len(path)):
        parent = path[:length]
        if value_at(live, parent) is None and parent not in made:
            made.add(parent)
            yield {"op": "add", "path": pointer(parent), "value": {}}


def pointer(path: tuple[Key, ...]) -> str:
    """Return a path as JSON Patch spells it (RFC 6901)."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)
