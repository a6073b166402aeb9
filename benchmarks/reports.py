"""The results as tables, and as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from benchmarks.cases import Against
from benchmarks.results import Comparison, Results, Summary, Verdict

Row = Sequence[str]

_OVERVIEW = ("case", "database", "ours", "unit", "compared with", "ratio", "target", "")
_DETAILS = ("case", "database", "contestant", "median", "from", "to", "unit")


def overview(results: Results) -> list[Row]:
    """Each ratio with its target; the first row is the head."""
    rows: list[Row] = [_OVERVIEW]
    for each in results.comparisons():
        for verdict in each.verdicts():
            rows.append(_judgement(each, verdict))  # noqa: PERF401
    return rows


def _judgement(comparison: Comparison, verdict: Verdict) -> Row:
    ours = comparison.ours
    is_number = verdict.target and verdict.target.against is Against.NUMBER
    return (
        comparison.title,
        comparison.database,
        number(ours.median) if ours else "",
        comparison.metric.unit,
        name_of(verdict.rival, comparison),
        "" if is_number else ratio(verdict.ratio),
        _target(comparison, verdict),
        {None: "", True: "reached", False: "MISSED"}[verdict.reached],
    )


def _target(comparison: Comparison, verdict: Verdict) -> str:
    if verdict.target is None:
        return ""
    sign = "<=" if comparison.metric.lower_is_better else ">="
    bound = verdict.target.bound
    if verdict.target.against is Against.NUMBER:
        return f"{sign} {number(bound)}"
    return f"{sign} {bound:.1f} x"


def details(results: Results) -> list[Row]:
    """What each contestant did; the first row is the head."""
    rows: list[Row] = [_DETAILS]
    for each in results.comparisons():
        for name, summary in each.summaries.items():
            rows.append(_detail(each, name, summary))
    return rows


def _detail(comparison: Comparison, name: str, summary: Summary) -> Row:
    figures = (summary.median, summary.low, summary.high)
    unit = comparison.metric.unit
    who = name_of(name, comparison)
    return (comparison.title, comparison.database, who, *map(number, figures), unit)


def name_of(contestant: str, comparison: Comparison) -> str:
    """What a contestant is called in a comparison."""
    return comparison.case.limit_name if contestant == "limit" else contestant


def facts(results: Results) -> list[Row]:
    """What everything ran on; the first row is the head."""
    rows: list[Row] = [("who", "database", "what")]
    for database, about in results.servers.items():
        rows.append(("server", database, _listed(about)))
    for (database, contestant), found in results.facts().items():
        rows.append((contestant, database, _listed(found)))
    return rows


def _listed(about: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in about.items())


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def ratio(times: float) -> str:
    """How many times as much."""
    return f"{times:.2f} x" if times < 10 else f"{times:.0f} x"


def as_text(rows: Sequence[Row]) -> str:
    """A table for a terminal."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """A table for a page."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(results: Results, about: Mapping[str, object]) -> str:
    """Everything, for programs."""
    document = {
        **about,
        "servers": results.servers,
        "facts": [
            {"database": database, "contestant": contestant, **found}
            for (database, contestant), found in results.facts().items()
        ],
        "results": [_as_object(each) for each in results.comparisons()],
        "failures": results.failures,
    }
    return json.dumps(document, indent=2) + "\n"


def _as_object(comparison: Comparison) -> dict[str, object]:
    return {
        "case": comparison.case.name,
        "metric": comparison.metric.name,
        "title": comparison.title,
        "unit": comparison.metric.unit,
        "lower_is_better": comparison.metric.lower_is_better,
        "database": comparison.database,
        "contestants": {
            name: {"median": summary.median, "values": summary.values}
            for name, summary in comparison.summaries.items()
        },
        "ratios": list(_ratios(comparison)),
    }


def _ratios(comparison: Comparison) -> Iterator[dict[str, object]]:
    for verdict in comparison.verdicts():
        yield {
            "rival": verdict.rival,
            "ratio": verdict.ratio,
            "target": verdict.target.bound if verdict.target else None,
            "reached": verdict.reached,
        }
