"""Every package is in the wheel."""

from __future__ import annotations

import tomllib

from docs.test_paths import ROOT, SOURCE


def test_all_are_declared() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = set(pyproject["tool"]["setuptools"]["packages"])
    found = {
        ".".join(each.parent.relative_to(SOURCE.parent).parts)
        for each in SOURCE.rglob("__init__.py")
    }
    assert found <= declared
