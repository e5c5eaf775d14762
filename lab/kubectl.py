"""kubectl and helm as the lab's administrator."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from seatrial.lab.binaries import binary
from seatrial.lab.shell import run, wait_until
from seatrial.lab.topology import ADMIN_KUBECONFIG

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["apply", "get", "helm", "kubectl", "wait_until"]


def kubectl(*arguments: str | Path, stdin: str | None = None, timeout: float = 30) -> str:
    """Run kubectl and return what it prints; `timeout` is in seconds."""
    argv = [binary("kubectl"), f"--request-timeout={timeout:g}s", *arguments]
    title = f"kubectl {' '.join(map(str, arguments[:8]))}"
    return run(argv, stdin=stdin, timeout=timeout + 5, env=_environment(), title=title)


def helm(*arguments: str | Path, stdin: str | None = None, timeout: float = 120) -> str:
    """Run helm and return what it prints; `timeout` is in seconds."""
    return run([binary("helm"), *arguments], stdin=stdin, timeout=timeout, env=_environment())


def get(*arguments: str, timeout: float = 30) -> Any:
    """Return the decoded JSON of `kubectl get`."""
    return json.loads(kubectl("get", *arguments, "-o", "json", timeout=timeout))


def apply(manifest: str, *, timeout: float = 60) -> None:
    """Apply one or more YAML documents."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest, timeout=timeout)


def _environment() -> dict[str, str]:
    # kubectl's own exec plugins and helm's caches stay out of the user's home.
    return {
        "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        "HOME": str(ADMIN_KUBECONFIG.parent),
        "KUBECONFIG": str(ADMIN_KUBECONFIG),
    }
