"""Planted secrets: none may reach what is kept or judged."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from seatrial.fixtures import redaction
from seatrial.fixtures.bundle import Bundle, recorded
from seatrial.fixtures.question import Answer, Command, Objects, Pods
from seatrial.fixtures.redacted_objects import LARGE, MANY, suspicious
from seatrial.fixtures.redaction import Redactor

LOUD = Command(Pods("p", "a=b"), ("x",))
SECRET = "hunter2-Geheimnis"


def packed(text):
    return base64.b64encode(text.encode()).decode()


def heard(question, body):
    return Redactor().answer(question, Answer(body.encode(), stderr=body, error=body)).text


@pytest.mark.parametrize(
    "text",
    [
        f"password = {SECRET}",
        f"admin_password={SECRET}",
        f"    default_pass = {SECRET}",
        f"wsrep_sst_auth=sst:{SECRET}",
        f"transport_url = rabbit://nova:{SECRET}@rabbitmq:5672/nova",
        f"rabbit://nova:{SECRET}@a:5672,nova:{SECRET}@b:5672/nova",
        f"connection = mysql+pymysql://nova:{SECRET}@mariadb/nova",
        f"X-Auth-Token: {SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"Set-Cookie: sessionid={SECRET}; Path=/",
        f"erlang_cookie: {SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
        f"mysql --password={SECRET} -e 'select 1'",
        f'{{"auth": {{"password": "{SECRET}"}}}}',
        f'[{{"name": "RABBITMQ_ERLANG_COOKIE", "value": "{SECRET}"}}]',
        f'{{"data": {{"rabbitmq.conf": "default_pass = {SECRET}"}}}}',
        f'{{"fernet_key": "{SECRET}", "secret": "{SECRET}", "api_key": "{SECRET}"}}',
    ],
)
def test_a_planted_secret_is_hidden(text):
    answer = Redactor().answer(LOUD, Answer(text.encode(), stderr=text, error=text))
    assert SECRET not in answer.text + answer.stderr + answer.error


@pytest.mark.parametrize(
    "text",
    ["AQ" + "a" * 36 + "==", "gAAAA" + "b" * 60, "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"],
)
def test_a_secret_is_known_by_its_form(text):
    assert text not in heard(LOUD, f"something {text} else")


def test_the_same_secret_has_the_same_token_within_a_run_and_another_in_the_next():
    one, other = Redactor(), Redactor()
    assert one.hide(SECRET) == one.hide(SECRET) != one.hide("another")
    assert one.hide(SECRET) != other.hide(SECRET)


def test_a_secrets_values_are_hidden_but_for_the_options_that_claims_read():
    conf = f"[keystone_authtoken]\nmemcached_servers = memcached:11211\npassword = {SECRET}\nusername = nova\n"
    listed = {
        "items": [
            {
                "metadata": {"name": "nova-etc", "namespace": "openstack"},
                "type": "Opaque",
                "data": {"nova.conf": packed(conf), "key": packed(SECRET)},
            }
        ]
    }
    text = heard(Objects("secrets"), json.dumps(listed))
    assert SECRET not in text
    assert packed(SECRET) not in text
    assert "memcached_servers = memcached:11211" in text
    assert "username = nova" not in text


def test_a_secrets_apache_site_keeps_its_daemons_and_no_secret():
    site = f"WSGIDaemonProcess nova-api processes=4 threads=2 user=nova\nSetEnv OS_PASSWORD={SECRET}\n"
    data = {
        "wsgi-nova-api.conf": packed(site),
        "nova.conf": packed(f"live_migration_uri = qemu://u:{SECRET}@%s/system"),
    }
    item = {"metadata": {"name": "nova-etc", "namespace": "openstack"}, "type": "Opaque", "data": data}
    text = heard(Objects("secrets"), json.dumps({"items": [item]}))
    assert SECRET not in text
    assert "WSGIDaemonProcess nova-api processes=4 threads=2 user=nova" in text
    assert "live_migration_uri = qemu://u:(redacted" in text


def test_a_printed_configuration_file_is_redacted_as_in_its_secret():
    site = f"<VirtualHost *:80>\nWSGIDaemonProcess horizon-http processes=5\nOIDCClientSecret {SECRET}\n</VirtualHost>"
    settings = f'SESSION_ENGINE = "cache"\nSECRET_KEY = "{SECRET}"\nSLOGAN = """\n{SECRET}\n"""\n'
    redactor = Redactor()
    for name, text, kept in (
        ("horizon.conf", site, "WSGIDaemonProcess horizon-http processes=5"),
        ("local_settings", settings, 'SESSION_ENGINE = "cache"'),
    ):
        item = {"metadata": {"name": "horizon-etc", "namespace": "openstack"}, "data": {name: packed(text)}}
        listed = redactor.answer(Objects("secrets"), Answer(json.dumps({"items": [item]}).encode())).text
        printed = redactor.answer(Command(Pods("p", "a=b"), ("cat",), prints=name), Answer(text.encode())).text
        assert json.loads(listed)["items"][0]["data"][name] == printed
        assert kept in printed
        assert SECRET not in printed


def test_a_helm_release_keeps_what_drift_needs_and_no_secret():
    manifest = (
        "kind: Secret\nmetadata: {name: s}\nstringData: {password: " + SECRET + "}\n---\n"
        "kind: Deployment\nmetadata: {name: d}\nspec: {replicas: 3, template: {spec: {containers: [{name: c, env: "
        "[{name: OS_PASSWORD, value: " + SECRET + "}]}]}}}\n"
    )
    release = {
        "name": "nova",
        "version": 3,
        "info": {"status": "deployed"},
        "chart": {"metadata": {"name": "nova"}, "values": {"auth": {"admin": {"password": SECRET}}}, "files": ["x"]},
        "config": {"endpoints": {"identity": {"auth": {"password": SECRET}}}, "pod": {"replicas": {"osapi": 4}}},
        "manifest": manifest,
    }
    encoded = packed(base64.b64encode(gzip.compress(json.dumps(release).encode())).decode())
    listed = {
        "items": [
            {
                "metadata": {"name": "sh.helm.release.v1.nova.v3", "namespace": "openstack"},
                "type": "helm.sh/release.v1",
                "data": {"release": encoded},
            }
        ]
    }
    text = heard(Objects("secrets"), json.dumps(listed))
    kept = json.loads(text)["items"][0]["release"]
    assert SECRET not in text
    assert encoded not in text
    assert kept["manifest"][1]["spec"]["replicas"] == 3
    assert kept["config"]["pod"]["replicas"]["osapi"] == 4
    assert kept["info"]["status"] == "deployed"


@pytest.mark.parametrize(
    "text",
    [
        "schedulers_online = 4",
        '{"pool_name": "vms", "size": 2}',
        '{"volumes": [{"secret": {"secretName": "nova-etc"}}]}',
        '{"name": "DEPENDENCY_SERVICE", "value": "openstack:rabbitmq"}',
        "vm_memory_high_watermark.relative = 0.6",
    ],
)
def test_what_is_no_secret_stays(text):
    answer = Redactor().answer(LOUD, Answer(text.encode()))
    assert "redacted" not in answer.text


def test_a_list_is_redacted_as_if_all_of_it_were_looked_through(monkeypatch):
    cloud = Bundle(recorded("um-cloud-before"))
    for kind in ("pods", "deployments", "events", "configmaps", "nodes"):
        items = json.loads(cloud.ask(Objects(kind))[0].body)["items"]
        for number, item in enumerate(items):
            item["planted"] = {"env": [{"name": "DB_PASSWORD", "value": f"s{number}"}], "token": f"t{number}"}
            item["planted"]["filler"] = "x" * LARGE
        redactor = Redactor()
        quick = json.loads(redactor.answer(Objects(kind), Answer(json.dumps({"items": items}).encode())).body)["items"]
        with monkeypatch.context() as patched:
            patched.setattr(redaction, "suspicious", lambda _said: True)
            redactor._told.clear()
            plain = [redactor._walk(item) for item in items]
        assert quick == plain
        assert quick[0]["planted"]["token"].startswith("(redacted:")
        assert quick[0]["planted"]["env"][0]["value"].startswith("(redacted:")


def test_a_large_list_has_an_object_a_line_and_hides_what_a_small_one_does():
    event = {"metadata": {"name": "e", "managedFields": [{"manager": "m"}]}, "message": "x" * LARGE}
    loud = {**event, "message": f"password={SECRET}"}
    quiet = [event] * (MANY // LARGE)
    redactor = Redactor()

    def kept(items):
        body = json.dumps({"items": items}).encode()
        return redactor.answer(Objects("events"), Answer(body)).body

    large, small = kept([*quiet, loud]), kept([event, loud])
    assert len(large.splitlines()) == len(quiet) + 3
    assert json.loads(large)["items"] == [*json.loads(small)["items"][:1] * len(quiet), json.loads(small)["items"][1]]
    assert b"managedFields" not in large + small
    assert SECRET.encode() not in large + small
    assert json.loads(kept([])) == {"items": []}


def test_every_name_of_a_secret_has_a_mark_that_is_looked_for():
    names = redaction._NAMES.replace("(?:word|wd|phrase)?", "").replace("(?:_?key)?", "").replace("_?", "")
    assert [name for name in names.split("|") if not suspicious(name.replace("s?", "").encode())] == []
