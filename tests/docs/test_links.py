"""Links of the pages lead somewhere: to a file, and to a heading in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.pages import PAGES, ROOT

_LINK = re.compile(r"(?<!`)\[[^\]]*\]\((?P<file>[^)#\s:]*)(?:#(?P<heading>[^)\s]+))?\)")
_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_STARTS = ("README.md", "index.md")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub and MyST make them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: str(page.name)
)
def test_lead_somewhere(page: Path) -> None:
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    for link in _LINK.finditer(text):
        target = (page.parent / link["file"]).resolve() if link["file"] else page
        assert target.exists(), f"{link[0]} leads nowhere"
        if link["heading"] is not None:
            assert link["heading"] in _anchors(target), f"{link[0]}: no such heading"


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in _STARTS],
    ids=lambda p: str(p.name),
)
def test_say_what_to_read_next(page: Path) -> None:
    *_, last = page.read_text(encoding="utf-8").strip().split("\n\n")
    assert last.startswith("Next: ")
