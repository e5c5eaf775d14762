"""Pictures in the documentation: each that a page names is there, small, and named by some page."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import report_pictures
from PIL import Image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *DOCS.rglob("*.md")]
LARGEST = 150_000
PNG = b"\x89PNG\r\n\x1a\n"


def named(page):
    """Return the pictures that a page shows, by their paths."""
    return [(page.parent / found).resolve() for found in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())]


def test_every_picture_that_a_page_names_is_there_and_small():
    pictures = {picture for page in PAGES for picture in named(page)}
    assert pictures
    wrong = [f"{picture}: not there" for picture in pictures if not picture.exists()]
    wrong += [f"{picture}: too large" for picture in pictures if picture.exists() and picture.stat().st_size > LARGEST]
    wrong += [
        f"{picture}: no PNG"
        for picture in pictures
        if picture.suffix == ".png" and picture.exists() and not picture.read_bytes().startswith(PNG)
    ]
    assert wrong == []


def test_every_picture_is_named_by_some_page():
    pictures = {picture for page in PAGES for picture in named(page)}
    assert {path.resolve() for path in (DOCS / "images").iterdir()} - pictures == set()


def test_every_picture_is_described():
    bare = [f"{page.name}: {found}" for page in PAGES for found in re.findall(r"!\[\s*\]\([^)]+\)", page.read_text())]
    assert bare == []


def test_a_picture_ends_where_its_page_does_and_has_few_colours(tmp_path):
    drawn = Image.new("RGB", (400, 1000), (240, 244, 248))
    drawn.paste((200, 20, 20), (100, 50, 300, 300))
    drawn.paste((0, 0, 0), (20, 960, 300, 980))  # the footer
    drawn.save(tmp_path / "page.png")
    report_pictures.made_small(tmp_path / "page.png", None)
    with Image.open(tmp_path / "page.png") as small:
        assert (small.size, small.mode) == ((400, 300 + report_pictures.MARGIN), "P")


def test_a_picture_that_stays_too_large_is_refused(tmp_path):
    Image.frombytes("RGB", (1280, 1000), random.Random(1).randbytes(1280 * 1000 * 3)).save(tmp_path / "noise.png")
    with pytest.raises(SystemExit, match=r"noise\.png: .* at most"):
        report_pictures.made_small(tmp_path / "noise.png", None)
