"""The results as charts, to be read on a light and on a dark page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import summary
from benchmarks.contestants import CONTESTANTS, DRIVERS, OURS
from benchmarks.reports import name_of, number, ratio
from benchmarks.results import Comparison, Results, Summary

_PEERS = {each.name for each in CONTESTANTS if each.is_peer}

COLUMNS = 2
"""Charts side by side."""

_BLUE, _GREY, _PALE, _ORANGE = "#2f7fd6", "#7d828b", "#7d828b55", "#e08a1e"
_STYLE: Any = {
    # In the middle between light and dark.
    "text.color": _GREY,
    "axes.labelcolor": _GREY,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "font.size": 8,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    # The same results make the same file.
    "svg.hashsalt": "benchmarks",
}


def write(results: Results, folder: Path) -> None:
    """Writes all charts that there is something for.

    Args:
        results: to be shown.
        folder: to write to.
    """
    comparisons = results.comparisons()
    for database in results.servers:
        own = [each for each in comparisons if each.database == database]
        panels = [(each, _named(each)) for each in own if len(each.summaries) > 1]
        _write_both(panels, folder, database, _WHO)
        _write_ratios(own, folder / f"ratios-{database}.svg")
    _write_both(_by_database(comparisons), folder, "databases", "")
    _write_summary(summary.lines(results), folder / "summary.svg")


_WHO = """\
ours: this package. host: the library's own module. host-fast: that with its functions
in the database, whose subscriptions can miss events. sqlalchemy-peer: the package
eventsourcing-sqlalchemy. limit: the same statements by pgbench, or the driver alone."""


def _named(comparison: Comparison) -> Mapping[str, Summary]:
    return {
        name_of(name, comparison): bar for name, bar in comparison.summaries.items()
    }


Panel = tuple[Comparison, Mapping[str, Summary]]


def _by_database(comparisons: Iterable[Comparison]) -> list[Panel]:
    """Ours, on the databases on which it was measured."""
    panels: dict[str, tuple[Comparison, dict[str, Summary]]] = {}
    for each in comparisons:
        if each.ours is not None:
            _, bars = panels.setdefault(each.title, (each, {}))
            bars[each.database] = each.ours
    return [panel for panel in panels.values() if len(panel[1]) > 1]


def _write_both(panels: Sequence[Panel], folder: Path, name: str, legend: str) -> None:
    """What is better high, and what is better low, each in a file."""
    low = [each for each in panels if each[0].metric.unit == "ms"]
    high = [each for each in panels if not each[0].metric.lower_is_better]
    _write_panels(high, folder / f"rates-{name}.svg", f"More is better. {legend}")
    _write_panels(low, folder / f"times-{name}.svg", f"Less is better. {legend}")


def _write_summary(lines: Sequence[summary.Line], path: Path) -> None:
    """One chart: events a second of what users write, beside the library."""
    if not lines:
        return
    with saved_figure((8, 0.46 * len(lines) + 1), path) as figure:
        axes = figure.subplots()
        for n, line in enumerate(lines):
            for offset, figure_, color in zip(
                (-0.19, 0.19), line.figures, (_BLUE, _GREY), strict=True
            ):
                axes.barh(n + offset, figure_, height=0.36, color=color)
                beside: Any = {"xytext": (4, 0), "textcoords": "offset points"}
                axes.annotate(
                    number(figure_), (figure_, n + offset), va="center", **beside
                )
        axes.set_yticks(range(len(lines)), [_plain(line.title) for line in lines])
        axes.set_xscale("log")
        axes.set_xlim(left=100)
        axes.invert_yaxis()
        axes.set_title(
            "Events a second on PostgreSQL, more is better (a logarithmic scale).\n"
            "Blue: this package. Grey: the library's own module."
        )


def _plain(title: str) -> str:
    return title.replace("`", "")


def _write_panels(panels: Sequence[Panel], path: Path, legend: str) -> None:
    """Charts of what each did, one for each metric."""
    panels = [each for each in panels if any(bar.high for bar in each[1].values())]
    if not panels:
        return
    rows = ceil(len(panels) / COLUMNS)
    most = max(len(bars) for _, bars in panels)
    size = (4.6 * COLUMNS, (0.26 * most + 0.7) * rows + 0.7)
    with saved_figure(size, path) as figure:
        figure.suptitle(legend.strip(), x=0.01, ha="left", fontsize=8)
        grid = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
        for axes, (comparison, bars) in zip(grid, panels, strict=False):
            _draw_panel(axes, comparison, bars)
        for axes in grid[len(panels) :]:
            axes.axis("off")


def _draw_panel(
    axes: Axes, comparison: Comparison, bars: Mapping[str, Summary]
) -> None:
    medians = [bar.median for bar in bars.values()]
    spread = [
        [bar.median - bar.low for bar in bars.values()],
        [bar.high - bar.median for bar in bars.values()],
    ]
    axes.barh(
        list(bars),
        medians,
        color=[_color(name) for name in bars],
        edgecolor=_GREY,
        linewidth=0.5,
        xerr=spread,
        error_kw={"ecolor": _GREY, "elinewidth": 0.8},
    )
    for name, bar in bars.items():
        _label(axes, number(bar.median), (bar.high, name))
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_xlim(left=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    title = f"{comparison.title} [{comparison.metric.unit}]"
    axes.set_title(fill(title, width=52))


def _label(axes: Axes, text: str, at: tuple[float, str]) -> None:
    beside: Any = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, at, **beside)


def _color(name: str) -> str:
    if name == OURS.name or name in DRIVERS:
        return _BLUE
    return _GREY if name in _PEERS else _PALE


def _write_ratios(comparisons: Iterable[Comparison], path: Path) -> None:
    """One chart: how many times better than the better peer."""
    bars = [bar for each in comparisons if (bar := _times_better(each)) is not None]
    if not bars:
        return
    with saved_figure((8, 0.28 * len(bars) + 0.8), path) as figure:
        axes = figure.subplots()
        names = [name for name, _, _ in bars]
        colors = [_BLUE if times >= 1 else _GREY for _, times, _ in bars]
        # From 1 on, to both sides.
        widths = [times - 1 for _, times, _ in bars]
        axes.barh(names, widths, left=1, color=colors)
        for name, times, target in bars:
            _label(axes, ratio(times), (max(times, target or 1, 1), name))
            if target is not None:
                axes.plot([target], [name], "|", color=_ORANGE, markersize=12, mew=2)
        axes.axvline(1, color=_GREY, linewidth=0.8)
        axes.set_xscale("log")
        axes.margins(x=0.1)
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} x")
        axes.set_title("Times better than the better peer ( | what has to be reached)")


def _times_better(comparison: Comparison) -> tuple[str, float, float | None] | None:
    """The title, the ratio and its target, which are turned round where low is good."""
    best = comparison.best_peer()
    times = comparison.ratio(best) if best is not None else None
    if not times:
        return None
    target = next(
        (v.target.bound for v in comparison.verdicts() if v.target and v.rival == best),
        None,
    )
    if comparison.metric.lower_is_better:
        return comparison.title, 1 / times, 1 / target if target else None
    return comparison.title, times, target


@contextmanager
def saved_figure(size: tuple[float, float], path: Path) -> Iterator[Figure]:
    """A figure, which is written at the end of the block.

    Args:
        size: in inches.
        path: to write to.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        figure.savefig(path, transparent=True, metadata={"Date": None})
