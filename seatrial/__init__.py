"""The acceptance trial for OpenStack clouds that run on Kubernetes.

As a pytest plugin (`-p seatrial`) this package brings the facts, and the plugins that decide how a run behaves.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PLUGINS = (
    "seatrial.plugins.invariants",
    "seatrial.plugins.offenders",
    "seatrial.plugins.waivers",
    "seatrial.plugins.baseline",
    "seatrial.plugins.allow",
    "seatrial.plugins.imports",
    "seatrial.plugins.judgement",
    "seatrial.plugins.announcing",
    "seatrial.plugins.settling",
    "seatrial.plugins.gate",
    "seatrial.plugins.ledger",
    "seatrial.plugins.history",
    "seatrial.plugins.regressions",
    "seatrial.plugins.sick_cloud",
    "seatrial.plugins.summary",
    "seatrial.plugins.allure_labels",
    "seatrial.plugins.remediation.options",
    "seatrial.fixtures.target",
    "seatrial.fixtures.acceptance",
    "seatrial.fixtures.apiserver",
    "seatrial.fixtures.broker_load",
    "seatrial.fixtures.ceph",
    "seatrial.fixtures.ceph_hosts",
    "seatrial.fixtures.certificates",
    "seatrial.fixtures.cluster",
    "seatrial.fixtures.control_plane",
    "seatrial.fixtures.control_plane_logs",
    "seatrial.fixtures.control_plane_settings",
    "seatrial.fixtures.control_plane_upgrades",
    "seatrial.fixtures.csi",
    "seatrial.fixtures.dns",
    "seatrial.fixtures.etcd",
    "seatrial.fixtures.extent",
    "seatrial.fixtures.helm",
    "seatrial.fixtures.horizon",
    "seatrial.fixtures.imported",
    "seatrial.fixtures.images",
    "seatrial.fixtures.ironic",
    "seatrial.fixtures.ironic_conductors",
    "seatrial.fixtures.mariadb",
    "seatrial.fixtures.memcached",
    "seatrial.fixtures.migrations",
    "seatrial.fixtures.network",
    "seatrial.fixtures.nodes",
    "seatrial.fixtures.openstack_catalogue",
    "seatrial.fixtures.openstack_compute",
    "seatrial.fixtures.openstack_consistency",
    "seatrial.fixtures.openstack_federation",
    "seatrial.fixtures.openstack_network",
    "seatrial.fixtures.openstack_placement",
    "seatrial.fixtures.openstack_quota",
    "seatrial.fixtures.openstack_services",
    "seatrial.fixtures.performance",
    "seatrial.fixtures.prometheus",
    "seatrial.fixtures.proxies",
    "seatrial.fixtures.rabbitmq",
    "seatrial.fixtures.scheduling",
    "seatrial.fixtures.scheduling_load",
)
"""What pytest is given, in this order.

Not as `pytest_plugins`: for every name there pytest reads the metadata of every installed package again, which took as
long as judging a cloud.
"""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:  # noqa: ARG001
    """Bring the plugins. This hook is the first that pytest calls, so that theirs are heard as well."""
    for name in PLUGINS:
        pluginmanager.register(importlib.import_module(name), name)
