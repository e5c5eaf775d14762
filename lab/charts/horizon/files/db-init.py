# ruff: noqa: INP001 - a file of a ConfigMap, of no package
"""Create the dashboard's database and the user that it belongs to."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import pymysql  # type: ignore[import-untyped]

admin, user = (urlsplit(os.environ[name]) for name in ("ROOT_DB_CONNECTION", "DB_CONNECTION"))
database = user.path.strip("/")
with pymysql.connect(host=admin.hostname, port=admin.port, user=admin.username, password=admin.password) as connection:
    cursor = connection.cursor()
    cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb3")
    cursor.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (user.username, user.password))
    cursor.execute(f"GRANT ALL ON `{database}`.* TO %s@'%%'", (user.username,))
print(f"database {database}: there")
