"""The templates, which escape whatever they are given.

Where a value comes back with a form, a template has to write it as it is, by `|e`.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request

from eventsourcing_alchemy.operations.printable import printable, printable_lines


def url_of(request: Request) -> Callable[..., str]:
    """Makes the addresses of our pages, wherever they are mounted."""
    root = request.scope.get("root_path", "")

    def url(path: str, **query: Any) -> str:
        given = {name: value for name, value in query.items() if value is not None}
        text = urlencode(given, errors="surrogatepass")
        return f"{root}{path}?{text}" if text else f"{root}{path}"

    return url


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _seconds(value: float | None) -> str:
    """A duration, in the largest unit that fits."""
    if value is None:
        return "?"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value:.1f} s" if value else "0 s"


def _time(value: datetime | None) -> Markup:
    if value is None:
        return Markup("&ndash;")
    return Markup('<time datetime="{}">{}</time>').format(
        value.isoformat(), f"{value:%Y-%m-%d %H:%M:%S}"
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _short(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _plain(value: Any) -> Any:
    """What transcodings have wrapped; last what other columns tell already."""
    if not isinstance(value, dict):
        return [_plain(each) for each in value] if isinstance(value, list) else value
    if value.keys() == {"_type_", "_data_"}:
        return _plain(value["_data_"])
    names = sorted(value, key=_LAST.__contains__)
    return {name: _plain(value[name]) for name in names}


_LAST = ("timestamp", "originator_topic")

_SHORT = 160
"""Characters of a state in a list."""


def _topic(value: str) -> Markup:
    """The class of a topic, with its module in small print."""
    module, _, name = printable(value).rpartition(":")
    if not module:
        return escape(name)
    return Markup('<span class="module">{}:</span><wbr>{}').format(module, name)


def _shown(value: Any) -> Any:
    # What is HTML already, has its texts in this form.
    return value if hasattr(value, "__html__") else printable_lines(value)


templates = Environment(
    loader=PackageLoader("eventsourcing_alchemy.web"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters.update(
    number=_number,
    seconds=_seconds,
    time=_time,
    pretty=_json,
    short=_short,
    topic=_topic,
)
