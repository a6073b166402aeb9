"""What a machine lacks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Missing(Exception):  # noqa: N818
    """This machine lacks what the tests would start. The message says what."""


@contextmanager
def available() -> Iterator[None]:
    """Skip the test where servers cannot be started; in CI, fail."""
    try:
        yield
    except Missing as missing:
        unavailable = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        unavailable(str(missing))
