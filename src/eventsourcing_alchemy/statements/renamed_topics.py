"""The topics of classes that were renamed or moved."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import ModuleType

from eventsourcing_alchemy.host import _topic_cache, construct_topic


def with_other_names(topics: Sequence[str]) -> tuple[str, ...]:
    """The topics, and those that resolve to the same classes.

    These are registered by the library's `register_topic()`, for a class, for one that
    encloses it, or for its module. Nothing is imported.

    Args:
        topics: each by its present or by a former name.
    """
    if not topics:
        return ()
    return _with_other_names(tuple(topics), tuple(_topic_cache))


@lru_cache
def _with_other_names(
    topics: tuple[str, ...],
    _known: tuple[str, ...],
) -> tuple[str, ...]:
    """The same, kept until the library knows other topics."""
    renamings = list(_renamings())
    found = dict.fromkeys(topics)
    for topic in topics:
        present = _present(topic, renamings)
        found[present] = None
        for former, name in renamings:
            if _is_within(present, name):
                found[former + present.removeprefix(name)] = None
    return tuple(found)


def _renamings() -> Iterator[tuple[str, str]]:
    """Former and present name of each class or module that has both."""
    for topic, found in _topic_cache.copy().items():
        if isinstance(found, ModuleType):
            present = found.__name__
        elif isinstance(found, type):
            present = construct_topic(found)
        else:
            continue
        if present != topic:
            yield topic, present


def _present(topic: str, renamings: Sequence[tuple[str, str]]) -> str:
    """The name by which a class is known now. The most specific renaming decides."""
    of_topic = [each for each in renamings if _is_within(topic, each[0])]
    former, present = max(of_topic, key=lambda each: len(each[0]), default=("", ""))
    return present + topic.removeprefix(former)


def _is_within(topic: str, name: str) -> bool:
    """Whether the topic is that of the named class or module, or of one inside."""
    return topic == name or topic.startswith((f"{name}.", f"{name}:"))
