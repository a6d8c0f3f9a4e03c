"""Derive `schema_table.py` from the TFLite schema of the installed TensorFlow: `python -m larqnets.tflite.derive_schema`.

TensorFlow carries no schema file, but the accessors that FlatBuffers' compiler generated from it. They are parsed, never
imported: `TableAddField` names slot and width of a field, the accessor `Table.Field` what a reference leads to, and
`UnionCreator` the tables of a union.
"""

import ast
import re
import sys
import textwrap
from graphlib import TopologicalSorter
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from larqnets.errors import LarqnetsError
from larqnets.extras import pip_line

TABLE = Path(__file__).with_name("schema_table.py")
_WIDTHS = {
    "Bool": 1,
    "Int8": 1,
    "Uint8": 1,
    "Uint16": 2,
    "Int32": 4,
    "Uint32": 4,
    "Float32": 4,
    "Int64": 8,
    "Uint64": 8,
}
_SLOT = re.compile(r"builder\.Prepend(\w+?)(?:Relative)?Slot\((\d+),")
_HEAD = '''"""Every table of the TFLite schema and what its fields lead to.

Derived by `python -m larqnets.tflite.derive_schema` from TensorFlow {version}, Copyright The TensorFlow Authors, licensed under
the Apache License, Version 2.0; not to be edited. TABLES has `table: field type, …` in the order of the slots, `-` for one
that the schema gave up. Types: 1, 2, 4, 8 are scalars of so many bytes, `string`, a table's name, a union's name; in brackets
a vector of these. The type of a union is the byte in the slot before it; UNIONS has `union: number table, …`. A table stands
behind all that refer to it, so none contains itself. Indented lines go on with the one before.
"""

'''


def schema_source() -> Path:
    """Return the accessors of the installed TensorFlow; raises LarqnetsError when it is not installed."""
    found = find_spec("tensorflow")
    if found is None or found.origin is None:
        raise LarqnetsError(f"The schema is derived from TensorFlow. Install it: {pip_line('train')}")
    return Path(found.origin).parent / "lite/python/schema_py_generated.py"


def derive(source: str) -> tuple[dict[str, list[str]], dict[str, dict[int, str]]]:
    """Return table -> "name type" of every slot, parents first, and union -> number -> table."""
    tree = ast.parse(source)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    unions = {
        name.removesuffix("Creator"): _members(classes[name.removesuffix("Creator")])
        for name in functions
        if name.endswith("Creator")
    }
    tables = {name.removesuffix("Start"): {} for name in functions if name.removesuffix("Start") in classes}
    for name, function in functions.items():
        if _SLOT.search(ast.unparse(function)) is None:
            continue
        table, accessor = _owner(name, tables, classes)
        slot, written = _slot(function)
        tables[table][slot] = f"{_snake(accessor.name)} {written or _target(accessor, classes[f'{table}T'])}"
    rows = {name: [fields.get(i, "-") for i in range(max(fields, default=-1) + 1)] for name, fields in tables.items()}
    order = TopologicalSorter({name: {} for name in rows})
    for name, fields in rows.items():
        for field in fields:
            target = field.split(" ")[-1].strip("[]")
            for child in unions.get(target, {0: target}).values():
                if child in rows:
                    order.add(child, name)
    return {name: rows[name] for name in order.static_order()}, unions


def _members(union: ast.ClassDef) -> dict[int, str]:
    """Return number -> name of a union's tables; number 0 stands for none."""
    pairs = [
        (ast.literal_eval(node.value), ast.unparse(node.targets[0]))
        for node in union.body
        if isinstance(node, ast.Assign)
    ]
    return {number: name for number, name in pairs if number}


def _owner(name: str, tables: dict[str, dict], classes: dict[str, ast.ClassDef]) -> tuple[str, ast.FunctionDef]:
    """Split "TableAddField" where both a table and its accessor are called so."""
    for cut in re.finditer("Add", name):
        table, field = name[: cut.start()], name[cut.end() :]
        if table in tables:
            for node in classes[table].body:
                if isinstance(node, ast.FunctionDef) and node.name == field:
                    return table, node
    raise ValueError(f"{name} adds a field to no table")


def _found(pattern: str | re.Pattern[str], code: str) -> re.Match[str]:
    match = re.search(pattern, code)
    if match is None:
        raise ValueError(f"{pattern} is not in the accessors, whose generator must have changed: {code}")
    return match


def _slot(adder: ast.FunctionDef) -> tuple[int, str]:
    """Return the slot, and the width of a scalar or "" for a reference, from `builder.PrependInt32Slot(0, …)`."""
    kind, slot = _found(_SLOT, ast.unparse(adder)).groups()
    return int(slot), "" if kind == "UOffsetT" else str(_WIDTHS[kind])


def _target(accessor: ast.FunctionDef, unpacked: ast.ClassDef) -> str:
    """Return what a reference leads to, from the code that follows it."""
    code = ast.unparse(accessor)
    if "_tab.Union(" in code:
        return _found(rf"(\w+)Creator\(\w+\.\w+, \w+\.{accessor.name}\(\)\)", ast.unparse(unpacked))[1]
    table = re.search(r"obj = (\w+)\(\)", code)
    if table is not None:
        name = table[1]
    elif "_tab.String(" in code:
        name = "string"
    else:
        name = str(_WIDTHS[_found(r"_tab\.Get\(flatbuffers\.number_types\.(\w+)Flags", code)[1]])
    return f"[{name}]" if "_tab.Vector(" in code else name


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def render(source: str) -> str:
    """Return the module that `schema_table.py` is."""
    tables, unions = derive(source)
    rows = [f"{name}: {', '.join(fields)}" for name, fields in tables.items()]
    members = [f"{name}: {', '.join(f'{i} {table}' for i, table in union.items())}" for name, union in unions.items()]
    head = _HEAD.format(version=version("tensorflow"))
    return f'{head}TABLES = """\n{_lines(rows)}"""\n\nUNIONS = """\n{_lines(members)}"""\n'


def _lines(rows: list[str]) -> str:
    return "".join(textwrap.fill(row, 120, subsequent_indent="  ", break_long_words=False) + "\n" for row in rows)


if __name__ == "__main__":
    try:
        TABLE.write_text(render(schema_source().read_text()))
    except LarqnetsError as error:
        sys.exit(f"derive_schema: {error}")
