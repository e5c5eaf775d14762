"""Write the definitions that the broker loads at boot: users, vhosts, permissions; passwords hashed as RabbitMQ does."""

import base64
import hashlib
import json
import os


def hashed(name, password):
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
with open(environ["RABBITMQ_DEFINITION_FILE"], "w", encoding="utf-8") as file:
    json.dump(definitions, file)
