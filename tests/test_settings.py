"""Profiles and seatrial.toml: strict, and clear about what is wrong where."""

from __future__ import annotations

import pytest

from seatrial.command.thresholds import sources
from seatrial.fixtures.settings import PROFILES, as_another, load_cloud, load_profile, shipped_profiles
from seatrial.fixtures.strict_toml import WrongSetting, load


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_is_in_order(name):
    assert load_profile(name).name == name


def leaves(settings, path=""):
    for key, value in settings.items():
        dotted = f"{path}{key}"
        if isinstance(value, dict):
            yield from leaves(value, f"{dotted}.")
        elif dotted not in {"name", "about", "extends"}:
            yield dotted


def test_every_threshold_says_where_it_comes_from():
    demanded = {key for name in shipped_profiles() for key in leaves(load(PROFILES / f"{name}.toml"))}
    unexplained = demanded - set(sources())
    assert unexplained == set()
    assert set(sources()) - demanded == set()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('extends = "baseline"\nabout = "x"\n[ceph]\npool_sise = 3\n', "mine.toml:4: ceph.pool_sise: unknown key"),
        (
            'extends = "baseline"\nabout = "x"\n\n[ceph]\npool_size = "3"\n',
            "mine.toml:5: ceph.pool_size: Expected `int`",
        ),
        ('extends = "baseline"\nabout = "x"\n[cefh]\npool_size = 3\n', "mine.toml:3: cefh: unknown key"),
        (
            'extends = "baseline"\nabout = "x"\n[openstack.replicas]\nnova-api = 3\n',
            "mine.toml:4: openstack.replicas.nova-api: unknown key",
        ),
        ('extends = "nobody"\n', "profile nobody: not one of baseline"),
        ('extends = "mine.toml"\n', "extends itself"),
        ('about = "x"\nwindow_s = 1\nsettle_poll_s = 1.0\npod_grace_s = 1\n', "mine.toml: ceph: missing"),
        ("[ceph\n", "mine.toml: not TOML"),
    ],
)
def test_a_wrong_profile_is_told_with_file_line_and_key(tmp_path, text, complaint):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(WrongSetting) as wrong:
        load_profile(str(path))
    assert complaint in str(wrong.value)


def test_a_profile_may_change_one_number_of_another(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "um-cloud"\nabout = "ours"\n[ceph]\npool_size = 3\n')
    assert load_profile(str(path)).ceph.pool_size == 3
    assert load_profile(str(path)).rabbitmq == load_profile("um-cloud").rabbitmq


def test_one_file_names_several_clouds_with_paths_beside_it(tmp_path):
    path = tmp_path / "seatrial.toml"
    path.write_text('default = "a"\n[clouds.a]\nkubeconfig = "a.conf"\n[clouds.b]\nprofile = "um-cloud"\n')
    assert load_cloud("", path)[1].kubeconfig == str(tmp_path / "a.conf")
    assert load_cloud("b", path)[1].profile == "um-cloud"
    with pytest.raises(WrongSetting, match=r"no such cloud in .*seatrial.toml \(it names: a, b\)"):
        load_cloud("c", path)


def test_an_unknown_key_of_a_cloud_is_told(tmp_path):
    path = tmp_path / "seatrial.toml"
    path.write_text('[clouds.a]\nkubconfig = "x"\n')
    with pytest.raises(WrongSetting, match=r"seatrial.toml:2: clouds.a.kubconfig: unknown key"):
        load_cloud("a", path)


def test_whom_openstack_is_asked_as_stands_beside_the_settings(tmp_path):
    path = tmp_path / "seatrial.toml"
    path.write_text('[clouds.a.openstack]\nclouds_yaml = "clouds.yaml"\ncloud = "admin"\n')
    _, cloud, _ = load_cloud("a", path)
    assert (cloud.openstack.clouds_yaml, cloud.openstack.cloud) == (str(tmp_path / "clouds.yaml"), "admin")
    assert as_another(cloud, "member").openstack.cloud == "member"


def test_a_wrong_key_of_openstack_is_told(tmp_path):
    path = tmp_path / "seatrial.toml"
    path.write_text('[clouds.a.openstack]\nclouds_yml = "clouds.yaml"\n')
    with pytest.raises(WrongSetting, match=r"seatrial\.toml:2: clouds\.a\.openstack\.clouds_yml: unknown key"):
        load_cloud("a", path)
