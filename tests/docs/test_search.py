"""Words that people look for are in a title, which a search shows first."""

import re

import pytest

from docs.pages import PAGES

WORDS = ["FastAPI", "async", "GDPR", "Prometheus", "lag", "rebuild", "systemd"]


@pytest.mark.parametrize("word", [*WORDS, "Kubernetes", "Flask", "upgrade"])
def test_word_is_in_a_title(word: str) -> None:
    found = rf"^#+ .*\b{word}\b"
    assert any(re.search(found, page.read_text(), re.M | re.I) for page in PAGES)
