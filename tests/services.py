"""Install the services that tests start for themselves on loopback: Debian's own, none of them started by that."""

from __future__ import annotations

import shutil
import sys

from seatrial.lab import prerequisites
from seatrial.lab.shell import LabError

SERVICES = ("memcached", "rabbitmq-server")


def provide():
    """Install those that are missing; the packages are called as their programs are."""
    missing = [name for name in SERVICES if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    if missing:
        prerequisites.install(missing)


if __name__ == "__main__":
    try:
        provide()
    except LabError as error:
        sys.exit(error.message)
