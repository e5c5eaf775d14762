"""A raw paged list of kinds, as fast as Python does it: the peer that judging a cloud is measured beside."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from pathlib import Path

import msgspec
import urllib3
import yaml

PAGE = 500


class Page(msgspec.Struct):
    items: list[dict] | None = None
    metadata: dict = {}


def main():
    settings = yaml.safe_load(Path(sys.argv[1]).read_text())
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
