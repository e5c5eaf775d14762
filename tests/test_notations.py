"""Notations that claims about Kubernetes read: durations, histograms, Corefiles, proxies, certificates, selectors."""

from __future__ import annotations

import math
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from seatrial.fixtures.dns import corefile, proportional
from seatrial.fixtures.metrics import exposed, kept, quantile, seconds
from seatrial.fixtures.proxies import idle
from seatrial.fixtures.question import Answer, Unavailable
from seatrial.fixtures.removed_apis import removal
from seatrial.fixtures.x509 import certificates, validities

NODE_LOCAL = """
.:53 {
    errors
    health { lameduck 5s }
    kubernetes cluster.local {
        pods insecure   # a comment { with a brace
    }
    forward . /etc/resolv.conf {
        max_concurrent 150
    }
    cache 30 {
        success 4096
        denial 10000
    }
}
.:5300 {
    template ANY ANY {
        rcode NXDOMAIN
    }
}
"""


@pytest.mark.parametrize(
    ("text", "expected"), [("15d", 1_296_000), ("1h30m", 5400), ("500ms", 0.5), ("10m", 600), ("3", 3)]
)
def test_durations(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


def test_a_quantile_lies_inside_its_bucket_as_in_promql():
    buckets = [(0.1, 90.0), (0.5, 95.0), (1.0, 100.0), (math.inf, 100.0)]
    assert quantile(0.99, buckets) == pytest.approx(0.9)
    assert quantile(0.99, [*buckets[:-1], (math.inf, 200.0)]) == 1.0
    assert math.isnan(quantile(0.99, [(1.0, 0.0), (math.inf, 0.0)]))


def test_exposed_metrics_keep_their_labels_and_only_the_families_that_claims_read():
    text = (
        "# TYPE apiserver_request_total counter\n"
        'apiserver_request_total{code="429",resource="pods"} 7\n'
        'workqueue_depth{name="say \\"hi\\", all"} 3\n'
    )
    assert "workqueue" not in kept(text)
    answers = (Answer(text.encode()),)
    (refused,) = exposed("apiserver_request_total")(answers)
    (odd,) = exposed("workqueue_depth")(answers)
    assert (refused.name, refused["code"], refused["absent"], refused.value) == (
        "apiserver_request_total",
        "429",
        "",
        7,
    )
    assert odd["name"] == 'say \\"hi\\", all'
    assert exposed("etcd_server_has_leader")(answers) == ()
    with pytest.raises(Unavailable, match="exposes no metrics"):
        exposed("apiserver_request_total")((Answer(b"# nothing yet\n"),))


def test_a_corefile_is_bounded_by_its_smallest_server():
    assert corefile(NODE_LOCAL) == (150, 4096)
    assert corefile(".:53 {\n forward . 1.1.1.1\n cache\n}\n") == (math.inf, 9984)
    assert corefile(".:53 {\n forward . 1.1.1.1\n}\n") == (math.inf, 0)


def test_the_autoscalers_rule():
    linear = {"coresPerReplica": 256, "nodesPerReplica": 16, "min": 1, "preventSinglePointFailure": True}
    assert proportional("linear", linear, cores=40, nodes=5) == 2
    assert proportional("linear", linear, cores=4000, nodes=900) == 57
    ladder = {"coresToReplicas": [[1, 1], [64, 3]], "nodesToReplicas": [[1, 1], [2, 2]]}
    assert proportional("ladder", ladder, cores=70, nodes=3) == 3


def test_idle_timeouts_of_proxies():
    assert idle("server { proxy_pass api; proxy_timeout 3s; }") == 3
    assert idle("server { proxy_pass api; # proxy_timeout 3s;\n }") == 600
    assert idle("defaults\n timeout client 5m\n timeout server 30000\n") == 30


def test_removed_apis():
    assert removal("policy/v1beta1", "PodDisruptionBudget") == (1, 25)
    assert removal("policy/v1", "PodDisruptionBudget") is None
    assert removal("extensions/v1beta1", "Ingress") == (1, 22)


def test_a_certificates_end_is_what_openssl_made_it(tmp_path):
    key, made = tmp_path / "key", tmp_path / "crt"
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "9"]
    subprocess.run([*argv, "-keyout", key, "-out", made], check=True, capture_output=True, timeout=60)
    text = key.read_text() + made.read_text()
    assert "PRIVATE" not in certificates(text)
    (validity,) = validities(text)
    assert abs(validity.ends - datetime.now(UTC) - timedelta(days=9)) < timedelta(minutes=5)


def test_half_a_certificate_is_refused():
    with pytest.raises(ValueError, match="not a certificate"):
        validities("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")
