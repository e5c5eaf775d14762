#!/bin/bash
# Make and mount this node's volumes. A claim binds to the folder `data` inside, which is not there before the mount is:
# no pod can write to the node's disk below it.
set -eu
mount_file() { # NAME SIZE
    mountpoint -q "$DIRECTORY/$1" && return
    [ -e "$DIRECTORY/$1.img" ] || {
        truncate -s "$2" "$DIRECTORY/$1.img.new"
        mkfs.ext4 -q -m 0 "$DIRECTORY/$1.img.new"
        mv "$DIRECTORY/$1.img.new" "$DIRECTORY/$1.img"
    }
    mount -o loop "$DIRECTORY/$1.img" "$DIRECTORY/$1"
}
for volume in $VOLUMES; do
    IFS=: read -r name size filesystem <<<"$volume"
    mkdir -p "$DIRECTORY/$name"
    [ "$filesystem" = false ] || mount_file "$name" "$size"
    mkdir -p -m 0777 "$DIRECTORY/$name/data"
done
echo "mounted: $VOLUMES"
touch /tmp/ready
exec sleep infinity
