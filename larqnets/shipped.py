"""The trained networks that come with the package: where their files lie, and how one is named.

Of a network NAME there are NAME.tflite, its card NAME.toml (`larqnets.runs.model_cards`) and, where the images allow it, an
example NAME.webp. A network is added by adding these.
"""

from fnmatch import fnmatchcase
from pathlib import Path

from larqnets.errors import LarqnetsError, nearest

FOLDER = Path(__file__).parents[1] / "deploy" / "models"
MODEL = "model:"  # in front of a name where runs, files and others' networks can be named too


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the shipped models that match a shell glob."""
    return sorted(path.stem for path in FOLDER.glob("*.tflite") if fnmatchcase(path.stem, pattern))


def is_model(named: object) -> bool:
    """Return whether something is named as a shipped model with the prefix."""
    return str(named).startswith(MODEL)


def model_name(named: str) -> str:
    """Return the name of a shipped model, given with or without the prefix; raises LarqnetsError where there is none."""
    name, known = named.removeprefix(MODEL), list_models()
    if name not in known:
        raise LarqnetsError(
            f"No model '{name}' comes with the package.{nearest(name, known)} There are: {', '.join(known)}."
        )
    return name


def model_file(named: str) -> Path:
    """Return the .tflite file of a shipped model; raises LarqnetsError where there is none."""
    return FOLDER / f"{model_name(named)}.tflite"


def example_file(named: str) -> Path | None:
    """Return the example picture of a shipped model, None where it has none."""
    example = FOLDER / f"{model_name(named)}.webp"
    return example if example.is_file() else None
