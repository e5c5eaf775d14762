"""The acceptance trial for OpenStack clouds that run on Kubernetes.

As a pytest plugin (`-p seatrial`) this package brings the facts, and the plugins that decide how a run behaves.
"""

pytest_plugins = [
    "seatrial.plugins.invariants",
    "seatrial.plugins.offenders",
    "seatrial.plugins.waivers",
    "seatrial.plugins.imports",
    "seatrial.plugins.judgement",
    "seatrial.plugins.settling",
    "seatrial.plugins.gate",
    "seatrial.plugins.summary",
    "seatrial.plugins.allure_labels",
    "seatrial.fixtures.target",
    "seatrial.fixtures.apiserver",
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
    "seatrial.fixtures.helm",
    "seatrial.fixtures.imported",
    "seatrial.fixtures.images",
    "seatrial.fixtures.mariadb",
    "seatrial.fixtures.memcached",
    "seatrial.fixtures.nodes",
    "seatrial.fixtures.prometheus",
    "seatrial.fixtures.proxies",
    "seatrial.fixtures.rabbitmq",
    "seatrial.fixtures.scheduling",
]
