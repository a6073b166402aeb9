"""A view in use, for all tests of rebuilds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rebuilding.in_use import InUse
from rebuilding.shop import Shop


@pytest.fixture
def shop(env: dict[str, str]) -> Iterator[Shop]:
    with Shop(env) as shop:
        yield shop


@pytest.fixture
def in_use(env: dict[str, str], shop: Shop) -> InUse:
    """The view, with some orders in it."""
    in_use = InUse(env, shop)
    for _ in range(5):
        shop.order("Ada", lines=3)
    in_use.catch_up()
    return in_use
