#!/bin/bash
# -t readiness|liveness, as openstack-helm's: ready means in the primary component and synced.
set -eu
kind=readiness
while getopts t:d: option; do case $option in t) kind=$OPTARG ;; *) ;; esac; done
query() { timeout 8 mysql --defaults-file=/etc/mysql/admin_user.cnf --host=localhost --connect-timeout=2 -Nse "$1"; }
if [ "$kind" = liveness ]; then
    # A member that waits for others, or receives its state, must not be killed for it.
    pgrep -x mariadbd >/dev/null || pgrep -f /tmp/start.sh >/dev/null
    exit
fi
status=$(query "show status where variable_name in
    ('wsrep_ready', 'wsrep_connected', 'wsrep_cluster_status', 'wsrep_local_state_comment')" | cut -f2 | sort | xargs)
[ "$status" = "ON ON Primary Synced" ] || { echo "wsrep: $status"; exit 1; }
