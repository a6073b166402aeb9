"""A chart of costs over the number of events."""

from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.charts import saved_figure
from benchmarks.scale.findings import Figure, Findings, unique

_COLORS = ("#2f7fd6", "#8b9099", "#e08a1e", "#4aa36b", "#a05fc0")


def write(found: Findings, path: Path) -> None:
    """Writes the chart, a panel for each database.

    Args:
        found: figures.
        path: of the SVG file.
    """
    timed = [each for each in found.of("growth") if each.unit == "ms"]
    kinds = unique(each.database for each in timed)
    with saved_figure((4.6 * len(kinds), 3.6), path) as drawn:
        grid = drawn.subplots(1, len(kinds), squeeze=False, sharey=True).flatten()
        for axes, kind in zip(grid, kinds, strict=True):
            _draw(axes, [each for each in timed if each.database == kind])
            axes.set_title(f"{kind}: median cost [ms]")


def _draw(axes: Axes, figures: list[Figure]) -> None:
    names = unique(each.name for each in figures if "," not in each.name)
    for name, color in zip(names, _COLORS, strict=True):
        own = [each for each in figures if each.name == name]
        events = [each.events or 0 for each in own]
        costs = [each.value for each in own]
        axes.plot(events, costs, "o-", label=name, color=color, markersize=3)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("events in the log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(
        frameon=False,
        fontsize=7,
        ncols=3,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
    )
