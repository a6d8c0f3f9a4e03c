"""A colour for every class where nobody says another: neighbours in number differ much, and 0 is black."""

Colors = tuple[tuple[int, int, int], ...]  # red, green, blue of every class


def palette(classes: int) -> Colors:
    """Return colours for so many classes, 256 at most.

    Bits 0, 3 and 6 of the number are the upper bits of red, 1, 4 and 7 those of green, 2, 5 and 8 those of blue, the lowest
    of them first: the colours of the VOC challenge.
    """
    return tuple((_channel(number, 0), _channel(number, 1), _channel(number, 2)) for number in range(classes))


def _channel(number: int, first: int) -> int:
    return sum((number >> (first + 3 * i) & 1) << (7 - i) for i in range(3))
