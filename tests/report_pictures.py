"""Pictures of an Allure report for the documentation: taken by headless Chromium, cut to what shows, and made small."""

from __future__ import annotations

import base64
import json
import re

import browser
from PIL import Image

WIDTH = 1280
TALL = 2000
"""Of the window: what a page does not fill is cut off."""

COLOURS = 255
"""An interface has few; with letters' edges this many are enough, and the file is a third."""

LARGEST = 150_000
MARGIN = 24
"""What stays below a page."""

_FOOT = 60
"""Where Allure's footer begins, from below. It is fixed, and would lie across the page."""

_RESULT = re.compile(r'data/test-results/(\w+)\.json"\s*,\s*"([^"]+)"')


def addresses(page):
    """Return where a report shows each claim: the part of its address behind `#`."""
    found = {}
    for name, packed in _RESULT.findall(page.read_text()):
        found[json.loads(base64.b64decode(packed))["name"].partition(" ")[0]] = name
    return found


def take(folder, wanted):
    """Take pictures: `wanted` names the file, the report, what to show of it, and which part from above, if not all."""
    with browser.browser(folder / "chromium") as opened:
        for path, report, shown, height in wanted:
            address = f"file://{report.resolve()}#{addresses(report).get(shown, shown)}"
            path.parent.mkdir(parents=True, exist_ok=True)
            opened.pictured(address, path, WIDTH, TALL)
            made_small(path, height)


def made_small(path, height):
    """Cut a picture to a height, or to where its page ends, and give it few colours."""
    with Image.open(path) as whole:
        picture = whole.convert("RGB")
    picture = picture.crop((0, 0, picture.width, height or _end(picture)))
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path}: {path.stat().st_size} bytes, {LARGEST} at most")


def _end(picture):
    """Return where a page ends: below it there is nothing but its ground and the footer."""
    page = picture.crop((0, 0, picture.width, picture.height - _FOOT))
    ground = page.getpixel((2, page.height - 2))
    rows = page.resize((page.width // 4, page.height)).load()
    for row in range(page.height - 1, 0, -1):
        if any(_differ(rows[column, row], ground) for column in range(0, page.width // 4, 2)):
            return min(row + 1 + MARGIN, page.height)
    return page.height


def _differ(one, other):
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) > 12
