"""The findings as tables."""

from benchmarks.reports import Row, as_markdown, number
from benchmarks.scale.findings import Figure, Findings, unique

GROWTH = ("growth", "tags")
"""Parts that measure the same at several numbers of events."""


def growth(found: Findings, part: str = "growth") -> list[Row]:
    """A row for each cost, a column for each number of events."""
    figures = found.of(part)
    steps = sorted(unique(each.events for each in figures))
    rows: list[Row] = [("database", "", *(f"{step:,}" for step in steps), "unit")]
    for database, name, unit in unique((f.database, f.name, f.unit) for f in figures):
        by_step = {
            each.events: number(each.value)
            for each in found.of(part, database)
            if each.name == name
        }
        cells = [by_step.get(step, "") for step in steps]
        rows.append((database, name, *cells, unit))
    return rows


def others(found: Findings) -> list[Row]:
    """A row for each of the other figures."""
    rows: list[Row] = [("database", "", "value", "unit", "limit", "")]
    return rows + [_row(each) for each in found.figures if each.part not in GROWTH]


def _row(figure: Figure) -> Row:
    limit = "" if figure.limit is None else f"<= {number(figure.limit)}"
    verdict = "MISSED" if figure.is_missed else "reached" if limit else ""
    return (
        figure.database,
        figure.name,
        number(figure.value) if figure.value else "0",
        figure.unit,
        limit,
        verdict,
    )


def as_page(found: Findings, about: dict[str, object]) -> str:
    """All of it in Markdown."""
    facts = ", ".join(_fact(name, value) for name, value in about.items())
    plans = [
        f"{each.title} ({each.database}):\n\n```text\n{each.text}\n```"
        for each in found.notes
    ]
    grown = [as_markdown(growth(found, part)) for part in GROWTH]
    tables = [*grown, as_markdown(others(found))]
    return "\n\n".join([f"{facts}.", *tables, *plans]) + "\n"


def _fact(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(_fact(*each) for each in value.items())
    return str(value) if name == "version" else f"{name} {value}"
