"""Files and folders that the docs name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "eventsourcing_alchemy"
PAGES = [ROOT / "docs" / "explanation" / "data-flow.md", ROOT / "CONTRIBUTING.md"]

_PATH = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?|[a-z_]+\.py)`")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_exist(page: Path) -> None:
    named = set(_PATH.findall(page.read_text(encoding="utf-8")))
    assert named
    missing = [
        name
        for name in named
        if not any(
            (folder / name).exists() for folder in (ROOT, SOURCE, ROOT / "tests")
        )
    ]
    assert not missing
