"""What is told of errors, in logs and dead letters: short, and without passwords."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from traceback import TracebackException
from urllib.parse import quote, quote_plus

from sqlalchemy import URL
from sqlalchemy.exc import StatementError

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import storable, text_of

LONGEST_TRACEBACK = 20_000
"""Characters of a traceback that are stored, or logged."""

_BEGINNING = LONGEST_TRACEBACK // 4

_FRAMES = 25
"""Of each error, the last ones: those before are of runners and libraries."""

_HIDDEN = "***"


class FailureTexts:
    """Tells errors as text.

    Args:
        datastore: whose passwords are left out.
    """

    def __init__(self, datastore: SQLAlchemyDatastore) -> None:
        urls = (datastore.engine.url, datastore.settings.listen_url)
        passwords = {each for url in urls if url for each in _passwords(url)}
        self._secrets = {
            spelling
            for each in passwords
            for spelling in (each, quote(each, safe=""), quote_plus(each))
        }

    def message(self, error: BaseException) -> str:
        """Type and message, up to `LONGEST_TEXT` characters."""
        return self._without_secrets(text_of(error))

    def traceback(self, error: BaseException) -> str:
        """The traceback, with those of its causes, in `LONGEST_TRACEBACK` characters.

        Without the parameters of statements, which hold the states of events.
        """
        with _parameters_hidden(error):
            told = TracebackException.from_exception(error, limit=-_FRAMES)
        return _shortened(self._without_secrets(storable("".join(told.format()))))

    def _without_secrets(self, text: str) -> str:
        for each in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(each, _HIDDEN)
        return text


def _passwords(url: URL) -> Iterator[str]:
    if url.password:
        yield str(url.password)
    for name, value in url.normalized_query.items():
        if "password" in name or "passwd" in name:
            yield from filter(None, value)


@contextmanager
def _parameters_hidden(error: BaseException) -> Iterator[None]:
    with ExitStack() as stack:
        for each in _chain(error):
            if isinstance(each, StatementError):
                stack.callback(setattr, each, "hide_parameters", each.hide_parameters)
                each.hide_parameters = True
        yield


def _chain(error: BaseException) -> Iterator[BaseException]:
    left, seen = [error], set[int]()
    while left:
        current = left.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            left.extend(current.exceptions)
        others = (current.__cause__, current.__context__)
        left.extend(each for each in others if each is not None)


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_TRACEBACK:
        return text
    note = f"\n[{len(text) - LONGEST_TRACEBACK:,} characters and more left out]\n"
    end = len(text) - (LONGEST_TRACEBACK - _BEGINNING - len(note))
    return text[:_BEGINNING] + note + text[end:]
