"""Install the services that tests start for themselves on loopback: Debian's own, none of them started by that."""

from __future__ import annotations

import shutil
import sys

from seatrial.lab import prerequisites
from seatrial.lab.shell import LabError

SERVICES = ("memcached", "rabbitmq-server")
"""Programs, and the packages that are called like them."""

if __name__ == "__main__":
    missing = [name for name in SERVICES if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    try:
        if missing:
            prerequisites.install(missing)
    except LabError as error:
        sys.exit(error.message)
