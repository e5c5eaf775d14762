"""`seatrial profile show`: every threshold with where its number comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.fixtures.settings import PROFILES
from seatrial.fixtures.strict_toml import load

if TYPE_CHECKING:
    from seatrial.fixtures.thresholds import Profile

_NOT_THRESHOLDS = {"name", "about", "extends"}


def sources() -> dict[str, str]:
    """Return where each number comes from, by its dotted key."""
    return dict(_leaves(load(PROFILES / "sources.toml")))


def described(profile: Profile) -> str:
    """Return a profile as aligned lines: key, value, source."""
    said = sources()
    known = msgspec.to_builtins(profile)
    leaves = [(key, value) for key, value in _leaves(known) if key not in _NOT_THRESHOLDS]
    width = max(len(f"{key} = {_shown(value)}") for key, value in leaves if not isinstance(value, list))
    heading = f"{profile.name}: {profile.about}" + (f" (extends {profile.extends})" if profile.extends else "")
    lines = [f"{f'{key} = {_shown(value)}':{width}}  # {said.get(key, 'own judgement')}" for key, value in leaves]
    return "\n".join([heading, "", *lines])


def _leaves(value: dict[str, Any], path: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, inner in value.items():
        dotted = f"{path}.{key}" if path else key
        leaves += _leaves(inner, dotted) if isinstance(inner, dict) else [(dotted, inner)]
    return leaves


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
