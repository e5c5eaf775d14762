# ruff: noqa: INP001 - a file of a ConfigMap, of no package
"""Write the definitions that the broker loads at boot: users with hashed passwords, vhosts, permissions."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pathlib


def hashed(name: str, password: str) -> str:
    """Return the hash of `password`, salted with the user's name so that each boot writes the same file."""
    salt = hashlib.sha256(name.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


environ = os.environ
admin = environ["RABBITMQ_ADMIN_USERNAME"]
vhosts = json.loads(environ["RABBITMQ_VHOST_USERS"])
users = {admin: environ["RABBITMQ_ADMIN_PASSWORD"], "guest": environ["RABBITMQ_GUEST_PASSWORD"], **vhosts}
everything = {"configure": ".*", "write": ".*", "read": ".*"}
definitions = {
    "vhosts": [{"name": name} for name in ("/", *vhosts)],
    "users": [
        {"name": name, "password_hash": hashed(name, password), "tags": "administrator" if name == admin else ""}
        for name, password in users.items()
    ],
    "permissions": [
        *({"user": admin, "vhost": vhost, **everything} for vhost in ("/", *vhosts)),
        *({"user": vhost, "vhost": vhost, **everything} for vhost in vhosts),
    ],
}
pathlib.Path(environ["RABBITMQ_DEFINITION_FILE"]).write_text(json.dumps(definitions), encoding="utf-8")
