"""Ordinary ops on ARM64 against TensorFlow Lite's reference kernels: a selection; `python -m deploy.proof.op_sweep` has all."""

import numpy as np
import pytest
import tensorflow as tf

from android_bench.emulation.qemu import QemuModel, run_runner
from deploy.proof import op_sweep
from deploy.proof.op_cases import Case, families
from larqnets.cli.tables import models
from larqnets.reporter import SILENT
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.reading import read_model
from larqnets.tflite.xnnpack import kept_out

layers = tf.keras.layers


def same(kind, size, *arguments, **options):
    layer = kind(*arguments, padding="same", bias_initializer="normal", **options)
    return Case(f"{kind.__name__} {size} {arguments} {options}", ((*size, 4),), layer)


# As strangers' files have them: what our exporter writes otherwise, and its neighbours.
MISREAD = [
    same(layers.Conv2D, (32, 32), 5, 3, strides=4),
    same(layers.Conv2D, (9, 9), 5, 2, strides=3),
    same(layers.Conv2D, (8, 8), 5, 3, strides=(3, 4)),
    same(layers.Conv2D, (12, 16), 5, 3, strides=(3, 4)),
    same(layers.Conv2D, (8, 8), 5, (1, 3), strides=2),
    same(layers.Conv2D, (8, 8), 5, (3, 1), strides=(2, 3)),
    same(layers.DepthwiseConv2D, (32, 32), 3, strides=4),
    same(layers.DepthwiseConv2D, (9, 9), 2, strides=3, depth_multiplier=2),
    same(layers.DepthwiseConv2D, (8, 8), (1, 3), strides=2),
]
RIGHT = [
    same(layers.Conv2D, (8, 8), 5, 1, strides=2),
    same(layers.Conv2D, (8, 8), 5, 3, strides=2),
    same(layers.Conv2D, (8, 8), 5, 2, strides=2),
    same(layers.Conv2D, (1, 1), 5, 3, strides=4),
    same(layers.Conv2D, (9, 7), 5, 3, dilation_rate=2),
    same(layers.DepthwiseConv2D, (8, 8), 1, strides=2),
]
SELECTION = [*MISREAD, *RIGHT, *(case for cases in families().values() for case in cases[:: max(1, len(cases) // 5)])]


@pytest.mark.parametrize("quantised", [False, True], ids=["float32", "int8"])
def test_a_selection_computes_what_the_reference_kernels_compute(bundle, quantised):
    assert op_sweep.sweep(SELECTION, quantised=quantised, bundle=bundle) == []


def test_a_wrong_kernel_is_found(bundle, monkeypatch):
    right = QemuModel.predict

    def wrong(self, inputs, reporter=SILENT):
        first, *rest = right(self, inputs, reporter)
        return [np.zeros_like(first), *rest]

    monkeypatch.setattr(QemuModel, "predict", wrong)
    (find,) = op_sweep.sweep(RIGHT[:2], quantised=False, bundle=bundle)
    assert find.case in {case.name for case in RIGHT[:2]}
    assert find.difference == 1


@pytest.mark.parametrize("quantised", [False, True], ids=["float32", "int8"])
def test_the_runtime_keeps_out_of_xnnpack_what_inspect_names(bundle, tmp_path, quantised):
    content, _ = op_sweep.write([*MISREAD, *RIGHT], quantised=quantised)
    model = read_model(content)
    (tmp_path / "model.tflite").write_bytes(content)
    arguments = ["--model", "model.tflite", "--profile", "1", "--warmup-runs", "0", "--warmup-ms", "0"]
    report = run_runner(bundle, arguments, "the test graph", folder=tmp_path)
    own = {step.op for step in report.profile if not step.in_delegate and "CONV_2D" in step.name}
    assert own == {op.index for op in kept_out(model)}
    assert len(own) == len(MISREAD)
    inspection = inspect_model(content)
    assert {op.index for op in inspection.ops if op.kept_out} == own
    assert "our runtime keeps it out of XNNPACK" in str(models.inspection(inspection).renderables[-1])


MATMULS = {
    "rank 3": ((3, 4), (4, 5), False),
    "rank 4": ((2, 3, 4), (2, 4, 5), False),
    "second transposed": ((2, 3, 4), (2, 5, 4), True),
}


@pytest.mark.parametrize("name", MATMULS)
def test_products_of_int8_matrices_are_right_and_named(bundle, name):
    """XNNPACK is wrong by up to a hundred steps here; float32 products it computes itself."""
    first, second, transposed = MATMULS[name]
    case = Case(name, (first, second), lambda a, b: tf.matmul(a, b, transpose_b=transposed))
    assert op_sweep.sweep([case], quantised=True, bundle=bundle) == []
    content, _ = op_sweep.write([case], quantised=True)
    (product,) = [op for op in inspect_model(content).ops if op.op == "BATCH_MATMUL"]
    assert product.kept_out
    assert "all others of its graph" in str(models.inspection(inspect_model(content)).renderables[-1])
    assert kept_out(read_model(op_sweep.write([case], quantised=False)[0])) == []
