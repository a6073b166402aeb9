"""Module paths of earlier releases, which work for one more release."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

PACKAGE = "eventsourcing_alchemy"


def moved(
    module: str, *names: str, renamed: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Makes the `__getattr__()` of a module whose public names have moved.

    Args:
        module: its name.
        *names: names that are imported from `eventsourcing_alchemy` now.
        renamed: names that are called otherwise there.
    """
    places = {**{name: name for name in names}, **(renamed or {})}

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in places:
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg)
        msg = (
            f"{module}.{name} will be removed in the next release: import "
            f"{places[name]} from {PACKAGE}"
        )
        warnings.warn(msg, DeprecationWarning, stacklevel=2)
        return getattr(import_module(PACKAGE), places[name])

    return __getattr__
