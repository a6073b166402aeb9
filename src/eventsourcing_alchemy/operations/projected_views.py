"""Which view a projection writes to, as its class says."""

from collections.abc import Iterator
from inspect import isabstract
from typing import Any, get_args

from typing_extensions import get_original_bases

from eventsourcing_alchemy.host import TrackingRecorder


def view_of(projection_class: type[Any]) -> type[Any] | None:
    """The view that a base class, such as `Projection[TrickCounts]`, names."""
    for each in projection_class.__mro__:
        for base in get_original_bases(each) if each is not object else ():
            for argument in get_args(base):
                if _is_view(argument):
                    view: type[Any] = argument
                    return view
    return None


def _is_view(found: Any) -> bool:
    # Or it is an interface, which several views implement.
    is_view = isinstance(found, type) and issubclass(found, TrackingRecorder)
    return is_view and not isabstract(found)


def subclasses(of: type[Any]) -> Iterator[type[Any]]:
    """All of them that the process has imported, at any depth."""
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)
