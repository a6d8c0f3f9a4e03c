"""How long a file and a function may be, what stands below the command line, and that nothing is listed by hand."""

import ast
import functools
import re
from collections import defaultdict
from pathlib import Path

import pytest

from larqnets.backbones import list_backbones
from larqnets.tflite.weight_ops import WEIGHT_OPS

ROOT = Path(__file__).parent.parent
PACKAGES = ("larqnets", "deploy", "android_bench")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
# Programs of their own, which developers start with `python -m` or a process of ours starts: what they print is their result.
PROGRAMS = {"deploy/proof/op_sweep.py", "android_bench/emulation/instructions.py", "larqnets/studies/turns.py"}
# Says on stderr that the runtime is being built, which takes minutes, wherever it is first needed.
SAYS = {"android_bench/runtime/bundle.py"}


def python_files():
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@functools.cache
def trees():
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in python_files()]


def test_no_file_is_longer_than_it_may_be():
    native = [path for path in (ROOT / "android_bench/native").iterdir() if path.suffix in (".cc", ".h", ".c")]
    files = [*python_files(), *native]
    assert len(files) > 200
    lengths = {path.relative_to(ROOT).as_posix(): path.read_text().count("\n") for path in files}
    assert not {name for name, length in lengths.items() if length > MAX_FILE_LINES}


def body_lines(function):
    """Lines from the first statement or docstring to the end: name, parameters and decorators only declare."""
    return function.end_lineno - function.body[0].lineno + 1


def test_no_function_is_longer_than_it_may_be():
    long = set()
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_FUNCTION_LINES:
                long.add(f"{name}: {node.name}")
    assert not long


def test_what_the_walks_name_is_there():
    named = re.findall(r"`([\w/]+\.py)::([\w.]+)`", (ROOT / "docs/develop/architecture.md").read_text())
    assert len(named) > 20
    for file, name in named:
        (tree,) = [tree for path, tree in trees() if f"/{path}".endswith(f"/{file}")]
        body = tree.body
        for part in name.split("."):
            found = [node for node in body if getattr(node, "name", "") == part]
            assert found, f"{file}::{name}"
            body = getattr(found[0], "body", [])


def test_parameters_do_not_count_and_docstrings_do():
    text = "@deco\ndef f(\n    a,\n    b,\n):\n    '''One.\n\n    Two.'''\n    return a\n"
    assert body_lines(ast.parse(text).body[0]) == 4


def test_only_the_command_line_prints_and_knows_tables():
    """rich's tables stand in larqnets/cli; below it a result is data."""
    tables, prints = set(), set()
    for name, tree in trees():
        if name.startswith("larqnets/cli/"):
            continue
        for node in ast.walk(tree):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module] if isinstance(node, ast.ImportFrom) else []
            if any(module.split(".")[0] == "rich" for module in imported):
                tables.add(name)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                prints.add(name)
    assert tables == {"larqnets/console.py"}  # the console itself
    assert prints == PROGRAMS | SAYS


# Word -> the one module whose public class, function or constant may be called so: each stood for several things once.
ONE_OF_EACH = {
    "Counts": "larqnets/counts.py",
    "Device": "android_bench/devices/device.py",
    "LayerResult": "larqnets/decompose/result.py",
    "METHODS": "larqnets/methods/__init__.py",
    "Network": "larqnets/importing/networks.py",
    "Row": None,
    "Runtime": "android_bench/runtime/bundle.py",
    "TARGETS": "deploy/targets.py",
    "compare": "larqnets/cli/network_commands.py",  # the command's name
}


def test_words_that_stood_for_several_things_stand_for_one():
    found = defaultdict(set)
    for name, tree in trees():
        for node in tree.body:
            names = [getattr(node, "name", None)]
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            for word in names:
                if word in ONE_OF_EACH:
                    found[word].add(name)
    assert dict(found) == {word: {place} for word, place in ONE_OF_EACH.items() if place is not None}
    assert [path.parent.name for path in python_files() if path.name == "launch.py"] == ["training"]


# What is known in one place -> that place, beside which nothing may list three of its names: weights are multiplied by the
# ops of weight_ops.py, and a method, a backbone, a layer is there when its file is. operators.py lists options by op.
LISTED = {
    "ops": (set(WEIGHT_OPS), {"larqnets/tflite/weight_ops.py", "larqnets/tflite/operators.py"}),
    # some of Larq Zoo's networks are called as methods and backbones of ours are
    "methods": ({path.stem for path in (ROOT / "larqnets/methods").glob("[!_]*.py")}, {"larqnets/published/zoo.py"}),
    "backbones": (set(list_backbones()), {"larqnets/published/zoo.py"}),
    "layers": (
        {
            node.name
            for path in (ROOT / "larqnets/layers").glob("*.py")
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.ClassDef)
        },
        set(),
    ),
}


def words_of(node):
    """Names that a literal lists: strings in a tuple, list, set or dict, or words in a text of several lines."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" in node.value:
        return set(node.value.split())
    items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", ())
    return {item.value for item in items if isinstance(item, ast.Constant)}


def docstrings(tree):
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, owners)]
    return {body[0].value for body in bodies if body and isinstance(body[0], ast.Expr)}


@pytest.mark.parametrize("kind", LISTED)
def test_nothing_lists_by_hand_what_is_known_in_one_place(kind):
    names, places = LISTED[kind]
    assert len(names) > 5
    lists = set()
    for name, tree in trees():
        told = docstrings(tree)
        if any(len(words_of(node) & names) >= 3 for node in ast.walk(tree) if node not in told):
            lists.add(name)
    assert lists == places


def test_every_layer_and_quantizer_registers_itself():
    """By their decorator, so that Keras finds them by name in every file that holds one."""
    found = 0
    for path in [*(ROOT / "larqnets/layers").glob("*.py"), ROOT / "larqnets/quantizers.py"]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.bases and not node.name.startswith("_"):
                decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
                known = {"tf.keras.utils.register_keras_serializable('larqnets')", "register"}
                assert decorators & known, f"{path.name}: {node.name}"
                found += 1
    assert found > 15
