"""docs/reference/cli.md: every command, from the app itself."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer.main
from typer.core import TyperArgument, TyperOption

from larqnets.cli.command import PANELS
from larqnets.cli.main import app
from larqnets.cli.reference.markdown import page, plain, prose, table

_HIDDEN = "Benches"  # the section of what `--help` hides


@dataclass(frozen=True)
class _Leaf:
    """A command with the words that call it."""

    words: str
    panel: str
    command: Any

    @property
    def options(self) -> list[TyperOption]:
        return [p for p in self.command.params if isinstance(p, TyperOption) and not p.hidden]


def markdown() -> str:
    """Return the page: panels as sections, in their order, what is hidden in `--help` last."""
    root: Any = typer.main.get_command(app)
    leaves = list(_leaves(root))
    everywhere = _everywhere(leaves)
    parts = [
        "What `larqnets --help` and `larqnets COMMAND --help` show. An argument in brackets may be left out, and one with "
        "`...` given several times. [Exit codes](exit-codes.md), [environment variables](environment.md), "
        "[keys of configs](config.md).",
        "Options of `larqnets` itself:",
        _options(_Leaf("larqnets", "", root).options),
        "Options of every command, which the tables below leave out:",
        _options([option for option in leaves[0].options if option.opts[0] in everywhere]),
        "`--help`, `-h` explains a command.",
    ]
    for panel in (*PANELS, _HIDDEN):
        parts.append(f"## {panel}")
        if panel == _HIDDEN:
            parts.append("They measure this repository, and `larqnets --help` does not list them.")
        for leaf in leaves:
            if leaf.panel == panel:
                parts += _section(leaf, everywhere)
    return page("Commands", *parts)


def _leaves(group: Any, before: str = "larqnets", panel: str = "") -> Iterator[_Leaf]:
    """Yield every command in the order of the help."""
    for name, command in group.commands.items():
        words, place = f"{before} {name}", panel or command.rich_help_panel
        if hasattr(command, "commands"):
            yield from _leaves(command, words, place)
        else:
            yield _Leaf(words, _HIDDEN if command.hidden else place, command)


def _everywhere(leaves: list[_Leaf]) -> set[str]:
    """Return the options that every command has, by the first of their names, with the same words."""
    met = Counter((option.opts[0], option.help) for leaf in leaves for option in leaf.options)
    return {name for (name, _), times in met.items() if times == len(leaves)}


def _section(leaf: _Leaf, everywhere: set[str]) -> list[str]:
    arguments = [p for p in leaf.command.params if isinstance(p, TyperArgument) and not p.hidden]
    options = [option for option in leaf.options if option.opts[0] not in everywhere]
    synopsis = " ".join([leaf.words, *(["[OPTIONS]"] if leaf.options else []), *map(_place, arguments)])
    head, *examples = (leaf.command.epilog or "").split("\n\n")
    assert (head == "Examples:") == bool(examples)
    return [
        f"### {leaf.words}",
        f"```text\n{synopsis}\n```",
        prose(leaf.command.help),
        _arguments(arguments),
        _options(options),
        "```sh\n" + "\n".join(examples) + "\n```" if examples else "",
    ]


def _place(argument: TyperArgument) -> str:
    """Return an argument as a synopsis has it."""
    name = argument.metavar or argument.name.upper()
    several = "" if argument.nargs == 1 or name.endswith("...") else "..."
    optional = not argument.required and not name.startswith("[")
    return f"[{name}{several}]" if optional else f"{name}{several}"


def _arguments(arguments: list[TyperArgument]) -> str:
    rows = [(f"`{_place(argument)}`", _meaning(argument), _default(argument)) for argument in arguments]
    return _table("argument", rows)


def _options(options: list[TyperOption]) -> str:
    rows = [(_names(option), _meaning(option), _default(option)) for option in options]
    return _table("option", rows)


def _table(kind: str, rows: list[tuple[str, str, str]]) -> str:
    """Return a table without the column of defaults where there is none."""
    if any(default for _, _, default in rows):
        return table((kind, "meaning", "default"), rows)
    return table((kind, "meaning"), [row[:2] for row in rows]) if rows else ""


def _names(option: TyperOption) -> str:
    """Return the names of an option and what it takes: `--output`, `-o` `PATH`."""
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} `{option.metavar or _kind(option)}`"


def _kind(option: TyperOption) -> str:
    """Return what a value is, as a word."""
    kind = option.type_descriptor.annotation
    choices = getattr(option.type_descriptor, "choices", None)
    if choices:
        return "|".join(str(choice.value if isinstance(choice, Enum) else choice) for choice in choices)
    words = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "Path": "PATH"}
    inner = next(iter(getattr(kind, "__args__", ())), kind)
    return words[inner.__name__]


def _meaning(parameter: TyperArgument | TyperOption) -> str:
    several = isinstance(parameter, TyperOption) and parameter.multiple
    return " ".join(
        part
        for part in (
            plain(parameter.help or ""),
            _range(parameter.min, parameter.max),
            "Several times." if several else "",
        )
        if part
    )


def _range(low: float | None, high: float | None) -> str:
    """Return in words where a number must lie."""
    if low is None:
        return "" if high is None else f"At most {high:g}."
    return f"{low:g} or more." if high is None else f"{low:g} to {high:g}."


def _default(parameter: TyperArgument | TyperOption) -> str:
    """Return the default as code; nothing where there is none, or where the meaning says it."""
    value = parameter.default
    if isinstance(parameter, TyperArgument) and parameter.required:
        return ""
    if value is None or value == [] or parameter.show_default is False:
        return ""
    if isinstance(value, bool):
        if isinstance(parameter, TyperOption) and parameter.secondary_opts:
            return f"`{(parameter.opts if value else parameter.secondary_opts)[0]}`"
        return "`on`" if value else ""
    if isinstance(value, list | tuple):
        return ", ".join(f"`{part}`" for part in value)
    return f"`{value.value if isinstance(value, Enum) else value}`"
