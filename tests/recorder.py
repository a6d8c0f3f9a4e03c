"""A reporter that remembers what it was told."""

from larqnets.reporter import Reporter


class Recorder(Reporter):
    """Stages, lines and counts in their order; `said`: stages and lines together."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, int, str]] = []
        self.stages: list[str] = []
        self.lines: list[str] = []
        self.said: list[str] = []
        self.counts: list[tuple[int, int | None, str]] = []

    def part(self, number: int, total: int, name: str) -> None:
        """See Reporter."""
        self.parts.append((number, total, name))

    def stage(self, name: str) -> None:
        """See Reporter."""
        self.stages.append(name)
        self.said.append(name)

    def count(self, done: int, total: int | None = None, what: str = "") -> None:
        """See Reporter."""
        self.counts.append((done, total, what))

    def line(self, text: str) -> None:
        """See Reporter."""
        self.lines.append(text)
        self.said.append(text)
