"""One certificate authority, a certificate for everyone, and kubeconfigs that carry theirs inside."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from seatrial.lab.shell import run
from seatrial.lab.topology import (
    ADMIN_KUBECONFIG,
    API_URL,
    MACHINE_ADDRESS,
    NOBODY_KUBECONFIG,
    PKI,
    READER_KUBECONFIG,
    SERVICE_ADDRESS,
    Node,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

READER = "seatrial-reader"
"""The user that may only read what `docs/clusterrole.yaml` names."""

_DAYS = "365"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_API_NAMES = (
    f"IP:{MACHINE_ADDRESS}",
    f"IP:{SERVICE_ADDRESS}",
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
)


def provide(nodes: Iterable[Node]) -> None:
    """Make every key, certificate and kubeconfig that is not there."""
    PKI.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = PKI / "ca.crt"
    if not authority.exists():
        request: list[str | Path] = [
            "-x509",
            *_KEY,
            "-keyout",
            PKI / "ca.key",
            "-out",
            authority,
            "-days",
            _DAYS,
            "-subj",
            "/CN=seatrial-lab",
        ]
        run(["openssl", "req", *request], timeout=30)
    if not (PKI / "accounts.pub").exists():
        run(["openssl", "genrsa", "-out", PKI / "accounts.key", "2048"], timeout=60)
        run(["openssl", "rsa", "-in", PKI / "accounts.key", "-pubout", "-out", PKI / "accounts.pub"], timeout=30)
    _certify("kube-apiserver", "/CN=kube-apiserver", _API_NAMES)
    _certify("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    _user("admin", "/O=system:masters/CN=admin", ADMIN_KUBECONFIG)
    _user("reader", f"/CN={READER}", READER_KUBECONFIG)
    _user("nobody", "/CN=nobody", NOBODY_KUBECONFIG)
    _certify("public-endpoints", "/CN=public-endpoints", (f"IP:{Node(1).address}",))
    machine = (f"IP:{MACHINE_ADDRESS}",)
    _user("kube-controller-manager", "/CN=system:kube-controller-manager", names=machine)
    _user("kube-scheduler", "/CN=system:kube-scheduler", names=machine)
    _user("kube-proxy", "/CN=system:kube-proxy")
    for node in nodes:
        _user(
            node.name, f"/O=system:nodes/CN=system:node:{node.name}", names=(f"IP:{node.address}", f"DNS:{node.name}")
        )


def _user(name: str, subject: str, kubeconfig: Path | None = None, *, names: Iterable[str] = ()) -> None:
    _certify(name, subject, names)
    file = kubeconfig or PKI / f"{name}.kubeconfig"
    if file.exists():
        return
    authority, certificate, private = (
        b64encode((PKI / part).read_bytes()).decode() for part in ("ca.crt", f"{name}.crt", f"{name}.key")
    )
    file.touch(mode=0o600)
    file.write_text(
        f"""apiVersion: v1
kind: Config
clusters:
- name: lab
  cluster: {{server: "{API_URL}", certificate-authority-data: {authority}}}
users:
- name: {name}
  user: {{client-certificate-data: {certificate}, client-key-data: {private}}}
contexts:
- name: lab
  context: {{cluster: lab, user: {name}}}
current-context: lab
""",
        encoding="ascii",
    )


def _certify(name: str, subject: str, names: Iterable[str] = ()) -> None:
    certificate = PKI / f"{name}.crt"
    if certificate.exists():
        return
    private, request, extensions = PKI / f"{name}.key", PKI / f"{name}.csr", PKI / f"{name}.ext"
    listed = ",".join(names)
    alternative = f"subjectAltName={listed}\n" if listed else ""
    extensions.write_text(f"{alternative}extendedKeyUsage=serverAuth,clientAuth\n", encoding="ascii")
    run(["openssl", "req", *_KEY, "-keyout", private, "-out", request, "-subj", subject], timeout=30)
    authority: list[str | Path] = ["-CA", PKI / "ca.crt", "-CAkey", PKI / "ca.key", "-CAcreateserial", "-days", _DAYS]
    run(
        ["openssl", "x509", "-req", "-in", request, *authority, "-extfile", extensions, "-out", certificate], timeout=30
    )
    request.unlink()
    extensions.unlink()
