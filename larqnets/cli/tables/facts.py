"""Names with their values, for people."""

from typing import Any

from rich.table import Table


def facts(values: dict[str, Any], title: str = "") -> Table:
    """Return two columns, name and value; fractions called accuracy or share as percent."""
    table = Table(box=None, show_header=False, title=title or None, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), word(name, value))
    return table


def word(name: str, value: Any) -> str:
    """Return a value as it is shown; a fraction called accuracy, share, agreement or IoU as percent."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if any(word in name for word in ("accuracy", "share", "agreement", "iou")):
            return f"{value:.2%}"
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)
