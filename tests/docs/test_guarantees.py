"""The page of guarantees names tests that exist."""

from __future__ import annotations

import re

from docs.pages import ROOT

PAGE = ROOT / "docs" / "explanation" / "guarantees.md"

_REFERENCE = re.compile(r"`([\w/]+\.py)?((?:::\w+)*)`")
_DEFINITION = re.compile(r"^(?:class|\s*(?:async )?def) (\w+)", re.MULTILINE)


def test_tests_exist() -> None:
    named = 0
    for row in PAGE.read_text(encoding="utf-8").splitlines():
        file = None
        for found in _REFERENCE.finditer(row):
            if not any(found.groups()):
                continue
            file = found[1] or file
            path = ROOT / "tests" / str(file)
            assert path.is_file(), f"{path} in: {row}"
            defined = _DEFINITION.findall(path.read_text(encoding="utf-8"))
            missing = set(found[2].split("::")[1:]) - set(defined)
            assert not missing, f"{missing} of {path} in: {row}"
            named += 1
    assert named > 50
