"""What the extras of this package bring, for sentences that say what is missing and for `larqnets doctor`; as pyproject.toml has them."""

import importlib.metadata
from dataclasses import dataclass

from larqnets.errors import LarqnetsError, on_arm64_linux

CORE = ("numpy", "typer", "rich", "flatbuffers", "pillow", "tomlkit")


@dataclass(frozen=True)
class Extra:
    """What an extra is good for and the packages that it brings: its own, which the core has not, and those of extras `within`."""

    purpose: str
    own: tuple[str, ...]
    within: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """The names of all of them, as registries have them."""
        return self.own + tuple(name for extra in self.within for name in EXTRAS[extra].packages)


EXTRAS = {
    "plot": Extra(
        "pictures of runs, sweeps and confusions, pages of `report`, more letters on boxes and contact sheets",
        ("matplotlib", "jinja2"),
    ),
    "bench": Extra("statistics of latencies, what `benchmark` and `report` print", ("scipy",), ("plot",)),
    "train": Extra(
        "train, convert, verify, evaluate and decompose, on x86-64",
        (
            *("tensorflow", "tf_keras", "larq", "larq-compute-engine", "tensorflow-datasets", "importlib_resources"),
            "tensorboard",
        ),
        ("bench", "detection"),
    ),
    "detection": Extra("scores of detectors, COCO's mAP", ("pycocotools",)),
    "hub": Extra("networks to and from the Hugging Face Hub", ("huggingface_hub",)),
    "heic": Extra("HEIC photos, as iPhones take them", ("pi-heif",)),
    "runtime": Extra("building the ARM64 runtime with zig", ("ziglang",)),
}


def pip_line(extra: str) -> str:
    """Return the command that installs an extra."""
    return f'pip install "larqnets[{extra}]"'


def get_training() -> str:
    """Return the sentence that says how to get what training and conversion need; on ARM64 Linux nothing can be installed."""
    if on_arm64_linux():
        return "The converter exists for x86-64 only: do this there and copy the .tflite file"
    return f"Install them: {pip_line('train')}"


def version_of(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    return [package for package in EXTRAS[extra].packages if version_of(package) is None]


def require(what: str, *packages: str) -> None:
    """Raise LarqnetsError where packages of one extra are not installed, e.g. ``require("Pictures", "matplotlib")``.

    Called before the work that needs them; `what` begins the sentence and is a plural.
    """
    absent = [package for package in packages if version_of(package) is None]
    if absent:
        extra = next(name for name, extra in EXTRAS.items() if absent[0] in extra.own)
        verb = "is" if len(absent) == 1 else "are"
        raise LarqnetsError(f"{what} need {' and '.join(absent)}, which {verb} not installed: {pip_line(extra)}")
