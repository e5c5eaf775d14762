#!/bin/bash
# MON NAME=ADDRESS...: make this mon's store, if there is none yet.
set -eu
mon=$1
shift
[ -e "/var/lib/ceph/mon/ceph-$mon/kv_backend" ] && exit 0
members=()
for member in "$@"; do members+=(--addv "${member%%=*}" "[${member#*=}/0]"); done
monmaptool --create --clobber --fsid "$ROOK_CEPH_FSID" --set-min-mon-release 16 "${members[@]}" /tmp/monmap
find "/var/lib/ceph/mon/ceph-$mon" -mindepth 1 -delete
ceph-mon --mkfs --id "$mon" --monmap /tmp/monmap --setuser ceph --setgroup ceph
