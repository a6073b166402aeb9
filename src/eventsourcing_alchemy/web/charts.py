"""Charts, as SVG without styles of its own."""

from dataclasses import dataclass

LEAST_SCALE = 1.0
"""Seconds at the top of a chart, at the least: noise is not to look like a mountain."""


@dataclass(frozen=True)
class Chart:
    """A line over time, as SVG draws it.

    Attributes:
        width: of the picture.
        height: of the picture.
        line: points of the line.
        area: points of the area below.
        most: the largest value.
        now: the last value.
        span: seconds from the first value until now.
    """

    width: int
    height: int
    line: str
    area: str
    most: float
    now: float
    span: float


def chart(
    values: list[tuple[float, float]], *, width: int, height: int
) -> Chart | None:
    """A chart of values over time, None if there are fewer than two.

    Args:
        values: pairs of seconds before now, and a value; the oldest first.
        width: of the picture.
        height: of the picture.
    """
    if len(values) < 2:
        return None
    span = max(values[0][0], 1e-9)
    most = max(value for _, value in values)
    top = max(most, LEAST_SCALE)
    points = [
        (width * (1 - ago / span), 1 + (height - 2) * (1 - value / top))
        for ago, value in values
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{points[0][0]:.1f},{height} {line} {points[-1][0]:.1f},{height}"
    return Chart(width, height, line, area, most, values[-1][1], span)
