"""RabbitMQ's settings are read as RabbitMQ reads them."""

from __future__ import annotations

import msgspec
import pytest

from seatrial.fixtures.objects import Pod
from seatrial.fixtures.rabbitmq_settings import _fits, _mounted, information, settings


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [("50MB", 50_000_000), ("50MiB", 52_428_800), ("50M", 52_428_800), ("2000", 2000), ("1GB", 10**9), ("1GiB", 2**30),
     ("much", None), ("5XB", None)],
)  # fmt: skip
def test_sizes_are_read_in_rabbitmqs_own_units(written, bytes_):
    assert information(written) == bytes_


def test_comments_and_quotes_are_no_part_of_a_setting():
    text = "# a.b = 1\n\nlog.console.level = warning\nexport ARGS=\"+S 4:4\"\nname = 'x=y'\n"
    assert settings(text) == {"log.console.level": "warning", "ARGS": "+S 4:4", "name": "x=y"}


@pytest.mark.parametrize(
    ("key", "mapping", "fits"),
    [
        ("listeners.tcp.1", "listeners.tcp.$name", True),
        ("listeners.tcp", "listeners.tcp.$name", False),
        ("disk_free_limit.absolute", "disk_free_limit.relative", False),
    ],
)
def test_a_variable_of_a_mapping_stands_for_one_word(key, mapping, fits):
    assert _fits(key, mapping) is fits


@pytest.mark.parametrize(
    ("mount", "key"),
    [
        ({"mountPath": "/etc/rabbitmq/rabbitmq.conf", "subPath": "broker.conf"}, "broker.conf"),
        ({"mountPath": "/etc/rabbitmq"}, "rabbitmq.conf"),
        ({"mountPath": "/etc/other"}, None),
    ],
)
def test_a_file_is_traced_to_its_configmap_by_sub_path_and_by_folder(mount, key):
    pod = msgspec.convert(
        {
            "metadata": {"name": "rabbitmq-0", "namespace": "openstack"},
            "spec": {
                "containers": [{"name": "rabbitmq", "volumeMounts": [{"name": "etc", **mount}]}],
                "volumes": [{"name": "etc", "configMap": {"name": "rabbitmq-etc"}}],
            },
        },
        Pod,
    )
    found = _mounted(pod, "/etc/rabbitmq/rabbitmq.conf")
    assert found == (None if key is None else ("rabbitmq-etc", key))
