"""Text that java.util.Properties reads: `key=value` line by line, as `load(Reader)` of Java's standard library describes it."""

from collections.abc import Mapping

# What would end a line, begin an escape, or be skipped at the beginning of a value.
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}


def to_properties(values: Mapping[str, str], comment: str) -> str:
    """Return the text, for a Reader of UTF-8: a line of comment, then a line for every value in their order.

    Keys are words of letters, digits, `_`, `.` and `-`, the comment is one line; a value may be any text. Raises ValueError
    for others.
    """
    if "\n" in comment or "\r" in comment:
        raise ValueError("a comment is one line")
    for key in values:
        if not key.isascii() or not key.replace(".", "").replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"'{key}' is no key")
    return f"# {comment}\n" + "".join(f"{key}={_escaped(value)}\n" for key, value in values.items())


def _escaped(value: str) -> str:
    """Return a value in one line; of spaces those at its beginning would be skipped."""
    text = "".join(_ESCAPED.get(character, character) for character in value)
    return f"\\{text}" if text.startswith(" ") else text
