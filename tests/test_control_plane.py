"""What OpenStack's files, logs and checks say, in the notations of its releases from Wallaby to 2026.2."""

from __future__ import annotations

import json

import pytest

from seatrial.fixtures.control_plane_logs import _TROUBLE, messaging_timeouts
from seatrial.fixtures.control_plane_settings import _SERVERS, ServiceSettings, _File, _workers, ini
from seatrial.fixtures.control_plane_upgrades import failed
from seatrial.fixtures.pod_reader import _bounded
from seatrial.fixtures.question import Answer, Logs, NotConcerned, Pods, Unavailable
from seatrial.fixtures.source import Source
from seatrial.fixtures.wsgi import daemons

REQUEST = "req-9ac9d05d-89e6-447b-a012-b856afa245d2"
OTHER = "req-11111111-89e6-447b-a012-b856afa245d2"
STAMP = "2026-11-21T12:00:00.123456789Z "
KEYSTONE = """
+-------------------------------------------+
| Upgrade Check Results                     |
+-------------------------------------------+
| Check: Check trust policies are not empty |
| Result: Success                           |
| Details: Trust policies are safe.         |
+-------------------------------------------+
| Check: Check default roles are immutable  |
| Result: Failure                           |
| Details: Roles are not immutable: admin   |
|   and another.                            |
+-------------------------------------------+
| Check: Policy File JSON to YAML Migration |
| Result: Warning                           |
| Details: None                             |
+-------------------------------------------+
"""


def test_an_oslo_file_is_read_by_section_and_the_last_of_a_repeated_option_counts():
    text = "[DEFAULT]\nosapi_compute_workers = 1\n# api_workers = 9\n[libvirt]\nimages_type=rbd\n[DEFAULT]\n"
    text += "osapi_compute_workers = 4\n"
    assert ini(text) == {"DEFAULT": {"osapi_compute_workers": "4"}, "libvirt": {"images_type": "rbd"}}


def test_apaches_daemons():
    line = "WSGIDaemonProcess nova-api processes=4 threads=2 user=nova display-name=%{GROUP}\n"
    assert daemons(f"Listen 8774\n  {line}") == [(4, 2)]
    assert daemons("WSGIDaemonProcess nova-api processes=2\n") == [(2, 15)]
    assert daemons("Listen 8774\n") == []
    assert daemons(line * 2) == [(4, 2), (4, 2)]


@pytest.mark.parametrize("lines", [0, 2])
def test_an_api_of_no_or_of_two_daemons_is_not_counted(lines):
    site = _File("openstack/nova-etc", "WSGIDaemonProcess nova-api processes=4 threads=2\n" * lines)
    with pytest.raises(Unavailable, match=f"nova-api-osapi: {lines} WSGIDaemonProcess in wsgi-nova-api.conf"):
        _workers(_SERVERS[0], "nova-api-osapi", {"wsgi-nova-api.conf": site})


def timeouts(*lines):
    log = "".join(f"{STAMP}{line}\n" for line in lines)
    kept = _bounded(log.encode(), Logs(Pods("x", "a=b"), 60, lines=_TROUBLE))
    return [str(timeout) for timeout in messaging_timeouts(Answer(kept, "openstack/nova-0"))]


@pytest.mark.parametrize("context", [f"[None {REQUEST} - - - - - -]", f"[{REQUEST} 4e1c 7a2b - default default]"])
def test_a_messaging_timeout_is_told_once_a_request_with_its_pod_time_and_id(context):
    record = "2026-11-21 12:00:00.123 7 ERROR nova.compute.manager"
    said = "oslo_messaging.exceptions.MessagingTimeout: Timed out waiting for a reply to message ID 5f"
    assert timeouts(
        f"2026-11-21 11:59:00.001 7 INFO nova.compute.manager {context} Starting",
        f"{record} {context} Error updating resources for node lab-1",
        f"{record} Traceback (most recent call last):",
        f"{record} {said}",
        "<class 'oslo_messaging.exceptions.MessagingTimeout'>",
        f"2026-11-21 12:01:00.456 7 ERROR nova.servicegroup [None {OTHER} - -] Cannot report: {said}",
        f"2026-11-21 12:02:00.456 8 ERROR nova.compute.manager {context} Again: {said}",
    ) == [
        f"pod openstack/nova-0: MessagingTimeout at 2026-11-21 12:00:00.123 in {REQUEST}, 2 times in it",
        f"pod openstack/nova-0: MessagingTimeout at 2026-11-21 12:01:00.456 in {OTHER}",
    ]


def test_a_messaging_timeout_without_a_request_is_told_as_well():
    assert timeouts('{"level": "ERROR", "message": "MessagingTimeout: Timed out"}') == [
        f"pod openstack/nova-0: MessagingTimeout at {STAMP.strip()} in no request"
    ]
    assert timeouts("2026-11-21 12:00:00.123 7 INFO nova.service [-] Starting conductor node") == []


def test_an_upgrade_check_that_fails_is_told_with_its_details_and_a_warning_is_none():
    told = failed("keystone", Answer(KEYSTONE.encode(), exit=2))
    assert [str(check) for check in told] == [
        "keystone-status Check default roles are immutable: Roles are not immutable: admin and another."
    ]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Answer(exit=127, stderr="nova-status: not found"), "exit status 127: nova-status: not found"),
        (Answer(b"Traceback\nOperationalError: no host", exit=255), "exit status 255: OperationalError: no host"),
        (Answer(b"Usage: nova-status\n", exit=1), "exit status 1: Usage"),
        (Answer(b"| Upgrade Check Results |\n", exit=0), "its table cannot be understood"),
    ],
)
def test_a_check_that_could_not_be_run_is_unread(answer, complaint):
    with pytest.raises(Unavailable, match=complaint):
        failed("nova", answer)


class Cloud(Source):
    """A cloud of one workload and its configuration, as the API server would list them."""

    def __init__(self, application, component, **files):
        super().__init__()
        labels = {"application": application, "component": component}
        volumes = [{"name": "etc", "secret": {"secretName": "etc"}}]
        template = {"spec": {"volumes": volumes, "containers": []}}
        keystone = {"metadata": {"name": "keystone-api", "labels": {"application": "keystone", "component": "api"}}}
        workload = {
            "metadata": {"name": "it", "namespace": "openstack", "labels": labels},
            "spec": {"replicas": 2, "template": template},
            "status": {"readyReplicas": 2, "numberReady": 2},
        }
        self.lists = {
            "deployments": [keystone, workload],
            "secrets": [{"metadata": {"name": "etc", "namespace": "openstack"}, "data": files}],
        }

    def fetch(self, question):
        if question.key.startswith("commands/"):
            return (Answer(b"[libvirt]\nlive_migration_inbound_addr = 10.0.0.1\n"),)
        return (Answer(json.dumps({"items": self.lists.get(question.kind, [])}).encode()),)


@pytest.mark.parametrize(
    ("files", "workers", "concurrency"),
    [
        ({"nova.conf": "[DEFAULT]\nosapi_compute_workers = 4\n"}, 4, 800),
        ({"nova.conf": "[DEFAULT]\nosapi_compute_workers = 4\nwsgi_default_pool_size = 10\n"}, 4, 80),
        ({"nova.conf": "[DEFAULT]\n", "nova-api-uwsgi.ini": "[uwsgi]\nprocesses = 2\nthreads = 3\n"}, 6, 12),
        ({"nova-api-uwsgi.ini": "[uwsgi]\nprocesses = 2\n"}, 2, 4),
        ({"wsgi-nova-api.conf": "WSGIDaemonProcess nova-api processes=2 threads=2\n"}, 4, 8),
    ],
)
def test_the_workers_of_an_api_in_each_era(files, workers, concurrency):
    (server,) = ServiceSettings(Cloud("nova", "os-api", **files)).api_servers
    assert (server.workers, server.concurrency) == (workers, concurrency)


def test_workers_that_stand_nowhere_are_unread():
    with pytest.raises(Unavailable, match=r"neither nova-api-uwsgi.ini nor osapi_compute_workers in nova.conf"):
        _ = ServiceSettings(Cloud("nova", "os-api", **{"nova.conf": "[DEFAULT]\n"})).api_servers


def test_a_compute_migrates_to_what_its_init_container_wrote_or_its_secret_says():
    found = ServiceSettings(Cloud("nova", "compute", **{"nova.conf": "[libvirt]\nimages_type = rbd\n"}))
    assert [str(store) for store in found.instance_stores] == [
        "deployment openstack/it: images_type is rbd ([libvirt] in Secret openstack/etc)"
    ]
    assert [str(migration) for migration in found.migrations] == [
        "deployment openstack/it: live_migration_uri is not set, live_migration_inbound_addr is 10.0.0.1"
    ]
    uri = {"nova.conf": "[libvirt]\nlive_migration_uri = qemu+tcp://%s/system\n"}
    assert ServiceSettings(Cloud("nova", "compute", **uri)).migrations[0].uri == "qemu+tcp://%s/system"


def test_a_compute_of_ironic_has_no_instances_of_its_own():
    found = ServiceSettings(
        Cloud("nova", "compute", **{"nova.conf": "[DEFAULT]\ncompute_driver = ironic.IronicDriver\n"})
    )
    with pytest.raises(NotConcerned, match="no nova-compute on nodes"):
        _ = found.instance_stores
