"""What all pages have in common."""

import logging
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.operations.declarations import Declaration
from eventsourcing_alchemy.operations.telemetry.prometheus import PrometheusMetrics
from eventsourcing_alchemy.schema.validation import HIGHEST
from eventsourcing_alchemy.web.access import COOKIE, form_token
from eventsourcing_alchemy.web.samples import Samples
from eventsourcing_alchemy.web.templates_in_use import templates, url_of

logger = logging.getLogger("eventsourcing_alchemy")


class Site:
    """What all pages have in common.

    Attributes:
        datastore: the database.
        declared: projections whose dead letters can be retried.
        samples: how far projections were.
        allow_actions: whether dead letters can be retried and discarded.

    Args:
        datastore: as above.
        declared: as above.
        interval: seconds between two samples.
        allow_actions: as above.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        declared: Sequence[Declaration],
        interval: float,
        *,
        allow_actions: bool,
    ) -> None:
        self.datastore = datastore
        self.declared = declared
        self.samples = Samples(datastore, interval)
        self.allow_actions = allow_actions
        _import(declared)
        self._metrics: list[PrometheusMetrics] = []

    def metrics(self) -> PrometheusMetrics:
        """What is in the database, for Prometheus.

        Raises:
            ConfigurationError: if the extra `prometheus` is not installed.
        """
        if not self._metrics:
            interval = self.samples.interval
            self._metrics.append(
                PrometheusMetrics(self.datastore, interval=interval, of_process=False)
            )
        return self._metrics[0]

    def page(
        self, request: Request, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page.

        Args:
            request: that it answers.
            template: its file.
            status: of the answer.
            **values: for the template.
        """
        token = form_token(request) if self.allow_actions else None
        html = templates.get_template(template).render(
            url=url_of(request),
            path=request.url.path.removeprefix(request.scope.get("root_path", "")),
            token=token,
            outage=self.datastore.outage,
            **values,
        )
        response = HTMLResponse(html, status)
        if token is not None and COOKIE not in request.cookies:
            response.set_cookie(
                COOKIE,
                token,
                path=request.scope.get("root_path") or "/",
                httponly=True,
                samesite="strict",
                secure=request.url.scheme == "https",
            )
        return response


def _import(declared: Sequence[Declaration]) -> None:
    """Imports applications, whose classes show what events have changed."""
    for each in declared:
        try:
            _ = each.application_class
        except ConfigurationError as error:
            logger.warning("%s", str(error))


def given(request: Request, name: str) -> str:
    """A value of the query that has to be there.

    Raises:
        ValueError: if it is not.
    """
    value = request.query_params.get(name)
    if value is None:
        raise ValueError(f"The URL has no {name!r}")
    return value


def number(request: Request, name: str) -> int | None:
    """A number of the query, None if it is not there.

    Raises:
        ValueError: if it is no number that a position can be.
    """
    value = request.query_params.get(name)
    if not value:
        return None
    if not value.isdecimal() or len(value) > _DIGITS or int(value) > HIGHEST:
        raise ValueError(f"{name} is {value[:40]!r}: expected a position")
    return int(value)


_DIGITS = 19
