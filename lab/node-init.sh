#!/bin/bash
# The first process of a node, inside its namespaces. The root file system is the machine's own: what a node has for
# itself is mounted over. Everything comes from the environment, see nodes.py.
set -eu
mount --make-rprivate /
mount --make-rshared / # the kubelet wants shared propagation: a peer group of its own, so that nothing leaks out
hostname "$NODE_NAME"

umount -R -l /sys
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
for hierarchy in $CGROUP_HIERARCHIES; do
    mkdir "/sys/fs/cgroup/$hierarchy"
    case $hierarchy in
        systemd) mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd ;;
        unified) mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
        *) mount -t cgroup -o "$hierarchy" cgroup "/sys/fs/cgroup/$hierarchy" ;;
    esac
done

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/containerd /run/netns /run/lock
# The kubelet would set these for the whole machine: it is shown files that say so already.
for setting in kernel/panic=10 kernel/panic_on_oops=1 vm/overcommit_memory=1; do
    file=/run/sysctl-$(basename "${setting%=*}")
    echo "${setting#*=}" > "$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done
for folder in $PRIVATE_FOLDERS; do
    mkdir -p "$NODE_ROOT$folder"
    mount --bind "$NODE_ROOT$folder" "$folder"
done
mount --bind "$NODE_ROOT/etc/kubernetes/machine-id" /etc/machine-id
# containerd's own lookups fail at once: an image that is not here cannot be pulled.
mount --bind "$NODE_ROOT/etc/kubernetes/resolv.conf" /etc/resolv.conf

until ip link show eth0 >/dev/null 2>&1; do sleep .05; done
ip link set lo up
ip addr add "$NODE_ADDRESS/24" dev eth0
ip link set eth0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
# Only so that traffic to a Service reaches the rules that rewrite it. There is no default route.
ip route add "$SERVICE_NETWORK" dev eth0
for route in $POD_ROUTES; do
    ip route add "${route%=*}" via "${route#*=}"
done

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
keep() { # NAME COMMAND...: start it again whenever it ends, as systemd does
    local log=$LOG_PREFIX-$1.log
    shift
    while :; do
        "$@" >> "$log" 2>&1 || true
        sleep .5
    done
}
keep containerd containerd --config /etc/kubernetes/containerd.toml &
until timeout 5 ctr version >/dev/null 2>&1; do sleep .1; done
if [ -s "$NODE_ROOT/absent" ]; then
    xargs timeout 30 ctr -n k8s.io images rm < "$NODE_ROOT/absent" && rm "$NODE_ROOT/absent"
fi
keep kubelet "$KUBELET" --config=/etc/kubernetes/kubelet.yaml --kubeconfig=/etc/kubernetes/kubelet.kubeconfig \
    --hostname-override="$NODE_NAME" --node-ip="$NODE_ADDRESS" --node-labels="$NODE_LABELS" \
    --root-dir=/var/lib/kubelet --housekeeping-interval=20s --v=1 &
keep kube-proxy "$KUBE_PROXY" --config=/etc/kubernetes/proxy.yaml --v=1 &
# Reap. When this process is killed, the kernel ends everything in the node, as a crash would.
while :; do wait -n || sleep 1; done
