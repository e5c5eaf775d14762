#!/bin/bash
# Write the configuration of a client from rook's Secret and endpoints, and stay.
set -eu
endpoints=$(sed 's/[a-z0-9_-]*=\([^,]*\)/v2:\1/g' /etc/rook/mon-endpoints)
cat >/etc/ceph/ceph.conf <<CONF
[global]
mon_host = $endpoints
ms_bind_msgr1 = false
[client.admin]
keyring = /etc/ceph/keyring
[client]
admin_socket =
log_file =
CONF
printf '[%s]\nkey = %s\n' "$ROOK_CEPH_USERNAME" "$ROOK_CEPH_SECRET" >/etc/ceph/keyring
exec sleep infinity
