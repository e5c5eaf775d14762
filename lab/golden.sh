#!/bin/bash
# FOLDER: fill FOLDER as containerd's root with the OCI archive on standard input. Runs in namespaces of its own.
set -euo pipefail
mount -t tmpfs tmpfs /run
mkdir -p /run/containerd /var/lib/containerd
mount --bind "$1" /var/lib/containerd
cat > /run/containerd.toml <<T
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd/containerd.sock"
T
containerd --config /run/containerd.toml >&2 &
daemon=$!
until timeout 5 ctr version >/dev/null 2>&1; do
    kill -0 $daemon || { echo "containerd ended" >&2; exit 1; }
    sleep .05
done
timeout 600 ctr -n k8s.io images import --digests -
kill $daemon
wait $daemon || true
