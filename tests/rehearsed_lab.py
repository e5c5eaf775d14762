"""Stand-ins for the lab: its recorded objects behind a played API server, and a real broker on loopback.

What is asked of the broker's virtual machine is answered by the real one, and its load is real; everything else is as
it was recorded. So a show that needs the lab can be rehearsed without it. Figures that come from here are the broker's
own, and no cloud's.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path

from fake_kubernetes import KUBECONFIG, FakeKubernetes
from real_broker import RealBroker

from seatrial.fixtures import memcached_servers, rabbitmq_questions
from seatrial.fixtures.bundle import Bundle
from seatrial.fixtures.memcached import NODE_STATS
from seatrial.fixtures.question import Command, Objects
from seatrial.fixtures.resources import PATHS

RECORDED = Path(__file__).parents[1] / "fixtures" / "recorded" / "um-cloud-after.tar.zst"
FLAGS = "+S {0}:{0} +A 128 +K true +sbwt none +sbwtdcpu none +sbwtdio none"
SETTINGS = """
[clouds.rehearsal]
kubeconfig = "kubeconfig"
[clouds.rehearsal.rabbitmq]
address = "127.0.0.1:{}"
"""
ADMINISTRATOR = ("RABBITMQ_ADMIN_USERNAME", "RABBITMQ_ADMIN_PASSWORD")
QUESTIONS = {
    question.argv: question
    for module in (rabbitmq_questions, memcached_servers)
    for question in vars(module).values()
    if isinstance(question, Command)
}
PART_OF_A_CORE = 0.15
_GROUPS = Path("/sys/fs/cgroup/cpu")
_PERIOD_US = 100_000
_OWN = {"schedulers_online", "flags", "memory_watermark", "alarms"}
"""What a broker says of itself that is asked of the real one."""

_DURABLE = {"vhost": "nova", "name": "lab-durable", "kind": "durable"}
_RUN_IN_GROUP = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class RecordedLab:
    """The recorded lab behind an API server: objects, kubelets, and what RabbitMQ and memcached were asked."""

    def __init__(self):
        self.kubernetes = FakeKubernetes()
        self.kubernetes.runs = self.runs
        self.kubeconfig = KUBECONFIG % self.kubernetes.url
        self.bundle = Bundle(RECORDED)
        self.durable = False
        """Whether a service has declared a durable queue since it was recorded."""
        self._fill()

    def close(self):
        self.kubernetes.close()

    def runs(self, pod, argv, *_):
        """Answer a command in a pod as it was recorded."""
        question = QUESTIONS.get(argv)
        if question is None:
            return f"not recorded: {argv}", 127
        answer = next(one for one in self.bundle.fetch(question) if one.speaker.endswith(f"/{pod}"))
        if question == rabbitmq_questions.QUEUES and self.durable:
            told = json.loads(answer.body)
            told["value"]["queues"].append({**_DURABLE, "leader": told["node"]})
            return json.dumps(told), 0
        return answer.body, answer.exit

    def _fill(self):
        for entry in self.bundle.manifest["answers"]:
            folder, _, name = entry["question"].rpartition("/")
            kind = name.removesuffix(".json")
            if folder.startswith("objects/") and kind in PATHS:
                (answer,) = self.bundle.fetch(Objects(kind, namespace="" if folder.endswith("/all") else folder[8:]))
                for item in json.loads(answer.body)["items"]:
                    self.kubernetes.put(kind, _packed(item) if kind == "secrets" else item)
        for answer in self.bundle.fetch(NODE_STATS):
            self.kubernetes.told[f"/api/v1/nodes/{answer.speaker}/proxy/stats/summary"] = json.loads(answer.body)
        password = {key: base64.b64encode(b"guest").decode() for key in ADMINISTRATOR}
        self.kubernetes.get("secrets", "rabbitmq-admin-user", "openstack")["data"] = password


class RehearsedLab(RecordedLab):
    """The recorded lab with a real broker, in a folder of its own; faults have the names of the lab's own."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.broker = None
        self._group = _GROUPS / f"seatrial-rehearsal-{os.getpid()}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kubeconfig").write_text(self.kubeconfig)

    def __enter__(self):
        self._restart(4, None)
        return self

    def __exit__(self, *_):
        if self.broker is not None:
            self.broker.stop()
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self._group.rmdir()

    @property
    def options(self):
        return ["--settings", str(self.folder / "seatrial.toml"), "--cloud", "rehearsal"]

    @property
    def mending(self):
        return self.options

    def break_(self, fault):
        if fault == "rabbitmq-small-cpu-limit":
            self._restart(1, PART_OF_A_CORE)
        elif fault == "rabbitmq-memory-watermark":
            self.broker.ctl("set_vm_memory_high_watermark", "0.4")
        elif fault == "rabbitmq-durable-queue":
            self.durable = True
        else:
            raise ValueError(f"{fault} cannot be rehearsed")

    def heal(self, fault):
        if fault == "rabbitmq-small-cpu-limit":
            self._restart(4, None)
        elif fault == "rabbitmq-durable-queue":
            self.durable = False

    def _restart(self, schedulers, cores):
        """Start the broker anew, in a control group with as many cores as a limit of Kubernetes would leave it."""
        if self.broker is not None:
            self.broker.stop()
        self.broker = RealBroker(
            self.folder / f"broker-{schedulers}",
            "vm_memory_high_watermark.relative = 0.6",
            "log.default.level = warning",
        )
        self.broker.environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = FLAGS.format(schedulers)
        if cores:
            self._group.mkdir(exist_ok=True)
            (self._group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (self._group / "cpu.cfs_quota_us").write_text(str(round(cores * _PERIOD_US)))
            self.broker.within = ["sh", "-c", _RUN_IN_GROUP, str(self._group)]
        self.broker.start(patience=300)  # a part of a core starts it in minutes, where others use the machine
        (self.folder / "seatrial.toml").write_text(SETTINGS.format(self.broker.port))

    def runs(self, pod, argv, *given):
        """Answer by the real broker what is asked of its virtual machine, and whatever is done to it."""
        question = QUESTIONS.get(argv)
        if question is None and argv[0] == "rabbitmqctl":
            return self.broker.ctl(*argv[2:]), 0
        body, status = super().runs(pod, argv, *given)
        return (
            (self._told_by_the_broker(json.loads(body), argv), 0)
            if question == rabbitmq_questions.NODE
            else (body, status)
        )

    def _told_by_the_broker(self, recorded, argv):
        real = json.loads(self.broker.ctl(*argv[2:]))["value"]
        return json.dumps(recorded | {"value": recorded["value"] | {key: real[key] for key in _OWN}})


def _packed(secret):
    """Pack a Secret as the API server has it: it was redacted, and kept in plain text."""
    data = secret.get("data") or {}
    plain = {key: value for key, value in data.items() if key != "release"}  # Helm's are packed by themselves
    return secret | {"data": data | {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}}
