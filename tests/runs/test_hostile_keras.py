"""Keras files that would run something: each payload is live in Keras itself, and none gets that far here.

A payload leaves a mark in the file system. Where `live` says so, one test loads the file with plain Keras, in its safe mode,
and finds the mark; the other loads it here, and finds a sentence that names what is refused, and no mark.
"""

import contextlib
import copy
import io
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larqnets.errors import LarqnetsError
from larqnets.runs.keras_file import load_keras_file

BOTH = (".keras", ".h5")
Config = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What payloads may touch: `mark` is not there, `victim` is a folder, `source` a file, `evil` a module that marks."""

    folder: Path

    @property
    def mark(self) -> Path:
        return self.folder / "mark"

    @property
    def victim(self) -> Path:
        return self.folder / "victim"

    @property
    def source(self) -> Path:
        return self.folder / "source"

    def marked(self) -> bool:
        """Whether something ran."""
        return self.mark.exists() or not self.victim.exists() or not self.source.exists()


@pytest.fixture
def scene(tmp_path, monkeypatch) -> Scene:
    made = Scene(tmp_path)
    made.victim.mkdir()
    made.source.write_text("secret")
    (tmp_path / "evil_layers.py").write_text(
        f"open({str(made.mark)!r}, 'w')\n\ndef hard_tanh(*_, **__):\n    pass\n\nclass SteSign:\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "evil_layers", raising=False)
    yield made
    sys.modules.pop("evil_layers", None)


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> dict[str, Path]:
    """A small network with an inner model, compiled, in both kinds of file."""
    layers = tf.keras.layers
    image = tf.keras.Input((6, 6, 2), name="picture")
    inner = tf.keras.Sequential([tf.keras.Input((6, 6, 2)), layers.Conv2D(3, 3, name="inner_conv")], name="inside")
    x = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", padding="same", name="conv")(inner(image))
    x = lq.layers.QuantConv2D(4, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", name="quant")(x)
    x = layers.TimeDistributed(layers.Dense(3, name="timed_dense"), name="timed")(
        layers.Reshape((4, 4))(x[:, :2, :2] * 2.0)
    )
    model = tf.keras.Model(image, layers.Dense(2, name="dense")(layers.Flatten(name="flat")(x)))
    model.compile("sgd", "mse")
    folder = tmp_path_factory.mktemp("honest")
    files = {suffix: folder / f"honest{suffix}" for suffix in BOTH}
    for path in files.values():
        model.save(path)
    return files


def config_of(path: Path) -> Config:
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"])
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def rewrite(path: Path, config: Config, to: Path, training: Config | None = None) -> Path:
    """Write the file with another config."""
    if path.suffix == ".h5":
        to.write_bytes(path.read_bytes())
        with h5py.File(to, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
            if training is not None:
                file.attrs["training_config"] = json.dumps(training)
        return to
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w") as target:
        for name in source.namelist():
            target.writestr(name, json.dumps(config) if name == "config.json" else source.read(name))
    return to


def layer(config: Config, name: str) -> Config:
    """The config of a layer, wherever it is."""
    found = [entry for entry in config["config"]["layers"] if entry["config"]["name"] == name]
    if not found:
        found = [entry for entry in layer(config, "inside")["layers"] if entry["config"]["name"] == name]
    return found[0]["config"]


def add(whole: Config, kind: str, options: Config, node: Any, module: str | None = "keras.layers", **more: Any) -> None:
    """Add a layer that is called on `node`; without a module as older files have it."""
    entry = {"class_name": kind, "config": {"name": "evil", **options}, "name": "evil", "inbound_nodes": [node]}
    if module is not None and "module" in whole:
        entry |= {"module": module, "registered_name": None}
    whole["config"]["layers"].append(entry | more)


def constant(value: Any, **keywords: Any) -> list[Any]:
    """A node that calls a layer on a constant alone."""
    return ["_CONSTANT_VALUE", -1, value, keywords]


def op(function: str, make_node: Callable[[Scene], Any], kind: str = "TFOpLambda"):
    def change(config: Config, scene: Scene) -> None:
        add(config, kind, {"function": function}, make_node(scene), "tf_keras.src.layers.core.tf_op_layer")

    return change


def method(symbol: str, name: str, make_node: Callable[[Scene], Any]):
    def change(config: Config, scene: Scene) -> None:
        options = {"cls_symbol": symbol, "method_name": name}
        add(config, "ClassMethod", options, make_node(scene), "tf_keras.src.layers.core.tf_op_layer")

    return change


def attribute(name: str, kind: str = "InstanceMethod"):
    def change(config: Config, scene: Scene) -> None:
        node = ["conv", 0, 0, {"args": [], "kwargs": {}}]
        add(config, kind, {"attr_name": name}, node, "tf_keras.src.layers.core.tf_op_layer")

    return change


def called(module: str, function: str, make_node: Callable[[Scene], Any]):
    """A function of a module in the place of a layer; the name of one of Larq's sign functions opens Keras' import."""

    def change(config: Config, scene: Scene) -> None:
        add(config, function, {}, make_node(scene), module, config="SteSign")

    return change


# A class that Larq registers, but of another module: that Keras imports.
EVIL = {"module": "evil_layers", "class_name": "SteSign", "config": {}, "registered_name": None}
EVIL_FUNCTION = {
    "module": "evil_layers",
    "class_name": "function",
    "config": "hard_tanh",
    "registered_name": "anything",
}


def put(name: str, key: str, value: Any):
    """A value in the options of a layer."""

    def change(config: Config, scene: Scene) -> None:
        layer(config, name)[key] = value

    return change


def lambda_function(config: Config, scene: Scene) -> None:
    function = {"module": "os", "class_name": "function", "config": "makedirs", "registered_name": "makedirs"}
    options = {"function": function, "function_type": "function", "module": "os", "arguments": {}}
    options |= {"output_shape": None, "output_shape_type": "raw", "output_shape_module": None}
    add(config, "Lambda", options, constant(str(scene.mark)))


def lambda_code(config: Config, scene: Scene) -> None:
    from tf_keras.src.utils import generic_utils

    code = generic_utils.func_dump(lambda x: x)
    add(config, "Lambda", {"function": list(code), "function_type": "lambda", "module": "builtins"}, constant(1))


def lambda_activation(config: Config, scene: Scene) -> None:
    layer(config, "conv")["activation"] = {"class_name": "__lambda__", "config": {"value": ["", None, None]}}


def evil_model(config: Config, scene: Scene) -> None:
    config |= {"module": "evil_layers", "class_name": "SteSign"}


def evil_inside(config: Config, scene: Scene) -> None:
    layer(config, "inside")["layers"][1] |= {"module": "evil_layers", "class_name": "SteSign"}


def evil_wrapped(config: Config, scene: Scene) -> None:
    layer(config, "timed")["layer"] |= {"module": "evil_layers", "class_name": "SteSign"}


def evil_typespec(config: Config, scene: Scene) -> None:
    spec = {"class_name": "__typespec__", "spec_name": "SteSign", "module": "evil_layers", "config": []}
    options = layer(config, "picture")
    options |= {"type_spec": {**spec, "registered_name": None}, "dtype": None, "sparse": None, "ragged": None}
    options.pop("batch_input_shape")


def evil_qualified(config: Config, scene: Scene) -> None:
    add(config, "SteSign.mro", {}, constant(str(scene.mark)), "evil_layers", config="SteSign")


def mark_of(scene: Scene) -> str:
    return str(scene.mark)


def copied(scene: Scene) -> list[Any]:
    return constant(str(scene.source), dst=mark_of(scene))


def fetched(scene: Scene) -> list[Any]:
    origin = scene.source.as_uri()
    return constant("mark", origin=origin, cache_dir=str(scene.folder), cache_subdir=".")


def class_arguments(value: Callable[[Scene], Any]) -> Callable[[Scene], Any]:
    return lambda scene: [["_CONSTANT_VALUE", -1, value(scene), {"kwargs": {}}]]


def victim_of(scene: Scene) -> str:
    return str(scene.victim)


@dataclass(frozen=True)
class Payload:
    """A change to an honest config, the files in which it can stand, and what the sentence names."""

    change: Callable[[Config, Scene], None]
    named: str
    files: tuple[str, ...] = (".keras",)
    live: tuple[str, ...] = ()  # the files in which Keras itself runs it


PAYLOADS = {
    # functions of TensorFlow, reached by name
    "rmtree": Payload(op("io.gfile.rmtree", lambda s: constant(victim_of(s))), "io.gfile.rmtree", BOTH, BOTH),
    "makedirs": Payload(op("io.gfile.makedirs", lambda s: constant(mark_of(s))), "io.gfile.makedirs", BOTH, BOTH),
    "write_file": Payload(
        op("io.write_file", lambda s: constant(mark_of(s), contents="x")), "io.write_file", BOTH, BOTH
    ),
    "copy": Payload(op("io.gfile.copy", copied), "io.gfile.copy", BOTH, BOTH),
    "rename": Payload(op("io.gfile.rename", copied), "io.gfile.rename", BOTH, BOTH),
    "remove": Payload(op("io.gfile.remove", lambda s: constant(str(s.source))), "io.gfile.remove", BOTH, BOTH),
    "get_file": Payload(op("keras.utils.get_file", fetched), "keras.utils.get_file", BOTH, BOTH),
    "print": Payload(
        op("print", lambda s: constant("x", output_stream=f"file://{s.mark}")), "print of TensorFlow", BOTH, BOTH
    ),
    "writer": Payload(
        op("summary.create_file_writer", lambda s: constant(mark_of(s))), "summary.create_file_writer", BOTH, BOTH
    ),
    "dump": Payload(
        op("debugging.experimental.enable_dump_debug_info", lambda s: constant(mark_of(s))),
        "debugging.experimental.enable_dump_debug_info",
        BOTH,
    ),
    "load_op_library": Payload(op("load_op_library", lambda s: constant("evil.so")), "load_op_library", BOTH),
    "py_function": Payload(op("py_function", lambda s: constant("x", Tout=[])), "py_function", BOTH),
    "numpy_function": Payload(op("numpy_function", lambda s: constant("x", Tout=[])), "numpy_function", BOTH),
    "load_model": Payload(
        op("keras.models.load_model", lambda s: constant("x.keras")), "keras.models.load_model", BOTH
    ),
    "saved_model": Payload(op("saved_model.load", lambda s: constant("folder")), "saved_model.load", BOTH),
    "unsafe": Payload(
        op("keras.__internal__.enable_unsafe_deserialization", lambda s: constant(1)),
        "keras.__internal__.enable_unsafe_deserialization",
        BOTH,
    ),
    "slicing": Payload(
        op("io.gfile.makedirs", lambda s: constant(mark_of(s)), "SlicingOpLambda"), "io.gfile.makedirs", BOTH, BOTH
    ),
    "on a tensor": Payload(
        op("io.gfile.makedirs", lambda s: ["conv", 0, 0, {"path": mark_of(s)}]), "io.gfile.makedirs", BOTH
    ),
    # methods of what TensorFlow exports
    "class method": Payload(
        method("io.gfile.makedirs", "__call__", class_arguments(mark_of)), "ClassMethod", BOTH, BOTH
    ),
    "class method of rmtree": Payload(
        method("io.gfile.rmtree", "__call__", class_arguments(victim_of)), "ClassMethod", BOTH, BOTH
    ),
    "class method of a class": Payload(method("Variable", "from_proto", class_arguments(mark_of)), "ClassMethod", BOTH),
    "instance method": Payload(attribute("__reduce__"), "InstanceMethod", BOTH),
    "instance property": Payload(attribute("_keras_history", "InstanceProperty"), "InstanceProperty", BOTH),
    # functions and classes of any module
    "os.makedirs": Payload(called("os", "makedirs", lambda s: constant(mark_of(s))), "os.makedirs", live=(".keras",)),
    "shutil.rmtree": Payload(
        called("shutil", "rmtree", lambda s: constant(victim_of(s))), "shutil.rmtree", live=(".keras",)
    ),
    "get_file as a layer": Payload(
        called("keras.utils", "get_file", fetched), "keras.utils.get_file", live=(".keras",)
    ),
    "module": Payload(evil_model, "evil_layers.SteSign", live=(".keras",)),
    "module of an inner model": Payload(evil_inside, "evil_layers.SteSign", live=(".keras",)),
    "module of a wrapped layer": Payload(evil_wrapped, "evil_layers.SteSign", BOTH),
    "module of a class in a class": Payload(evil_qualified, "evil_layers.SteSign.mro", live=(".keras",)),
    "module of an activation": Payload(put("conv", "activation", EVIL), "evil_layers.SteSign", BOTH, (".keras",)),
    "function of an activation": Payload(put("conv", "activation", EVIL_FUNCTION), "evil_layers", BOTH),
    "activation by name": Payload(put("conv", "activation", "get_file"), "get_file", BOTH),
    "module of a type": Payload(evil_typespec, "type_spec", live=(".keras",)),
    "module of a dtype": Payload(put("conv", "dtype", EVIL), "evil_layers.SteSign", BOTH),
    "module of a quantizer": Payload(put("quant", "kernel_quantizer", EVIL), "evil_layers.SteSign", BOTH, (".keras",)),
    "function of a quantizer": Payload(put("quant", "input_quantizer", EVIL_FUNCTION), "evil_layers", BOTH),
    "quantizer of a layer without": Payload(put("conv", "kernel_quantizer", EVIL), "kernel_quantizer", BOTH),
    "registered name": Payload(
        lambda c, s: add(c, "Dense", {"units": 1}, ["flat", 0, 0, {}], registered_name="evil>Anything"), "evil>Anything"
    ),
    # code
    "lambda of a function": Payload(lambda_function, "Lambda layer 'evil'", BOTH, (".keras",)),
    "lambda of code": Payload(lambda_code, "Lambda layer 'evil'", BOTH),
    "lambda in an option": Payload(lambda_activation, "code that would run", BOTH),
    # what would hang or eat memory
    "circle": Payload(
        lambda c, s: add(c, "Flatten", {}, [["evil", 0, 0, {}]]), "'evil' on a tensor that no layer makes", BOTH
    ),
    "huge layer": Payload(
        lambda c, s: add(c, "Dense", {"units": 10**11}, [["flat", 0, 0, {}]]), "more weights than are in it", BOTH
    ),
    "huge tensor": Payload(
        lambda c, s: add(c, "RepeatVector", {"n": 10**9}, [["flat", 0, 0, {}]]),
        "numbers a sample in the layer 'evil'",
        BOTH,
    ),
}
CASES = [(name, suffix) for name, payload in PAYLOADS.items() for suffix in payload.files]
LIVE = [(name, suffix) for name, payload in PAYLOADS.items() for suffix in payload.live]


def hostile(honest: dict[str, Path], name: str, suffix: str, scene: Scene) -> Path:
    config = copy.deepcopy(config_of(honest[suffix]))
    PAYLOADS[name].change(config, scene)
    return rewrite(honest[suffix], config, scene.folder / f"hostile{suffix}")


@pytest.mark.parametrize(("name", "suffix"), LIVE, ids=lambda value: value)
def test_the_payload_is_live_in_keras(honest, scene, name, suffix):
    path = hostile(honest, name, suffix, scene)
    with contextlib.suppress(Exception):  # it breaks on what it made of it, afterwards
        tf.keras.models.load_model(path, compile=False, safe_mode=True)
    assert scene.marked()


@pytest.mark.parametrize(("name", "suffix"), CASES, ids=lambda value: value)
def test_nothing_that_a_file_names_runs(honest, scene, name, suffix):
    path = hostile(honest, name, suffix, scene)
    with pytest.raises(LarqnetsError) as refusal:
        load_keras_file(path)
    assert not scene.marked()
    assert "evil_layers" not in sys.modules
    assert PAYLOADS[name].named in str(refusal.value)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


TRAINING_ONLY = {
    "initializer": put("conv", "kernel_initializer", EVIL),
    "function as initializer": put("conv", "kernel_initializer", EVIL_FUNCTION),
    "regularizer": put("conv", "kernel_regularizer", EVIL),
    "regularizer of an inner model": put("inner_conv", "activity_regularizer", EVIL),
    "constraint": put("conv", "kernel_constraint", EVIL),
    "loss": lambda c, s: c.setdefault("compile_config", {}).update(loss=EVIL),
    "metrics": lambda c, s: c.setdefault("compile_config", {}).update(metrics=[EVIL_FUNCTION]),
    "optimizer": lambda c, s: c.setdefault("compile_config", {}).update(optimizer=EVIL),
}


@pytest.mark.parametrize("suffix", BOTH)
@pytest.mark.parametrize("name", TRAINING_ONLY)
def test_what_only_training_needs_is_never_looked_up(honest, scene, name, suffix):
    config = config_of(honest[suffix])
    TRAINING_ONLY[name](config, scene)
    path = rewrite(
        honest[suffix], config, scene.folder / f"hostile{suffix}", training={"loss": EVIL, "metrics": [EVIL]}
    )
    x = tf.random.normal((2, 6, 6, 2))
    assert (load_keras_file(path)(x) == tf.keras.models.load_model(honest[suffix])(x)).numpy().all()
    assert not scene.marked()
    assert "evil_layers" not in sys.modules


@pytest.mark.parametrize("suffix", BOTH)
@pytest.mark.parametrize("entry", [{**EVIL, "module": "os"}, {"class_name": "__lambda__", "config": {"value": "x"}}])
@pytest.mark.parametrize("name", TRAINING_ONLY)
def test_code_and_the_standard_library_are_refused_there_too(honest, scene, name, suffix, entry):
    config = config_of(honest[suffix])
    TRAINING_ONLY[name](config, scene)
    text = (
        json.dumps(config)
        .replace(json.dumps(EVIL), json.dumps(entry))
        .replace(json.dumps(EVIL_FUNCTION), json.dumps(entry))
    )
    path = rewrite(honest[suffix], json.loads(text), scene.folder / f"hostile{suffix}")
    with pytest.raises(LarqnetsError, match=r"names os\.SteSign|code that would run"):
        load_keras_file(path)


def zipped(path: Path, to: Path, **members: Any) -> Path:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        for name, content in members.items():
            target.writestr(name, content)
    return to


def test_zips_that_keras_does_not_write_are_refused(honest, tmp_path):
    good = honest[".keras"]
    bad = tmp_path / "bad.keras"
    with pytest.raises(LarqnetsError, match=r"holds 'assets/vocabulary.txt', which is no part"):
        load_keras_file(zipped(good, bad, **{"assets/vocabulary.txt": "x"}))
    with pytest.raises(LarqnetsError, match=r"holds '../../x', which is no part"):
        load_keras_file(zipped(good, bad, **{"../../x": "x"}))
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(good, bad, **{"config.json": "{}"})
    with pytest.raises(LarqnetsError, match=r"holds 'config.json' twice"):
        load_keras_file(bad)
    for name in ("config.json", "metadata.json", "model.weights.h5"):
        with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
            for other in source.namelist():
                info = zipfile.ZipInfo(other)
                info.external_attr = (0o120777 if other == name else 0o100644) << 16
                target.writestr(info, source.read(other))
        with pytest.raises(LarqnetsError, match=f"holds '{name}' as a link"):
            load_keras_file(bad)
        with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
            for other in source.namelist():
                if other != name:
                    target.writestr(other, source.read(other))
        with pytest.raises(LarqnetsError, match=f"lacks '{name}'"):
            load_keras_file(bad)


@pytest.mark.parametrize(("name", "size"), [("config.json", 17 << 20), ("model.weights.h5", 257 << 20)])
def test_zip_bombs_are_refused_before_they_unpack(honest, tmp_path, name, size):
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(honest[".keras"]) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as target:
        for other in source.namelist():
            if other == name:
                with target.open(other, "w") as file:
                    for _ in range(size >> 20):
                        file.write(bytes(1 << 20))
            else:
                target.writestr(other, source.read(other))
    with pytest.raises(LarqnetsError, match=f"unpacks '{name}' to more than"):
        load_keras_file(bomb)


def test_hdf5_that_keras_does_not_write_is_refused(honest, tmp_path):
    (tmp_path / "other.bin").write_bytes(bytes(4 * 3 * 3 * 3 * 4))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = [1.0]
    layout = h5py.VirtualLayout((1,), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (1,))

    changes = {
        "link to elsewhere": lambda f: f.__setitem__("model_weights/x", h5py.ExternalLink("other.h5", "/x")),
        "link to elsewhere ": lambda f: f.__setitem__("model_weights/x", h5py.SoftLink("/model_weights")),
        "from another file": lambda f: f.create_dataset(
            "model_weights/x", (108,), "f4", external=[(str(tmp_path / "other.bin"), 0, 432)]
        ),
        "from another file ": lambda f: f.create_virtual_dataset("model_weights/x", layout),
        "in circles": lambda f: f.__setitem__("model_weights/x", f["model_weights"]),
        "absurdly large": lambda f: f.create_dataset("model_weights/x", (1 << 40,), "f4", chunks=(1024,)),
        "absurdly large ": lambda f: f.create_dataset("model_weights/x", (1 << 27,), "f4", compression="gzip"),
        "other than numbers": lambda f: f.create_dataset("model_weights/x", data=["text"]),
        "other than numbers ": lambda f: f.__setitem__("model_weights/x", np.dtype("i4")),
        "foreign filter": lambda f: f.create_dataset("model_weights/x", data=[1.0] * 64, compression="lzf"),
    }
    for named, change in changes.items():
        bad = tmp_path / "bad.h5"
        bad.write_bytes(honest[".h5"].read_bytes())
        with h5py.File(bad, "r+") as file:
            change(file)
        with pytest.raises(LarqnetsError, match=named.strip()):
            load_keras_file(bad)

        with h5py.File(honest[".h5"]) as file:
            weights = io.BytesIO()
            with h5py.File(weights, "w") as inner:
                file.copy("model_weights", inner)
                change(inner)
        packed = tmp_path / "bad.keras"
        with zipfile.ZipFile(honest[".keras"]) as source, zipfile.ZipFile(packed, "w") as target:
            for name in ("metadata.json", "config.json"):
                target.writestr(name, source.read(name))
            target.writestr("model.weights.h5", weights.getvalue())
        with pytest.raises(LarqnetsError, match=named.strip()):
            load_keras_file(packed)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[" * 100_000, "cannot be loaded as a Keras 2 model"),
        ('{"a":' * 200 + "1" + "}" * 200, "deeper than 128 levels"),
        ('{"class_name": "Functional", "class_name": "Sequential"}', "says one thing twice"),
        ("[]", "no JSON object"),
        ('{"class_name": "Dense", "config": {"units": 1' + "0" * 5000 + "}}", "cannot be loaded as a Keras 2 model"),
        ('{"class_name": "Dense", "config": {"units": 1}}', "holds a layer and no network"),
        ('{"class_name": "Dense\\u202e\\u001b[2J", "config": {}}', r"Dense\\u202e\\x1b"),
        ('{"class_name": "Sequential", "config": {"layers": []}}', "does not say how large its images are"),
        ('{"class_name": "Functional", "config": {}}', "a network without layers"),
        ('{"class_name": ["x"], "config": {}}', "something else where a layer should stand"),
    ],
)
def test_configs_that_are_none_are_refused(honest, tmp_path, text, named):
    bad = tmp_path / "bad.keras"
    with zipfile.ZipFile(honest[".keras"]) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            target.writestr(name, text if name == "config.json" else source.read(name))
    with pytest.raises(LarqnetsError, match=named) as refusal:
        load_keras_file(bad)
    assert str(refusal.value).isprintable()
