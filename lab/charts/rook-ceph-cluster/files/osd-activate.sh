#!/bin/bash
# DATA_DIR OSD: register this OSD and make its store, if there is none yet.
set -eu
data=$1/rook-ceph/osd-$2
mkdir -p "$data" "$1/rook-ceph/crash/posted"
chown ceph:ceph "$data" "$1/rook-ceph/crash" "$1/rook-ceph/crash/posted"
[ -e "$data/made" ] && exit 0
find "$data" -mindepth 1 -not -name uuid -delete
[ -e "$data/uuid" ] || cat /proc/sys/kernel/random/uuid >"$data/uuid"
uuid=$(cat "$data/uuid")
until timeout 20 ceph --connect-timeout 15 osd new "$uuid" "$2"; do
    echo "osd.$2: the mons have no quorum yet"
    sleep 1
done
timeout 20 ceph mon getmap -o /tmp/monmap
mv "$data/uuid" /tmp/uuid
timeout 120 ceph-osd --mkfs --id "$2" --osd-uuid "$uuid" --osd-data "$data" --monmap /tmp/monmap --no-mon-config \
    --setuser ceph --setgroup ceph
mv /tmp/uuid "$data/uuid"
touch "$data/made"
