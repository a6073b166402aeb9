"""What a machine lacks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest


class Missing(Exception):  # noqa: N818
    """This machine lacks what the tests would start. The message says what."""


def unavailable(reason: str) -> NoReturn:
    """Skip the test, visibly; in CI, fail."""
    end = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    end(reason)


@contextmanager
def available() -> Iterator[None]:
    """Skip the test where servers cannot be started; in CI, fail."""
    try:
        yield
    except Missing as missing:
        unavailable(str(missing))
