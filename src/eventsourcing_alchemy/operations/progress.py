"""How fast projections are, told from two overviews."""

from dataclasses import dataclass

from eventsourcing_alchemy.operations.overview import Overview, ProjectionStatus


@dataclass(frozen=True)
class ProjectionProgress:
    """How fast a projection is.

    Attributes:
        rate: events a second that it has processed.
        seconds_left: until it has caught up, at the rates of now; 0 if it has, None if
            it does not come nearer.
    """

    rate: float
    seconds_left: float | None


def progress_of(
    earlier: Overview, later: Overview, seconds: float
) -> dict[tuple[str, str], ProjectionProgress]:
    """The progress between two overviews, by names of projection and application.

    Args:
        earlier: the one.
        later: the other. A projection that is in one of them only is left out.
        seconds: between them, above 0.
    """
    before = {_key(each): each for each in earlier.projections}
    return {
        _key(each): _progress(before[_key(each)], each, seconds)
        for each in later.projections
        if _key(each) in before
    }


def _key(each: ProjectionStatus) -> tuple[str, str]:
    return each.name, each.application


def _progress(
    before: ProjectionStatus, now: ProjectionStatus, seconds: float
) -> ProjectionProgress:
    rate = max(0.0, (now.position - before.position) / seconds)
    nearer = (before.lag - now.lag) / seconds
    if now.lag == 0:
        return ProjectionProgress(rate, 0.0)
    return ProjectionProgress(rate, now.lag / nearer if nearer > 0 else None)
