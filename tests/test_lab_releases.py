"""The lab's charts, images and registry agree with each other."""

import tomllib

import pytest
import yaml

from seatrial.lab import ceph, registry, releases
from seatrial.lab.topology import ROOM

CHARTS = sorted(path.parent.name for path in (ROOM / "charts").glob("*/values.yaml"))


def defined() -> set[str]:
    return {
        ref
        for path in (ROOM / "images").glob("*.toml")
        for ref in tomllib.loads(path.read_text(encoding="utf-8"))["refs"]
    }


def named(chart: str) -> list[str]:
    values = yaml.safe_load((ROOM / "charts" / chart / "values.yaml").read_text(encoding="utf-8"))
    return list(values.get("images", {}).get("tags", {}).values())


@pytest.mark.parametrize("chart", CHARTS)
def test_every_image_that_a_chart_names_is_one_that_the_lab_makes(chart):
    assert [ref for ref in named(chart) if ref not in defined()] == []


@pytest.mark.parametrize("chart", CHARTS)
def test_the_registry_answers_for_every_image_that_a_chart_names_and_none_is_schema_v1(chart):
    answered = registry.values()
    for ref in named(chart):
        repository = ref.partition("/")[2]
        assert repository in answered["oci"]
        assert repository not in answered["schema1"]


def test_the_image_that_cannot_be_pulled_is_on_the_nodes_all_the_same():
    assert any(ref.endswith(f"/{registry.SCHEMA1}") for ref in defined())


def test_a_release_is_recognised_by_its_values():
    one, other = ({"pod": {"replicas": {"server": count}}} for count in (1, 3))
    assert (
        releases.Release("rabbitmq", "openstack", one).fingerprint
        == releases.Release("rabbitmq", "openstack", one).fingerprint
    )
    assert (
        releases.Release("rabbitmq", "openstack", one).fingerprint
        != releases.Release("rabbitmq", "openstack", other).fingerprint
    )


def test_a_new_ceph_key_has_the_shape_of_an_aes_key():
    assert len(ceph._new_key()) == 40
    assert ceph._new_key() != ceph._new_key()


def test_a_keyring_entry_quotes_its_rights():
    assert ceph._entry("osd.0", "KEY", ("mon 'allow profile osd'",)) == (
        '[osd.0]\n\tkey = KEY\n\tcaps mon = "allow profile osd"\n'
    )
