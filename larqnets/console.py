"""How text reaches the terminal: names of models, files and devices are shown as they are and command nothing."""

from typing import Any

from rich.console import Console
from rich.text import Text

from larqnets.errors import printable

_WIDTH = 120  # of a log or a pipe, which have no width of their own


class PlainConsole(Console):
    """A console without markup, emoji codes and highlighting, on which every str is made printable, in cells and titles too.

    A Text is taken as it is: whoever makes one has made it printable.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, highlight=False, markup=False, emoji=False)
        if not self.is_terminal and options.keys().isdisjoint(("stderr", "width")):
            self.width = _WIDTH

    def render_str(self, text: str, **options: Any) -> Text:
        """See Console; called for every str that is printed or stands in a table."""
        plain: dict[str, Any] = options | {"markup": False, "emoji": False}
        return super().render_str(printable(text), **plain)
