"""Runs the test cases that the host ships as ordinary, parametrised tests."""

from __future__ import annotations

from unittest import TestCase, defaultTestLoader

import pytest


def shipped(*cases: type[TestCase]) -> pytest.MarkDecorator:
    """Call a test with every `case` and the name of each `method` of it.

    The test constructs the case, gives it what it needs, and calls `debug()`,
    which lets the exceptions of a failure through.
    """
    return pytest.mark.parametrize(
        ("case", "method"),
        [
            pytest.param(case, method, id=f"{case.__name__}-{method}")
            for case in cases
            for method in defaultTestLoader.getTestCaseNames(case)
        ],
    )
