"""What long work tells while it goes on. One that shows it: `larqnets.cli.reporters`."""


class Reporter:
    """Says nothing, which is the default of everything that takes one; a subclass shows what it wants of it.

    It may be called from several threads at once.
    """

    def part(self, number: int, total: int, name: str) -> None:
        """One of several pieces of work begins, the first is number 1."""

    def stage(self, name: str) -> None:
        """A stage of the work begins: a name that whoever shows it has words for, or the words themselves."""

    def count(self, done: int, total: int | None = None, what: str = "") -> None:
        """So much of the stage is done, of so much where that is known; `what` is counted, or how it goes."""

    def line(self, text: str) -> None:
        """A sentence to be read, also afterwards."""


SILENT = Reporter()
