"""A raw paged list of kinds, as fast as Python does it: the peer that judging a cloud is measured beside."""

from __future__ import annotations

import json
import sys

import msgspec
import urllib3
import yaml

PAGE = 500


class Page(msgspec.Struct):
    items: list[dict] | None = None
    metadata: dict = {}


def main():
    with open(sys.argv[1]) as file:
        settings = yaml.safe_load(file)
    import base64
    import ssl

    cluster = settings["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    pool = urllib3.PoolManager(ssl_context=context)
    headers = {"Authorization": f"Bearer {settings['users'][0]['user']['token']}", "Accept": "application/json"}
    decoder = msgspec.json.Decoder(Page)
    count = size = 0
    for path in sys.argv[2:]:
        token = ""
        while True:
            response = pool.request("GET", f"{cluster['server']}{path}?limit={PAGE}&continue={token}", headers=headers)
            assert response.status == 200, response.data
            size += len(response.data)
            page = decoder.decode(response.data)
            count += len(page.items or ())
            token = page.metadata.get("continue") or ""
            if not token:
                break
    print(json.dumps({"objects": count, "bytes": size}))


main()
