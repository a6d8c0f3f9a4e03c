"""Sizes of tensors that a graph knows before it runs."""

from collections.abc import Iterable


def known(shape: Iterable[int | None]) -> tuple[int, ...]:
    """Return the sizes of a TensorFlow shape, or of a part of it; raises ValueError where one is known at run time only."""
    sizes = tuple(shape)
    found = tuple(size for size in sizes if size is not None)
    if len(found) != len(sizes):
        raise ValueError(f"the shape {sizes} is not known in full")
    return found
