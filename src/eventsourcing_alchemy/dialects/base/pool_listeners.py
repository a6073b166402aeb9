"""Functions that are called by a pool, each once."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event


def listen_to_pool(engine: Engine, name: str, function: Callable[..., Any]) -> None:
    """Has a pool call a function, unless it does so already.

    Other engines may have the same pool, and other threads may be using it: then they
    must not find its listeners changing.

    Args:
        engine: of the pool.
        name: of the event.
        function: the same object each time.
    """
    listeners: Any = getattr(engine.pool.dispatch, name)
    if function not in tuple(listeners):
        event.listen(engine.pool, name, function)
