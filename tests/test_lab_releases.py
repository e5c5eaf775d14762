"""The lab's charts, images and registry agree with each other."""

import tomllib

import pytest
import yaml

from seatrial.lab import ceph, openstack, registry, releases
from seatrial.lab.topology import ROOM, SERVER_NETWORK

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


def test_the_addresses_of_servers_are_routed_to_nobody_outside():
    values = yaml.safe_load((ROOM / "charts" / "neutron" / "values.yaml").read_text(encoding="utf-8"))
    assert values["bootstrap"]["network"]["cidr"] == SERVER_NETWORK


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


def test_openstack_brings_what_it_needs():
    assert releases._with_needs({"openstack"}) == ["rabbitmq", "mariadb", "memcached", "openstack"]
    assert releases._with_needs({"ceph"}) == ["ceph"]
    assert releases._with_needs(None) == list(releases.PARTS)


def test_a_small_lab_has_one_replica_of_each_role():
    for chart in openstack.CHARTS:
        small = openstack.values(chart, size="small", rabbitmq_replicas=1, node_count=5)
        shown = yaml.safe_load((ROOM / "charts" / chart / "values.yaml").read_text(encoding="utf-8"))
        replicas = shown["pod"].get("replicas", {}) | small.get("pod", {}).get("replicas", {})
        assert set(replicas.values()) <= {1}


def test_every_service_reaches_every_member_of_the_broker():
    for chart in openstack.CHARTS:
        values = yaml.safe_load((ROOM / "charts" / chart / "values.yaml").read_text(encoding="utf-8"))
        given = openstack.values(chart, size="full", rabbitmq_replicas=3, node_count=5)
        assert ("oslo_messaging" in values.get("endpoints", {})) == ("endpoints" in given)


def test_a_lab_of_few_nodes_waits_for_few_computes():
    assert openstack.values("nova", size="full", rabbitmq_replicas=1, node_count=2)["bootstrap"] == {"computes": 2}
    assert openstack.values("nova", size="full", rabbitmq_replicas=1, node_count=3) == {}
