"""Waits for what no server announces."""

import time
from collections.abc import Callable

_PATIENCE = 60.0
_LOOK_AGAIN = 0.02


def wait_until(
    condition: Callable[[], object],
    otherwise: str,
    *,
    patience: float = _PATIENCE,
) -> None:
    """Look again and again until the condition holds; fail after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(_LOOK_AGAIN)
