"""Functions that are called by a pool, each once."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Engine, event

T = TypeVar("T")


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


def listening_to(engine: Engine, kind: type[T]) -> T | None:
    """The object of a class of which a pool calls a method when it connects.

    Args:
        engine: of the pool, which it may share with others.
        kind: the class.
    """
    listeners: Any = engine.pool.dispatch
    for listener in tuple(listeners.connect):
        found = getattr(listener, "__self__", None)
        if isinstance(found, kind):
            return found
    return None
