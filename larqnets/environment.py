"""The environment variables that larqnets reads, each once: for whoever reads one, and for docs/reference/environment.md.

One that is empty counts as not set, but for TF_USE_LEGACY_KERAS, which TensorFlow reads itself. What is not read here by its variable is a test's or a build's: those stand in the table for the
page alone, because nothing may be imported where they are read.
"""

import os
from dataclasses import dataclass
from typing import Literal

# Who sets one: a user anywhere, one who measures or runs files on ARM64, one who builds larqnets, one who runs its tests.
Who = Literal["everyone", "arm64", "build", "tests"]


@dataclass(frozen=True)
class Variable:
    """A variable by its name, what it does, and in words what holds without it."""

    name: str
    who: Who
    meaning: str
    default: str

    def read(self) -> str | None:
        """Return its value, None where it is not set or empty."""
        return os.environ.get(self.name) or None


TFDS_DATA_DIR = Variable(
    "TFDS_DATA_DIR",
    "everyone",
    "Folder of the data sets that TFDS has prepared. `data.data_dir` in a config and `--data-dir` go before it.",
    "~/tensorflow_datasets",
)
TF_CONFIG = Variable(
    "TF_CONFIG",
    "everyone",
    "For `larqnets train --strategy multiworker`: JSON with the addresses of all machines and the place of this one among them.",
    "none: `multiworker` is refused",
)
LEGACY_KERAS = Variable(
    "TF_USE_LEGACY_KERAS",
    "everyone",
    "Whether TensorFlow uses Keras 2, without which Larq does not work. `import larqnets` sets it, so import it before TensorFlow; "
    "with a value other than 1 or true what needs Larq is refused.",
    "1",
)
LOG_LEVEL = Variable(
    "TF_CPP_MIN_LOG_LEVEL",
    "everyone",
    "From which level on TensorFlow's C++ code logs: 0 everything, 3 nothing but what ends the process.",
    "3",
)
CACHE_HOME = Variable(
    "XDG_CACHE_HOME",
    "everyone",
    "Parent of the folder `larqnets` in which downloads and the built ARM64 runtime are kept (Linux).",
    "~/.cache",
)
LOCAL_APP_DATA = Variable("LOCALAPPDATA", "everyone", "The same on Windows, which sets it itself.", "AppData/Local")
HF_ENDPOINT = Variable(
    "HF_ENDPOINT",
    "everyone",
    "Address of the model hub that `larqnets publish` uploads to, where it is not the usual one.",
    "none: the Hugging Face Hub",
)
RUNTIME = Variable(
    "LARQNETS_RUNTIME",
    "arm64",
    "Folder of a built ARM64 runtime. It goes before the one that a wheel carries, build/arm64 and the user's cache; one that other "
    "sources made is refused.",
    "none: those three, in this order",
)
DEVICE_FOLDER = Variable(
    "LARQNETS_DEVICE_FOLDER",
    "arm64",
    "Folder on the device in which the runtime and files are kept while something is measured, e.g. where the usual one is mounted "
    "`noexec`.",
    "/data/local/tmp on Android, .cache in the home folder on a board",
)
ANDROID_SERIAL = Variable(
    "ANDROID_SERIAL",
    "arm64",
    "Which Android device `--device adb` means, as `adb` itself reads it.",
    "none: the only one that is connected",
)
EMULATION_LIMIT = Variable(
    "LARQNETS_EMULATION_LIMIT",
    "arm64",
    "After how many seconds a program on the emulated ARM64 is ended; every sample that it runs has 30 more.",
    "1800",
)
VARIABLES = (
    TFDS_DATA_DIR,
    TF_CONFIG,
    LEGACY_KERAS,
    LOG_LEVEL,
    CACHE_HOME,
    LOCAL_APP_DATA,
    HF_ENDPOINT,
    Variable(
        "HF_TOKEN",
        "everyone",
        "Token with which `larqnets publish` uploads; the hub's own library reads it.",
        "none: the token of `hf auth login`",
    ),
    Variable(
        "TMPDIR",
        "everyone",
        "Folder for temporary files. Most commands need one that can be written.",
        "/tmp",
    ),
    RUNTIME,
    DEVICE_FOLDER,
    ANDROID_SERIAL,
    EMULATION_LIMIT,
    Variable(
        "LARQNETS_BUNDLE",
        "build",
        "Folder of a built ARM64 runtime that the wheel being built carries; the wheel is then one for ARM64 Linux.",
        "none: a wheel for every machine, without runtime",
    ),
    Variable(
        "LARQNETS_NO_SKIP",
        "tests",
        "1: a test that would be skipped fails, with the reason.",
        "none: skipped tests are listed at the end",
    ),
    Variable(
        "LARQNETS_MAY_SKIP",
        "tests",
        "With LARQNETS_NO_SKIP: tests that may be skipped all the same, FILE::TEST with blanks between them.",
        "none",
    ),
    Variable(
        "LARQNETS_FUZZ_SECONDS",
        "tests",
        "For how many seconds a test with random inputs goes on.",
        "2 to 5, by the test",
    ),
    Variable(
        "LARQNETS_FUZZ_SEED",
        "tests",
        "Seed of those inputs. A test that draws one prints it.",
        "0 or 1, by the test; drawn for documents",
    ),
    Variable("LARQNETS_CIFAR10_DIR", "tests", "Folder in which TFDS has prepared CIFAR-10.", "none: skipped"),
    Variable("LARQNETS_CAMVID_DIR", "tests", "Folder in which TFDS has prepared CamVid.", "none: skipped"),
    Variable(
        "LARQNETS_ZOO",
        "tests",
        "all: every network of Larq Zoo is loaded and converted, which takes an hour.",
        "none: a few are loaded",
    ),
    Variable("LARQNETS_CORE_PYTHON", "tests", "A Python that has the core of larqnets alone.", ".venv-core/bin/python"),
    Variable("LARQNETS_PYTHON313", "tests", "A Python 3.13.", "python3.13, if there is one"),
    Variable(
        "LARQNETS_ARM64_PYTHON", "tests", "Folder of a Python for ARM64 that runs under qemu.", "build/arm64-python"
    ),
    Variable(
        "LARQNETS_WRITE_DURATIONS",
        "tests",
        "1: how long every file of tests took is written into tests/durations.json (`make durations`).",
        "none: nothing is written",
    ),
)
