#!/bin/bash
# DATA_DIR MON SIZE: mount the file system of this mon's own on mon-MON/data, and give it to Ceph.
set -eu
data=$1/mon-$2/data image=$1/rook-ceph/mon-$2.img
mkdir -p "$data" "$1/rook-ceph/crash/posted"
chown -R ceph:ceph "$1/rook-ceph/crash"
if ! mountpoint -q "$data"; then
    [ -e "$image" ] || {
        truncate -s "$3" "$image.new"
        mkfs.ext4 -q -m 0 "$image.new"
        mv "$image.new" "$image"
    }
    mount -o loop "$image" "$data"
fi
rm -rf "$data/lost+found"
chown ceph:ceph "$data"
