"""Which of several networks no other one beats in cost and accuracy at once."""

from collections.abc import Sequence


def on_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for every (cost, accuracy) whether no other one costs at most as much and is at least as accurate."""
    return [
        not any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)
        for cost, accuracy in points
    ]
