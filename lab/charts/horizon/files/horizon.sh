#!/bin/bash
set -e  # what Debian reads there is not always set
. /etc/apache2/envvars
rm -f "$APACHE_PID_FILE"
exec apache2 -D FOREGROUND
