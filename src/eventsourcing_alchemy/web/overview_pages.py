"""Applications and projections."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.operations.telemetry.prometheus import CONTENT_TYPE
from eventsourcing_alchemy.web.charts import chart
from eventsourcing_alchemy.web.site import Site, given


def overview(site: Site, request: Request) -> Response:
    """All of them."""
    seen = site.samples.overview()
    charts = {
        (each.name, each.application): chart(
            site.samples.lags(each.name, each.application), width=120, height=28
        )
        for each in seen.projections
    }
    return site.page(
        request,
        "overview.html",
        seen=seen,
        charts=charts,
        outages=site.samples.outages,
        interval=site.samples.interval,
    )


def projection(site: Site, request: Request) -> Response:
    """One projection of the events of one application."""
    name = given(request, "name")
    application = given(request, "application")
    for each in site.samples.overview().projections:
        if (each.name, each.application) == (name, application):
            lags = site.samples.lags(name, application)
            return site.page(
                request,
                "projection.html",
                each=each,
                chart=chart(lags, width=720, height=160),
                interval=site.samples.interval,
            )
    raise UnknownNameError(f"There is no projection {name!r} of {application!r}")


def metrics(site: Site, _: Request) -> Response:
    """In the form of Prometheus."""
    try:
        text = site.metrics().text()
    except ConfigurationError as error:  # An extra is missing.
        return PlainTextResponse(f"{error}\n", 501)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
