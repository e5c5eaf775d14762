"""Faults of Kubernetes itself.

Not broken here, because the control plane is processes of one machine that everything else needs: K8S-01 and K8S-07
(the nodes hold no proxies and no leaders), K8S-02 (a slow API server), K8S-09 and K8S-12 (etcd). Their breakages change
a recorded answer. K8S-04 is violated with K8S-03, by the same requests.
"""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seatrial.lab import control_plane, prometheus
from seatrial.lab.binaries import binary
from seatrial.lab.containers import running
from seatrial.lab.fault import fault
from seatrial.lab.kubectl import apply, get, helm, kubectl, wait_until
from seatrial.lab.shell import run
from seatrial.lab.state import State
from seatrial.lab.topology import NOBODY_KUBECONFIG
from seatrial.lab.upgrades import restore, upgrade

_DNS = ("coredns", "kube-system")
_DNS_SELECTOR = "k8s-app=kube-dns"
_PATIENCE = 90.0
_REFUSED = 20
_NO_GROUP = "seatrial.example.org"

_NARROW = """
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: seatrial-narrow}
spec: {type: Limited, limited: {nominalConcurrencyShares: 0, lendablePercent: 0, limitResponse: {type: Reject}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: seatrial-narrow}
spec:
  priorityLevelConfiguration: {name: seatrial-narrow}
  matchingPrecedence: 100
  distinguisherMethod: {type: ByUser}
  rules:
    - subjects: [{kind: User, user: {name: nobody}}]
      nonResourceRules: [{verbs: ["*"], nonResourceURLs: ["*"]}]
      resourceRules: [{verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true}]
"""

_PAIR = """
apiVersion: v1
kind: Pod
metadata: {{name: pair-{number}, namespace: default, labels: {{app: pair}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector: {{matchLabels: {{app: pair}}}}
  containers:
    - name: pause
      image: registry.k8s.io/pause:3.10
      resources: {{requests: {{cpu: 1m, memory: 4Mi}}}}
"""

_BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: old-api}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: old-api}}}
"""


def _admit() -> None:
    listed = kubectl("get", "flowschemas,prioritylevelconfigurations", "-o", "name").split()
    narrow = [name for name in listed if name.endswith("/seatrial-narrow")]
    if not narrow:
        return
    kubectl("delete", *narrow)
    # Both the API server and Prometheus count what was refused; they are made to forget it.
    control_plane.restart_api_server(State.mine())
    prometheus.forget()


@fault("refused-requests", trips="K8S-03", parts="prometheus", heal=_admit)
def refuse() -> None:
    """Priority and fairness rejects a client's requests, which are answered 429."""
    apply(_NARROW)
    argv = [str(binary("kubectl")), "--kubeconfig", str(NOBODY_KUBECONFIG), "get", "--raw", "/version"]

    def try_once(_: int) -> None:
        subprocess.run([*argv, "--request-timeout=1s"], capture_output=True, timeout=10, check=False)

    def served() -> str | None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(try_once, range(_REFUSED)))
        told = 'sum(apiserver_flowcontrol_rejected_requests_total{priority_level="seatrial-narrow"})'
        return None if prometheus.ask(f"query?query={told}")["result"] else "Prometheus has not seen it"

    wait_until("requests to be refused", served, timeout=_PATIENCE)


def _wait_for_dns() -> None:
    def late() -> str | None:
        deployment = get("deployment", "coredns", "--namespace", "kube-system")
        status, wanted = deployment["status"], deployment["spec"]["replicas"]
        seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
        return None if seen and set(counts) == {wanted} else f"{counts[2]} of {wanted} ready"

    wait_until("the DNS to be ready", late, timeout=_PATIENCE)


def _own_dns() -> None:
    restore(*_DNS)
    _wait_for_dns()
    _wait_for_targets()


def _wait_for_targets() -> None:
    if kubectl(
        "get", "deployment", "prometheus-server", "-n", prometheus.NAMESPACE, "--ignore-not-found", "-o", "name"
    ):
        prometheus.wait_until_told()


@fault("small-dns", trips="K8S-05", parts="kubernetes", heal=_own_dns)
def shrink_dns() -> None:
    """The DNS forwards few queries at once."""
    upgrade(*_DNS, "maxConcurrent=150")
    _wait_for_dns()
    _wait_for_targets()


def _fresh_dns() -> None:
    pods = get("pods", "--namespace", "kube-system", "--selector", _DNS_SELECTOR)["items"]
    for pod in pods:
        if any(status.get("restartCount") for status in pod["status"].get("containerStatuses", ())):
            kubectl("delete", "pod", pod["metadata"]["name"], "--namespace", "kube-system", timeout=60)
    _wait_for_dns()
    _wait_for_targets()


@fault("dns-restarts", trips="K8S-06", parts="kubernetes", heal=_fresh_dns)
def restart_dns() -> None:
    """A DNS container was killed, and started again."""
    running("kube-system", _DNS_SELECTOR, "coredns").signal("KILL")

    def restarted() -> str | None:
        pods = get("pods", "--namespace", "kube-system", "--selector", _DNS_SELECTOR)["items"]
        counts = [s["restartCount"] for pod in pods for s in pod["status"].get("containerStatuses", ())]
        return None if any(counts) else "no restart yet"

    wait_until("the container to be started again", restarted, timeout=_PATIENCE)
    _wait_for_dns()
    _wait_for_targets()


def _part_the_pair() -> None:
    kubectl("delete", "pods", "--namespace", "default", "--selector", "app=pair", "--ignore-not-found", timeout=60)


@fault("anti-affinity-violated", trips="K8S-08", parts="kubernetes", heal=_part_the_pair)
def pair_up() -> None:
    """Two pods that require to be apart run on one node."""
    node = get("nodes")["items"][-1]["metadata"]["name"]
    apply("\n---\n".join(_PAIR.format(number=number, node=node) for number in range(2)))
    kubectl("wait", "pods", "-n", "default", "-l", "app=pair", "--for=condition=Ready", "--timeout=60s", timeout=65)


def _remove_webhook() -> None:
    kubectl("delete", "validatingwebhookconfiguration", "seatrial-ending", "--ignore-not-found")


@fault("webhook-certificate-ends", trips="K8S-10", parts="kubernetes", heal=_remove_webhook)
def let_a_certificate_end() -> None:
    """The authority of an admission webhook ends within days."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "ca.crt"
        subject = ("-subj", "/CN=seatrial-ending", "-days", "9", "-keyout", f"{folder}/ca.key", "-out", str(made))
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject], timeout=30)
        bundle = base64.b64encode(made.read_bytes()).decode()
    hook = {
        "name": "ending.seatrial.example.org",
        "clientConfig": {"url": "https://ending.seatrial.example.org", "caBundle": bundle},
        # Nothing in the cluster is of that group, so the webhook is never called.
        "rules": [
            {"apiGroups": ["seatrial.example.org"], "apiVersions": ["v1"], "resources": ["*"], "operations": ["*"]}
        ],
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "seatrial-ending"},
        "webhooks": [hook],
    }
    apply(json.dumps(configuration))


def _remove_old_release() -> None:
    kubectl(
        "delete", "secrets", "--namespace", "default", "--selector", "owner=helm,name=old-api", "--ignore-not-found"
    )
    kubectl("delete", "poddisruptionbudget", "old-api", "--namespace", "default", "--ignore-not-found")


@fault("removed-api", trips="K8S-11", parts="kubernetes", heal=_remove_old_release)
def keep_an_old_release() -> None:
    """A release was made when policy/v1beta1 was served, and Kubernetes was upgraded since."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "templates").mkdir()
        (Path(folder) / "Chart.yaml").write_text("apiVersion: v2\nname: old-api\nversion: 1.0.0\n", encoding="utf-8")
        (Path(folder) / "templates" / "budget.yaml").write_text(_BUDGET, encoding="utf-8")
        helm("upgrade", "--install", "old-api", folder, "--namespace", "default")
    name = f"sh.helm.release.v1.old-api.v{_revision()}"
    packed = base64.b64decode(base64.b64decode(get("secret", name, "--namespace", "default")["data"]["release"]))
    text = gzip.decompress(packed).replace(b"policy/v1", b"policy/v1beta1")
    release = base64.b64encode(base64.b64encode(gzip.compress(text))).decode()
    kubectl("patch", "secret", name, "--namespace", "default", "--patch", json.dumps({"data": {"release": release}}))


def _revision() -> int:
    listed = json.loads(helm("list", "--namespace", "default", "--filter", "^old-api$", "--output", "json"))
    return int(listed[0]["revision"])
