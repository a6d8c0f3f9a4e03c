"""How numbers and tables are written in the pages."""

from collections.abc import Iterable, Sequence

from larqnets.cli.reference.markdown import table


def million(count: float, digits: int = 2) -> str:
    """Return a count in millions: 2.07."""
    return f"{count / 1e6:,.{digits}f}"


def whole(count: float) -> str:
    """Return a count with its thousands marked: 98,512."""
    return f"{count:,.0f}"


def percent(share: float, digits: int = 2) -> str:
    """Return a fraction in percent, without the sign: 98.89."""
    return f"{100 * share:.{digits}f}"


def signed(share: float, digits: int = 2) -> str:
    """Return a difference of fractions in points: -0.68, +0.15."""
    return f"{100 * share:+.{digits}f}"


def times(larger: float, smaller: float, digits: int = 1) -> str:
    """Return how many times the one is the other: 3.4."""
    return f"{larger / smaller:.{digits}f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; every column but the first is a number or short, so nothing is aligned."""
    rows = list(rows)
    assert {len(row) for row in rows} <= {len(head)}, "every row has the columns of the head"
    return table(head, rows)
