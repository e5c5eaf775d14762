"""Breakages of Horizon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from breakage import RecordedCloud, breaks
from seatrial.fixtures.cluster import PODS, SECRETS
from seatrial.fixtures.horizon import MOUNTED_SETTINGS, MOUNTED_SITE, SETTINGS_FILE, SITE_FILES

if TYPE_CHECKING:
    from seatrial.fixtures.question import Command

SECRET = "horizon-etc"
DAEMON = "WSGIDaemonProcess horizon-http processes=1 threads=24"


def configure(cloud: RecordedCloud, name: str, old: str, new: str) -> None:
    """Replace a piece of a file in the Secret, and in the release that made it; with no `old`, all of the file."""

    def changed(data: dict[str, str]) -> None:
        assert old in data[name], f"{SECRET} has no {old!r} in its {name}"
        data[name] = data[name].replace(old, new) if old else new

    with cloud.json(SECRETS) as secrets:
        for item in secrets["items"]:
            if item["metadata"]["name"] == SECRET:
                changed(item["data"])
            for made in item.get("release", {}).get("manifest", ()):
                if (made["kind"], made["metadata"]["name"]) == ("Secret", SECRET):
                    changed(made["data"])


def mount(cloud: RecordedCloud, question: Command, old: str, new: str) -> None:
    """Replace a piece of a file in every pod."""
    for entry in cloud.entries(question):
        cloud.replace(question, old, new, entry["heard"]["speaker"])


@breaks("HZN-01")
def five_processes_have_one_thread_each(cloud: RecordedCloud) -> None:
    few = "WSGIDaemonProcess horizon-http processes=5 threads=1"
    configure(cloud, SITE_FILES[0], DAEMON, few)
    mount(cloud, MOUNTED_SITE, DAEMON, few)


@breaks("HZN-02", consequences="HZN-01 HZN-06")
def the_site_is_empty(cloud: RecordedCloud) -> None:
    configure(cloud, SITE_FILES[0], "", "")


@breaks("HZN-02")
def the_site_starts_two_daemons(cloud: RecordedCloud) -> None:
    twice = f"{DAEMON}\n    {DAEMON}"
    configure(cloud, SITE_FILES[0], DAEMON, twice)
    mount(cloud, MOUNTED_SITE, DAEMON, twice)


@breaks("HZN-03")
def a_pod_is_probed_for_a_second(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        _server(pods)["readinessProbe"]["timeoutSeconds"] = 1


@breaks("HZN-03")
def a_pod_is_probed_at_once(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        del _server(pods)["readinessProbe"]["initialDelaySeconds"]


@breaks("HZN-03")
def a_pod_is_not_probed(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        del _server(pods)["readinessProbe"]


@breaks("HZN-04")
def sessions_are_kept_in_the_cache(cloud: RecordedCloud) -> None:
    configure(cloud, SETTINGS_FILE, "backends.cached_db", "backends.cache")
    mount(cloud, MOUNTED_SETTINGS, "backends.cached_db", "backends.cache")


@breaks("HZN-05")
def a_pod_requests_less_memory(cloud: RecordedCloud) -> None:
    with cloud.json(PODS) as pods:
        _server(pods)["resources"]["requests"]["memory"] = "128Mi"


@breaks("HZN-06")
def a_pod_has_older_settings(cloud: RecordedCloud) -> None:
    cloud.replace(MOUNTED_SETTINGS, "SESSION_ENGINE", "\nSESSION_ENGINE")


def _server(pods):  # type: ignore[no-untyped-def]
    for pod in pods["items"]:
        labels = pod["metadata"].get("labels", {})
        if (labels.get("application"), labels.get("component")) == ("horizon", "server"):
            return pod["spec"]["containers"][0]
    raise AssertionError("no pod of Horizon was recorded")
