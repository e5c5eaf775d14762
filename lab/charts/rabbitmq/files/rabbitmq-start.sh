#!/bin/sh
set -eu
exec /usr/lib/rabbitmq/bin/rabbitmq-server
