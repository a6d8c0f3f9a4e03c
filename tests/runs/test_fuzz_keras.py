"""Mutated Keras files are loaded or refused in a sentence: nothing else is raised, nothing runs, nothing is written.

LARQNETS_FUZZ_SECONDS says how long, 5 by default. What it finds becomes a case of test_hostile_keras.py.
"""

import copy
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from test_hostile_keras import BOTH, EVIL, EVIL_FUNCTION, config_of, honest, rewrite, scene  # noqa: F401 - fixtures

from larqnets.errors import LarqnetsError
from larqnets.runs.keras_file import load_keras_file

SECONDS = float(os.environ.get("LARQNETS_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("LARQNETS_FUZZ_SEED", "0"))
# What Python reports when a file is changed, a program started or a connection made.
DEEDS = {
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.connect",
    "os.mkdir",
    "os.remove",
    "os.rename",
}
watched: dict[str, Any] = {"on": False, "seen": []}


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if watched["on"] and (event in DEEDS or (event == "import" and str(arguments[0]).startswith("evil"))):
        watched["seen"].append((event, arguments))


sys.addaudithook(watch)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a nest."""
    found = []
    open_ones = [value]
    while open_ones:
        here = open_ones.pop()
        for key, child in here.items() if isinstance(here, dict) else enumerate(here):
            found.append((here, key))
            if isinstance(child, (dict, list)):
                open_ones.append(child)
    return found


def mutate(config: Any, rng: random.Random, words: list[Any]) -> None:
    for _ in range(rng.randint(1, 4)):
        spots = places(config)
        here, key = rng.choice(spots)
        kind = rng.randrange(6)
        if kind == 0:
            del here[key]
        elif kind == 1:
            there, other = rng.choice(spots)
            here[key] = copy.deepcopy(there[other])
        elif kind == 2 and isinstance(here, list):
            here.insert(key, copy.deepcopy(rng.choice(words)))
        elif kind == 3 and isinstance(here, dict):
            here[rng.choice([word for word in words if isinstance(word, str)])] = here.pop(key)
        else:
            here[key] = copy.deepcopy(rng.choice(words))


@pytest.mark.parametrize("suffix", BOTH)
def test_mutated_configs(honest, scene, suffix):  # noqa: F811
    rng = random.Random(SEED)
    mark, victim = str(scene.mark), str(scene.victim)
    words = [
        *(
            None,
            True,
            -1,
            0,
            1,
            2,
            3.5,
            10**6,
            2**63,
            -(2**70),
            float("inf"),
            float("nan"),
            "",
            "x" * 1000,
            [],
            {},
            [[]],
        ),
        *(
            "os",
            "system",
            "evil_layers",
            "SteSign",
            "Lambda",
            "function",
            "TFOpLambda",
            "ClassMethod",
            "io.gfile.makedirs",
        ),
        *(
            "io.gfile.rmtree",
            "keras.utils.get_file",
            "class_name",
            "config",
            "module",
            "registered_name",
            "function_type",
        ),
        *(
            "name",
            "layers",
            "inbound_nodes",
            "shared_object_id",
            "items",
            "Functional",
            "Sequential",
            "TimeDistributed",
        ),
        *(
            "QuantConv2D",
            "larqnets>RPReLU",
            "larqnets",
            "keras.layers",
            "tensorflow",
            "math.add",
            "split",
            "\x1b[2J\u202e",
        ),
        *(
            mark,
            victim,
            EVIL,
            EVIL_FUNCTION,
            ["conv", 0, 0, {}],
            ["_CONSTANT_VALUE", -1, mark, {}],
            {"class_name": "x"},
        ),
        *(
            {"class_name": "__tuple__", "items": [1]},
            {"class_name": "__numpy__", "config": {"value": [1], "dtype": "int8"}},
        ),
    ]
    original = config_of(honest[suffix])
    path = scene.folder / f"mutant{suffix}"
    loaded = refused = 0
    end = time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        config = copy.deepcopy(original)
        mutate(config, rng, words)
        rewrite(honest[suffix], config, path)
        sentence = ""
        watched["on"] = True
        try:
            load_keras_file(path)
            loaded += 1
        except LarqnetsError as error:
            refused += 1
            sentence = str(error)
        finally:
            watched["on"] = False
            tf.keras.backend.clear_session()
        assert sentence.isprintable(), config
        assert not scene.marked(), config
        assert watched["seen"] == [], config
    assert refused > 0
    print(f"{loaded} loaded, {refused} refused, seed {SEED}")


def test_torn_files(honest, scene):  # noqa: F811
    """Flipped, cut and doubled bytes of both kinds of file, a process of its own for what HDF5's library makes of them."""
    folder = Path(__file__).parent
    code = (
        "import random, sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import larqnets; larqnets.require_keras_2()\n"
        "from larqnets.errors import LarqnetsError; from larqnets.runs.keras_file import load_keras_file\n"
        "rng, end, count = random.Random(int(sys.argv[3])), time.monotonic() + float(sys.argv[2]), 0\n"
        "while time.monotonic() < end:\n"
        "    source = Path(rng.choice(sys.argv[4:])); data = bytearray(source.read_bytes())\n"
        "    for _ in range(rng.randint(1, 20)):\n"
        "        i = rng.randrange(len(data)); data[i] = rng.choice((0, 255, data[i] ^ 1 << rng.randrange(8)))\n"
        "    if rng.random() < 0.2: del data[rng.randrange(len(data)):]\n"
        "    path = source.with_name('torn' + source.suffix); path.write_bytes(data)\n"
        "    try: load_keras_file(path)\n"
        "    except LarqnetsError: pass\n"
        "    count += 1; print(count, flush=True)\n"
    )
    arguments = [str(folder), str(SECONDS / 4), str(SEED), *map(str, honest.values())]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
