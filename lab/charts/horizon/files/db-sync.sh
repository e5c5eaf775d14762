#!/bin/bash
set -eu
export DJANGO_SETTINGS_MODULE=openstack_dashboard.settings
exec django-admin migrate --noinput
