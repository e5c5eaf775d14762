"""The copy of a volume by a Job, and the checksums of every file on both sides."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from seatrial.fixtures import resources
from seatrial.fixtures.rights import Right
from seatrial.plugins.remediation.change import Failed, Refused

if TYPE_CHECKING:
    from seatrial.plugins.remediation.hand import Hand

LABEL = "seatrial.io/migration"

RIGHTS = (
    Right("create", "batch", "jobs"),
    Right("delete", "batch", "jobs"),
)

# What the target has and the source has not is taken away, so that a copy that was cut off is made whole. Each file has
# a line with its checksum, and everything one with its kind, mode, owner and target: their digest is the volume's.
_SCRIPT = r"""
set -eu
told() {
    cd "$1"
    { find . -type f ! -path './lost+found*' -exec sha256sum {} +
      find . -mindepth 1 ! -path './lost+found*' -exec stat -c '%F %a %u:%g %N' {} +; } | LC_ALL=C sort | sha256sum
    find . -type f ! -path './lost+found*' | wc -l
}
if [ "$COPY" = yes ]; then
    if command -v rsync >/dev/null; then
        rsync -aHAX --numeric-ids --delete --exclude=/lost+found /from/ /to/
    else
        find /to -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
        cd /from && find . -mindepth 1 -maxdepth 1 ! -name lost+found -exec cp -a {} /to/ \;
    fi
    sync
fi
from=$(told /from) to=$(told /to)
echo $from $to >/dev/termination-log
[ "$from" = "$to" ]
"""


def copied(hand: Hand, namespace: str, source: str, target: str, image: str, tool: str) -> dict[str, Any]:
    """Copy one claim's volume to another's and return the digest that both have, and how many files.

    `tool` is `job` or `pv-migrate`. May be repeated. Raises `Failed` where what arrived is not what was there.
    """
    if tool == "pv-migrate":
        _by_pv_migrate(hand, namespace, source, target)
    name = f"seatrial-copy-{source}"[:63]
    path = resources.path("jobs", namespace, name)
    _cleared(hand, path, namespace, name)
    hand.send(
        "POST", resources.path("jobs", namespace), _job(namespace, name, source, target, image, copy=tool == "job")
    )
    hand.wait_until(f"job {namespace}/{name}", lambda: _running(hand, path))
    said = _message(hand, namespace, name).split()
    live = hand.get(path) or {}
    succeeded = bool((live.get("status") or {}).get("succeeded"))
    if not succeeded or len(said) != 6 or (said[0], said[2]) != (said[3], said[5]):  # noqa: PLR2004 - digest - count, twice
        raise Failed(f"the copy of {source} to {target} is not the same: {' '.join(said) or 'the job failed'}")
    _cleared(hand, path, namespace, name)
    return {"digest": said[0], "files": int(said[2])}


def _by_pv_migrate(hand: Hand, namespace: str, source: str, target: str) -> None:
    program = shutil.which("pv-migrate")
    if program is None:
        raise Refused("pv-migrate is not installed here: leave out --copy-by")
    command = [program, "--source", source, "--dest", target, "--dest-delete-extraneous-files"]
    reached = {"namespace": namespace, "kubeconfig": hand.kubeconfig, "context": hand.context}
    for option, value in reached.items():
        command += [f"--source-{option}={value}", f"--dest-{option}={value}"] if value else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=hand.patience_s)
    except subprocess.TimeoutExpired as late:
        raise Failed(f"pv-migrate did not end within {hand.patience_s:g} s") from late
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failed(f"pv-migrate: exit status {done.returncode}: {said[-1] if said else ''}")


def _cleared(hand: Hand, path: str, namespace: str, name: str) -> None:
    """Take a Job away, with its pods: they would keep the claims from being deleted."""
    if hand.get(path) is not None:
        hand.send("DELETE", path, {"propagationPolicy": "Foreground"})
    hand.wait_until(f"job {namespace}/{name} to be gone", lambda: "still there" if hand.get(path) else "")
    hand.wait_until(
        f"the pods of job {namespace}/{name} to be gone",
        lambda: "still there" if (hand.get(_pods(namespace, name)) or {}).get("items") else "",
    )


def _running(hand: Hand, path: str) -> str:
    status = (hand.get(path) or {}).get("status") or {}
    if status.get("succeeded") or any(c.get("type") == "Failed" for c in status.get("conditions") or []):
        return ""
    return f"{status.get('active', 0)} pods at work"


def _message(hand: Hand, namespace: str, name: str) -> str:
    for pod in (hand.get(_pods(namespace, name)) or {}).get("items", []):
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            message = ((status.get("state") or {}).get("terminated") or {}).get("message")
            if message:
                return str(message)
    return ""


def _pods(namespace: str, name: str) -> str:
    return f"{resources.path('pods', namespace)}?labelSelector={LABEL}%3D{name}"


def _job(namespace: str, name: str, source: str, target: str, image: str, *, copy: bool) -> dict[str, Any]:
    labels = {LABEL: name}
    volumes = [
        {"name": side, "persistentVolumeClaim": {"claimName": claim}}
        for side, claim in (("from", source), ("to", target))
    ]
    container = {
        "name": "copy",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SCRIPT],
        "env": [{"name": "COPY", "value": "yes" if copy else "no"}],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "from", "mountPath": "/from"}, {"name": "to", "mountPath": "/to"}],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": volumes,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
