"""`charts/seatrial/files/rights.json`: which of the stronger rights the claims of each subsystem take.

Lists of objects are read by every run; to open a shell in a pod or to ask a service through the API server is granted
for those subsystems only whose claims ask so.
"""

from __future__ import annotations

import json

from seatrial.command.catalogue import asked, collected
from seatrial.fixtures.question import Api, Command, Endpoints, Http, Kubelets, Logs, Manifests, Raw
from seatrial.fixtures.settings import shipped_profiles

RIGHTS = {
    Command: ("exec",),
    Logs: ("logs",),
    Http: ("proxy",),
    Manifests: ("proxy",),
    Api: ("proxy", "token"),
    Endpoints: ("proxy", "token"),
    Kubelets: ("kubelets",),
    Raw: ("apiserver",),
}
"""What a question takes beside lists: the names are those of the chart's `_rights.tpl`."""


def rights() -> dict[str, list[str]]:
    """Return the rights of each subsystem, whatever the profile."""
    needed: dict[str, set[str]] = {}
    for invariant, names in collected():
        if invariant.kind == "conformance":
            questions = (question for profile in shipped_profiles() for question in asked(names, profile))
            of_claim = {right for question in questions for right in RIGHTS.get(type(question), ())}
            needed.setdefault(invariant.subsystem, set()).update(of_claim)
    return {subsystem: sorted(found) for subsystem, found in sorted(needed.items())}


if __name__ == "__main__":
    print(json.dumps(rights(), indent=1))  # noqa: T201 - `make docs` writes it to the file
