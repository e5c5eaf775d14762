#!/bin/bash
set -eu
. /etc/apache2/envvars
rm -f "$APACHE_PID_FILE"
exec apache2 -D FOREGROUND
