"""Claims to be judged without a cloud: the gate is tested on what pytest itself can raise."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real_broker import RealBroker

CLAIMS = """
import pytest
from seatrial.fixtures.question import NotConcerned, Unavailable

pytestmark = pytest.mark.ceph


def claim(number, severity="normal", **more):
    return pytest.mark.invariant(id=f"TST-{{number:02}}", severity=severity, source="own", **more)

{body}
"""


class Run:
    """A finished run of seatrial in a folder of its own."""

    def __init__(self, result: pytest.RunResult, folder: Path) -> None:
        self.status = int(result.ret)
        self.text = result.stdout.str()
        self.errors = result.stderr.str()
        path = folder / "verdict.json"
        self.verdict: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def outcome(self, invariant: str) -> str:
        """Return how an invariant was judged."""
        return str(self.judged(invariant)["outcome"])

    def judged(self, invariant: str) -> dict[str, Any]:
        """Return the verdict's entry of an invariant."""
        return next(entry for entry in self.verdict["invariants"] if entry["id"] == invariant)


class Trial:
    """Writes claims into a folder and judges them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.folder = pytester.path

    def claims(self, body: str) -> None:
        """Write the claims of the trial."""
        self.pytester.makepyfile(test_claims=CLAIMS.format(body=body))

    def write(self, name: str, text: str) -> None:
        """Write another file beside the claims."""
        (self.folder / name).write_text(text)

    def judge(self, *options: str) -> Run:
        """Judge the claims in a process of their own, as an operator would."""
        command = ["-p", "seatrial", "--verdict", "verdict.json", "-p", "no:cacheprovider", *options]
        return Run(self.pytester.runpytest_subprocess(*command), self.folder)


@pytest.fixture
def trial(pytester: pytest.Pytester) -> Trial:
    """A folder in which claims can be written and judged."""
    return Trial(pytester)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBroker]:
    """A RabbitMQ of this machine, which the tests of a file share."""
    from real_broker import SERVER, RealBroker  # noqa: PLC0415 - most tests need none

    if not SERVER:
        pytest.skip("rabbitmq-server is not installed here")
    running = RealBroker(tmp_path_factory.mktemp("rabbitmq"))
    try:
        yield running.start()
    finally:
        running.stop()


FOUNDATION = {"rabbitmq", "mariadb", "memcached", "ceph", "registry", "prometheus"}
"""What OpenStack stands on. Two cores need a quarter of an hour more for OpenStack itself and its faults: the round."""


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[None]:
    """A lab that is up and sound; what this run brought up, it takes down. It has OpenStack where a test needs it."""
    from seatrial.lab import lifecycle  # noqa: PLC0415 - most runs have no lab
    from seatrial.lab.state import State  # noqa: PLC0415

    state = State.load()
    was_up = state is not None and state.running
    openstack = any(item.get_closest_marker("with_openstack") for item in request.session.items)
    lifecycle.up(None if openstack else FOUNDATION, node_count=5, rabbitmq_replicas=1)
    yield
    if not was_up:
        lifecycle.down()


@pytest.fixture(scope="session")
def mender(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:  # noqa: ARG001 - it must be up
    """A kubeconfig of a service account that may mend the lab as documented, and nothing else."""
    from mender import account  # noqa: PLC0415 - most runs have no lab

    with account(tmp_path_factory.mktemp("mender")) as kubeconfig:
        yield kubeconfig


def pytest_configure(config: pytest.Config) -> None:
    """Marks of the tests of the tests."""
    # Whoever starts this in the background of a script has it ignore Ctrl-C, and so would all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup: a shell cannot trap what was ignored when it began
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "lab: needs root and brings up a real cloud")
    config.addinivalue_line("markers", "apiserver: needs etcd and kube-apiserver, which `seatrial lab up` builds")
    config.addinivalue_line("markers", "with_openstack: needs OpenStack in the lab, not only what it stands on")
    config.addinivalue_line("markers", "round: the complete round of faults on the lab, `make lab-test ALL=1`")
