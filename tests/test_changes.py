"""Changes in pods and files against an API server on a real socket: done once, compared before, taken back."""

from __future__ import annotations

import base64
import hashlib

import pytest
from fake_kubernetes import KUBECONFIG, FakeKubernetes

from seatrial.fixtures.target import connect
from seatrial.plugins.remediation import side_load
from seatrial.plugins.remediation.change import Failed, Refused
from seatrial.plugins.remediation.commands import InPod, recovery_left
from seatrial.plugins.remediation.files import FileEdit, FileRestored, Line
from seatrial.plugins.remediation.hand import Hand, Where
from seatrial.plugins.remediation.objects import Restart
from seatrial.plugins.remediation.side_load import SideLoad


@pytest.fixture
def kubernetes():
    server = FakeKubernetes()
    yield server
    server.close()


@pytest.fixture
def hand(kubernetes, tmp_path):
    path = tmp_path / "k"
    path.write_text(KUBECONFIG % kubernetes.url)
    client, _ = connect(str(path), "")
    return Hand(client, 2.0, 0.01, lambda _text: None)


TOOLBOX = Where(namespace="n", spelled="deploy/tools", selector="app=tools", container="c")


def pool(**more):
    return InPod(
        offender="pool p: size 1",
        where=TOOLBOX,
        run=(("ceph", "set", "2"),),
        back=(("ceph", "set", "1"),),
        look=("ceph", "get"),
        expects='"size":1',
        becomes='"size":2',
        **more,
    )


class Ceph:
    """Keeps a pool's size, as the toolbox tells it."""

    def __init__(self, size=1):
        self.size = size

    def __call__(self, _pod, argv):
        if argv[1] == "set":
            self.size = int(argv[2])
            return "", 0
        return f'{{"pool": "p", "size": {self.size}}}', 0


def test_a_command_is_given_in_the_ready_pod_that_is_labelled_so(kubernetes, hand):
    kubernetes.pod("other", app="tools")["status"]["conditions"] = []
    kubernetes.pod("tools-1", app="tools")
    kubernetes.runs = ceph = Ceph()
    pool().apply(hand)
    assert ceph.size == 2
    assert {pod for pod, _ in kubernetes.commands} == {"tools-1"}
    assert pool().typed == ("kubectl -n n exec deploy/tools -c c -- ceph set 2",)


def test_what_is_done_already_is_not_done_again(kubernetes, hand):
    kubernetes.pod("tools-1", app="tools")
    kubernetes.runs = Ceph(size=2)
    assert pool().check(hand) is True
    pool().apply(hand)
    assert [argv for _, argv in kubernetes.commands] == [("ceph", "get")] * 2


def test_a_third_state_is_somebody_elses_and_is_left_alone(kubernetes, hand):
    kubernetes.pod("tools-1", app="tools")
    kubernetes.runs = ceph = Ceph(size=3)
    with pytest.raises(Refused, match="pool p changed since it was judged"):
        pool().apply(hand)
    with pytest.raises(Refused, match="pool p changed since it was judged"):
        pool().undo(hand)
    assert ceph.size == 3


def test_a_command_is_taken_back_once(kubernetes, hand):
    kubernetes.pod("tools-1", app="tools")
    kubernetes.runs = ceph = Ceph(size=2)
    assert pool().undo(hand) is True
    assert ceph.size == 1
    assert pool().undo(hand) is False


def test_a_command_that_fails_says_why(kubernetes, hand):
    kubernetes.pod("tools-1", app="tools")
    kubernetes.runs = lambda _pod, argv: ("EPERM: not allowed\n", 1) if argv[1] == "set" else ('"size":1', 0)
    with pytest.raises(Failed, match=r"ceph set 2: exit status 1: EPERM: not allowed"):
        pool().apply(hand)


def test_a_pod_that_is_on_its_way_out_is_changed_nothing_in(kubernetes, hand):
    kubernetes.pod("tools-1", app="tools")["metadata"]["deletionTimestamp"] = "2026-11-28T12:21:05Z"
    kubernetes.runs = Ceph(size=1)
    with pytest.raises(Failed, match="no pod labelled app=tools is ready in n"):
        pool().apply(hand)
    kubernetes.pod("tools-2", app="tools")
    pool().apply(hand)
    assert {pod for pod, _ in kubernetes.commands} == {"tools-2"}


def test_without_a_ready_pod_nothing_is_done(hand):
    with pytest.raises(Failed, match="no pod labelled app=tools is ready in n"):
        pool().apply(hand)


def test_recovery_is_over_when_all_groups_are_active_and_clean(kubernetes, hand):
    status = (
        '{"pgmap": {"pgs_by_state": [{"state_name": "active+clean", "count": 4}, {"state_name": "%s", "count": 2}]}}'
    )
    assert recovery_left(status % "active+clean+scrubbing+deep") == ""
    assert recovery_left(status % "active+undersized+degraded") == "2 pgs active+undersized+degraded"
    assert recovery_left(status % "creating+activating") == "", "nothing that is moved ends that"
    assert recovery_left(status % "stale+active+undersized+degraded") == ""
    kubernetes.pod("tools-1", app="tools")
    kubernetes.runs = lambda _pod, _argv: (status % "peering", 0)
    assert pool(recovers=True).unsettled(hand) == "2 pgs peering"
    assert pool().unsettled(hand) == ""


def configmap(kubernetes, text):
    kubernetes.put("configmaps", {"metadata": {"name": "m", "namespace": "n"}, "data": {"f.conf": text}})


def edit(*lines):
    return FileEdit(
        offender="configmap n/m: x", resource="configmaps", namespace="n", name="m", file="f.conf",
        lines=tuple(Line(*line) for line in lines),
    )  # fmt: skip


def said(kubernetes):
    return kubernetes.get("configmaps", "m", "n")["data"]["f.conf"]


@pytest.mark.parametrize(
    ("lines", "after"),
    [
        ([("a = 1", "a = 2")], "# x\na = 2\nb = 1\n"),
        ([("b = 1", "")], "# x\na = 1\n"),
        ([("", "c = 1")], "# x\na = 1\nb = 1\nc = 1\n"),
        ([("a = 1", "a = 2"), ("", "c = 1")], "# x\na = 2\nb = 1\nc = 1\n"),
    ],
)
def test_lines_are_changed_and_changed_back(kubernetes, hand, lines, after):
    configmap(kubernetes, "# x\na = 1\nb = 1\n")
    change = edit(*lines)
    assert change.check(hand) is False
    change.apply(hand)
    assert said(kubernetes) == after
    assert change.check(hand) is True
    change.undo(hand)
    assert sorted(said(kubernetes).splitlines()) == ["# x", "a = 1", "b = 1"]


def test_a_line_that_is_not_there_any_more_is_left_alone(kubernetes, hand):
    configmap(kubernetes, "a = 7\n")
    with pytest.raises(Refused, match=r"changed since it was judged: f\.conf has no line 'a = 1'"):
        edit(("a = 1", "a = 2")).apply(hand)
    assert said(kubernetes) == "a = 7\n"


def test_a_line_that_stands_twice_is_left_alone(kubernetes, hand):
    configmap(kubernetes, "a = 1\na = 1\n")
    with pytest.raises(Refused):
        edit(("a = 1", "a = 2")).apply(hand)


def test_an_empty_file_is_filled_from_a_pod_and_never_one_that_is_not(kubernetes, hand):
    kubernetes.pod("h")
    kubernetes.runs = lambda _pod, _argv: ("WSGIDaemonProcess x\n", 0)
    kubernetes.put("secrets", {"metadata": {"name": "s", "namespace": "n"}, "data": {"site": ""}})
    change = FileRestored(
        offender="secret n/s site: is empty", resource="secrets", namespace="n", name="s", file="site",
        where=Where(namespace="n", spelled="h", pod="h"), path="/site",
    )  # fmt: skip
    change.apply(hand)

    def secret():
        return base64.b64decode(kubernetes.get("secrets", "s", "n")["data"]["site"]).decode()

    assert secret() == "WSGIDaemonProcess x\n"
    kubernetes.runs = lambda _pod, _argv: ("another\n", 0)
    change.apply(hand)
    assert secret() == "WSGIDaemonProcess x\n"
    change.undo(hand)
    assert secret() == ""


def test_pods_restart_one_after_the_other_and_only_while_all_the_others_are_ready(kubernetes, hand):
    status = {"readyReplicas": 2, "replicas": 2}
    kubernetes.put(
        "statefulsets", {"metadata": {"name": "b", "namespace": "n"}, "spec": {"replicas": 2}, "status": status}
    )
    for name in ("b-0", "b-1"):
        kubernetes.pod(name)
    away = []

    def controller(verb, path):
        if verb == "DELETE":
            name = path.rpartition("/")[2]
            assert status["readyReplicas"] == 2, f"{name} went while another one was away"
            away.append(name)
            kubernetes.pod(name)

    kubernetes.after_write.append(controller)
    restart = Restart(offender="b: x", resource="statefulsets", namespace="n", name="b", pods=("b-1", "b-0"))
    restart.apply(hand)
    assert away == ["b-1", "b-0"]
    status["readyReplicas"] = 1
    with pytest.raises(Failed, match="1 of 2 pods ready"):
        restart.apply(hand)


class Runtimes:
    """Two nodes with an image store and a file system each, behind their pods."""

    def __init__(self, image):
        self.files = {"a": {}, "b": {}}
        self.images = {"a": {"i:1": image}, "b": {}}
        self.torn = False

    def __call__(self, pod, argv, given=b""):
        files, images, words = self.files[pod], self.images[pod], argv[2:]
        if words[:2] == ("ctr", "-n"):
            return self.ctr(files, images, words[3:])
        if words[0] == "rm":
            files.pop(words[-1], None)
        elif words[0] == "stat":
            return str(len(files[words[-1]])), 0
        elif words[0] == "sha256sum":
            return f"{hashlib.sha256(files[words[-1]]).hexdigest()}  {words[-1]}", 0
        elif words[0] == "dd":
            options = dict(word.split("=") for word in words[1:])
            size, skip = int(options["bs"]), int(options["skip"])
            return files[options["if"]][size * skip : size * (skip + 1)], 0
        elif words[0] == "sh":
            name = words[-1].rpartition(">>")[2]
            files[name] = files.get(name, b"") + (given[:-1] if self.torn else given)
        return "", 0

    @staticmethod
    def ctr(files, images, words):
        if words[1] == "ls":
            return "\n".join(images), 0
        if words[1] == "export":
            files[words[2]] = images[words[3]]
        elif words[1] == "import":
            images["i:1"] = files[words[2]]
        elif words[1] == "rm":
            images.pop(words[2])
        return "", 0


@pytest.fixture
def runtimes(kubernetes, monkeypatch):
    monkeypatch.setattr(side_load, "_CHUNK", 1000)
    kubernetes.runs = Runtimes(bytes(range(256)) * 10)
    return kubernetes.runs


LOAD = SideLoad(
    offender="image i:1: missing on b",
    image="i:1",
    runtime="containerd",
    source=Where(namespace="n", spelled="a", pod="a"),
    target=Where(namespace="n", spelled="b", pod="b"),
)


def test_an_image_is_carried_over_byte_for_byte_and_removed_again(runtimes, hand):
    LOAD.apply(hand)
    assert runtimes.images["b"] == runtimes.images["a"]
    assert runtimes.files == {"a": {}, "b": {}}, "nothing is left on the nodes"
    LOAD.apply(hand)
    assert LOAD.undo(hand) is True
    assert runtimes.images["b"] == {}
    assert LOAD.undo(hand) is False


def test_an_image_that_arrives_torn_is_not_imported(runtimes, hand):
    runtimes.torn = True
    with pytest.raises(Failed, match="what arrived is not what was sent"):
        LOAD.apply(hand)
    assert runtimes.images["b"] == {}
    assert runtimes.files == {"a": {}, "b": {}}
