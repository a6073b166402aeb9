"""Every package is in the wheel."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs.test_paths import ROOT, SOURCE

_BY_NAME = re.compile(r"pip install[^\n`]*[\s'\"]eventsourcing-alchemy")


def test_all_are_declared() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = set(pyproject["tool"]["setuptools"]["packages"])
    found = {
        ".".join(each.parent.relative_to(SOURCE.parent).parts)
        for each in SOURCE.rglob("__init__.py")
    }
    assert found <= declared


@pytest.mark.parametrize(
    "file",
    [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *SOURCE.rglob("*.py")],
    ids=str,
)
def test_is_installed_from_where_it_is(file: Path) -> None:
    """As long as PyPI has nobody's package of that name, or has somebody else's."""
    assert not _BY_NAME.search(file.read_text(encoding="utf-8"))
