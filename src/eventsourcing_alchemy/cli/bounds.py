"""Bounds of options, beyond which neither databases nor Python can count or wait."""

from math import isfinite

import typer

MOST = 2**31 - 1
"""Records that a command shows at the most."""

LONGEST = 86_400
"""Seconds between two looks, at the most: a day."""


def finite(seconds: float | None) -> float | None:
    """Refuses NaN, which is in any range, and infinity."""
    if seconds is not None and not isfinite(seconds):
        raise typer.BadParameter(f"{seconds} is not a number of seconds.")
    return seconds
