#!/bin/bash
# Join this node's cgroups, then become its namespaces. The cgroup namespace is rooted where it is made.
set -eu
for hierarchy in $CGROUP_HIERARCHIES; do
    echo $$ > "/sys/fs/cgroup/$hierarchy/$NODE_CGROUP/cgroup.procs"
done
exec unshare --net --uts --ipc --cgroup --mount --propagation private --pid --fork --kill-child --mount-proc \
    bash "${0%/*}/node-init.sh"
