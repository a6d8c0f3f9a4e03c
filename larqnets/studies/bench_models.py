"""`make bench-kernels`, first half: write the models whose instructions are counted, and an index of them.

Single convolutions as every converter makes them, binary, float and int8 side by side, int8 stems with XNNPACK's op and with
ours, a whole ResNet-18 with its twins and with an int8 rest, and further binary networks. Weights and images are random: what an
ARM64 core executes does not depend on them, but for class sums, which other weights move by 0.2 %. For `make bench-groupnet` the
same of Group-Net with several numbers of branches, for `make bench-stems` of first convolutions in both forms.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import larq as lq
import numpy as np
import tensorflow as tf

from android_bench.emulation.instructions import SQUARES
from deploy.convert.convert import convert
from deploy.convert.int8_rest import int8_rest
from deploy.export.converters import run_converter
from deploy.export.model import export_model
from deploy.export.own_stem import with_own_stem
from deploy.export.stem_table import Shape
from deploy.proof.samples import Samples
from deploy.targets import Int8Request, Stem
from larqnets.backbones import StemKind, get_backbone
from larqnets.data.info import IMAGE
from larqnets.files import write_atomically
from larqnets.models import create_model
from larqnets.published.zoo import build_zoo
from larqnets.reporter import SILENT, Reporter
from larqnets.terminal import captured_stderr
from larqnets.tflite.inspect import inspect_model


@dataclass(frozen=True)
class Convolution:
    """A square convolution on one image (size, size, channels), SAME padding, float output."""

    size: int
    channels: int
    filters: int
    window: int = 3
    stride: int = 1
    pad_value: int = 1

    def __str__(self) -> str:
        text = f"{self.window}x{self.window} {self.size}x{self.size}x{self.channels}"
        text += f" to {self.filters}" if self.filters != self.channels else ""
        text += f" stride {self.stride}" if self.stride > 1 else ""
        return f"{text} zero padding" if self.pad_value == 0 else text


COMPARED = tuple(Convolution(size, c, c) for size, c in SQUARES)
BINARY_ONLY = (
    *(Convolution(c.size, c.channels, c.filters, pad_value=0) for c in COMPARED),
    Convolution(28, 256, 256, window=1),
    Convolution(28, 128, 256, stride=2),
    Convolution(56, 32, 32),
    Convolution(28, 96, 96),
)
INT8_STEMS = (
    Convolution(112, 3, 64, window=7, stride=2),
    Convolution(112, 3, 64, window=3, stride=2),
    Convolution(227, 3, 96, window=11, stride=4),
)
# Backbone, image, classes, stem; where the stem is rewritten, each also with the stem as it was trained.
NETWORKS: tuple[tuple[str, tuple[int, int, int], int, StemKind], ...] = (
    ("resnet18", (112, 112, 3), 1000, "imagenet"),
    ("resnet18", (224, 224, 3), 1000, "imagenet"),
)
NETWORK_FORMS: dict[Stem, str] = {"cheaper": "", "as-trained": ", stem as trained"}  # and what follows the name

GROUPNET = ("resnet20", 2.0, (32, 32, 3), 10)  # backbone, width (32, 64, 128 filters), image, classes
BRANCHES = (1, 3, 5, 8)


STEMS = ((3, 2), (5, 2), (7, 2), (11, 4))  # kernel, stride
STEM_CHANNELS = (1, 3)
STEM_FILTERS = (16, 32, 64)
STEM_FORMS: dict[str, Stem] = {"as_trained": "as-trained", "rewritten": "rewritten"}
STEM_SIZE = 112  # of the images; a pixel less where the zeros around them are counted


@dataclass(frozen=True)
class BenchModel:
    """A file of the index.

    `kind`: bconv, fp32, int8, own_int8 (one convolution) or network_binary, network_mixed_own_stem (its int8 rest), network_float,
    network_int8.
    """

    file: str
    kind: str
    shape: str
    macs: int


def write_models(folder: Path, reporter: Reporter = SILENT) -> list[BenchModel]:
    """Write every model and `models.json` into `folder`; `reporter` is told each file's name."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for number, (kind, shape, content) in enumerate(_models()):
        totals = inspect_model(content).totals
        macs = sum(totals[kind_of_op]["macs"] for kind_of_op in ("binary", "int8", "float"))
        index.append(BenchModel(f"{number:02}_{kind}.tflite", kind, shape, macs))
        write_atomically(folder / index[-1].file, content)
        reporter.stage(f"writing {index[-1].file}")
    write_atomically(folder / "models.json", json.dumps([asdict(model) for model in index], indent=2) + "\n")
    return index


def write_groupnets(folder: Path, reporter: Reporter = SILENT) -> None:
    """Write Group-Net with each number of BRANCHES, its head alone, and `groupnets.json`, into `folder`.

    The head (pooling and classifier) is the same for all of them. `reporter` is told each file's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tf.keras.utils.set_random_seed(0)
    files = {}
    model = None
    for k in BRANCHES:
        files[k] = f"groupnet_k{k}.tflite"
        reporter.stage(f"writing {files[k]}")
        model = _groupnet(k)
        write_atomically(folder / files[k], run_converter(export_model(model).model).content)
    assert model is not None  # BRANCHES are some
    pool = model.get_layer("head_pool")
    features = tf.keras.Input(pool.input_shape[1:], batch_size=1)
    head = tf.keras.Model(features, tf.keras.layers.Dense(model.output_shape[-1])(type(pool)()(features)))
    write_atomically(folder / "groupnet_head.tflite", _stock(head, int8=False))
    backbone, width, image, classes = GROUPNET
    filters = get_backbone(backbone, width=width).stages
    widths = ", ".join(str(stage[-1].units[-1].filters) for stage in filters)
    network = f"groupnet on {backbone}, {widths} filters, images {'x'.join(map(str, image))}, {classes} classes"
    index = {"network": network, "files": files, "head": "groupnet_head.tflite"}
    write_atomically(folder / "groupnets.json", json.dumps(index, indent=2) + "\n")


def write_stems(folder: Path, reporter: Reporter = SILENT) -> None:
    """Write every stem of STEMS in both forms, as float and as int8, and `stems.json`, into `folder`.

    `reporter` is told each shape.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tf.keras.utils.set_random_seed(0)
    index = []
    for (kernel, stride), channels, filters, padded in product(STEMS, STEM_CHANNELS, STEM_FILTERS, (False, True)):
        shape = Shape(kernel, stride, channels, filters, padded)
        reporter.stage(f"writing {shape}")
        size = STEM_SIZE - padded
        image = tf.keras.Input((size, size, channels))
        stem = tf.keras.layers.Conv2D(filters, kernel, stride, padding="same", activation="relu", name="stem")
        model = tf.keras.Model(image, stem(image))
        forms = {form: export_model(model, stem=asked).model for form, asked in STEM_FORMS.items()}
        for numbers in ("float", "int8"):
            row = {**asdict(shape), "numbers": numbers}
            for form, exported in forms.items():
                row[form] = f"stem_{len(index):03}_{form}.tflite"
                write_atomically(folder / row[form], _stock(exported, int8=numbers == "int8"))
            index.append(row)
    write_atomically(folder / "stems.json", json.dumps(index, indent=2) + "\n")


def _groupnet(k: int) -> tf.keras.Model:
    backbone, width, image, classes = GROUPNET
    return create_model("groupnet", backbone, image, classes, width=width, k=k)


def single_bconv(shape: Convolution) -> bytes:
    """Return a file of one 1-bit convolution with random weights."""
    return run_converter(_convolution(shape, binary=True)).content


def _models() -> Iterator[tuple[str, str, bytes]]:
    tf.keras.utils.set_random_seed(0)
    for shape in (*COMPARED, *BINARY_ONLY):
        yield "bconv", str(shape), single_bconv(shape)
        if shape in COMPARED:
            yield "fp32", str(shape), _stock(_convolution(shape, binary=False), int8=False)
            yield "int8", str(shape), _stock(_convolution(shape, binary=False), int8=True)
    for shape in INT8_STEMS:
        stem_file = _stock(_convolution(shape, binary=False, activation="relu"), int8=True)
        yield "int8", str(shape), stem_file
        yield "own_int8", str(shape), with_own_stem(stem_file)
    for backbone, image, classes, stem in NETWORKS:
        name = f"{backbone} {'x'.join(map(str, image))}"
        binary, twin = (seen(create_model(m, backbone, image, classes, stem=stem)) for m in ("birealnet", "real"))
        for asked, words in NETWORK_FORMS.items():
            exported, real = (export_model(model, stem=asked) for model in (binary, twin))
            if words and exported.stem is None:
                continue  # there is one form only
            yield "network_binary", f"{name}{words}", run_converter(exported.model).content
            if not words:
                yield "network_mixed_own_stem", name, _in_int8(binary)
            yield "network_float", f"{name}{words}", _stock(real.model, int8=False)
            yield "network_int8", f"{name}{words}", _stock(real.model, int8=True)
    for name, body in _bodies():
        yield "network_binary", name, run_converter(export_model(seen(body)).model).content


def _bodies() -> Iterator[tuple[str, tf.keras.Model]]:
    """Give further binary networks by name."""
    yield "reactnet_a 224x224x3", create_model("reactnet", "reactnet_a", (224, 224, 3), 1000, stem="imagenet")
    yield "groupnet K=5 on resnet20 32x32x3", _groupnet(5)
    yield "quicknet 224x224x3", build_zoo("zoo:quicknet", input_shape=(224, 224, 3), weights=None, num_classes=1000)


def _in_int8(model: tf.keras.Model) -> bytes:
    """Convert with the int8 rest that takes the fewest instructions: convolutions and classifier, the stem in our op."""
    images = np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype(np.float32)
    samples = Samples(images, real=False)
    main = convert(model, samples, stem="as-trained")
    request = Int8Request("mixed", images=4)
    made = int8_rest(main, request, samples, lambda n: {IMAGE: images[:n]}, counted=False, runtime_ops="larqnets")
    return made.content


def _convolution(c: Convolution, *, binary: bool, activation: str | None = None) -> tf.keras.Model:
    image = tf.keras.layers.Input((c.size, c.size, c.channels), batch_size=1)
    if not binary:
        x = tf.keras.layers.Conv2D(c.filters, c.window, c.stride, padding="same", activation=activation)(image)
        return tf.keras.Model(image, x)
    options = {"padding": "same", "pad_values": c.pad_value, "use_bias": False}
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    x = lq.layers.QuantConv2D(c.filters, c.window, c.stride, **signs, **options)(image)
    return tf.keras.Model(image, tf.keras.layers.BatchNormalization()(x))


def seen(model: tf.keras.Model) -> tf.keras.Model:
    """Return the network after its BatchNorm has seen images: int8 ranges must not be absurd."""
    for _ in range(10):
        model(np.random.default_rng(0).normal(size=(4, *model.input_shape[1:])).astype(np.float32), training=True)
    return model


def _stock(model: tf.keras.Model, *, int8: bool) -> bytes:
    """Convert with stock TFLite; int8 means weights, activations, input and output."""
    rng = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if int8:
        images = rng.normal(size=(4, 1, *model.input_shape[1:])).astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with captured_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")  # asked in vain
        return converter.convert()
