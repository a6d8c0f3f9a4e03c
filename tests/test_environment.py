"""Every environment variable that is read is in the table, and the table has no other."""

import ast
import re
from pathlib import Path

from larqnets import environment
from larqnets.environment import RUNTIME, VARIABLES

ROOT = Path(__file__).parent.parent
FOLDERS = ("larqnets", "deploy", "android_bench", "tests", "docs", "examples", "configs", ".github")
NAMES = {variable.name for variable in VARIABLES}
OURS = re.compile(r"(?<![A-Z_])LARQNETS_[A-Z0-9_]*[A-Z0-9]\b")
# What stands for the program's name in a shell's completion, and what the C++ sources are compiled with.
OTHERS = {"LARQNETS_VERSION"}


def sources():
    """Every text of ours but the C++, whose guards and macros are called so too."""
    loose = [
        ROOT / name for name in ("Makefile", "hatch_build.py", "README.md", ".ci/run", "pyproject.toml", "mkdocs.yml")
    ]
    for path in [*loose, *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))]:
        is_text = path in loose or path.suffix in (".py", ".sh", ".md", ".toml", ".yml")
        name = path.relative_to(ROOT).as_posix()
        if is_text and path.is_file() and not name.startswith("android_bench/native/") and path != Path(__file__):
            yield name, path.read_text(encoding="utf-8")


def test_every_variable_of_ours_is_in_the_table():
    named = {(name, word) for name, text in sources() for word in OURS.findall(text)}
    assert len({word for _, word in named}) > 10
    assert len(NAMES) == len(VARIABLES)
    assert {(name, word) for name, word in named if word not in NAMES | OTHERS} == set()


def test_every_variable_in_the_table_is_read_somewhere():
    texts = "\n".join(
        text for name, text in sources() if name != "larqnets/environment.py" and not name.endswith(".md")
    )
    read = {variable.name for variable in VARIABLES if re.search(rf"\b{variable.name}\b", texts)}
    constants = {name: value for name, value in vars(environment).items() if isinstance(value, environment.Variable)}
    read |= {value.name for name, value in constants.items() if re.search(rf"\b{name}\b", texts)}
    assert read == NAMES


def test_no_code_reads_one_by_a_name_of_its_own():
    """`os.environ` with a literal would be a second place that knows the name."""
    found = set()
    for top in ("larqnets", "deploy", "android_bench"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                literal = None
                if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
                    literal = node.slice
                elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    *("os.environ.get", "os.environ.setdefault", "os.environ.pop", "os.getenv"),
                ):
                    literal = node.args[0]
                if isinstance(literal, ast.Constant):
                    found.add(f"{path.relative_to(ROOT)}: {literal.value}")
    assert found == set()


def test_an_empty_variable_is_none(monkeypatch):
    for value, read in (("", None), ("there", "there")):
        monkeypatch.setenv(RUNTIME.name, value)
        assert RUNTIME.read() == read
    monkeypatch.delenv(RUNTIME.name)
    assert RUNTIME.read() is None
