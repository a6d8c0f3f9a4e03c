"""The inspection of real files against numbers worked out by hand, and its tables against hostile names."""

import io
import json
import subprocess
import sys
from copy import copy

import numpy as np
import pytest
import tiny_models
from rich.console import Console
from tensorflow.lite.python import schema_py_generated as schema

from deploy.export import edit
from larqnets.cli.tables import models
from larqnets.errors import LarqnetsError
from larqnets.tflite.inspect import KINDS, Inspection, inspect_model
from larqnets.tflite.reading import read_model


def shown(inspection: Inspection, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(models.inspection(inspection))
    return console.file.getvalue()


def rows(content: bytes) -> list[tuple]:
    return [(op.op, op.kind, op.macs, op.bytes) for op in inspect_model(content).ops]


def test_binary_file():
    """Words are 4 bytes, a multiplier and a bias take 8 per filter, a threshold 4."""
    assert rows(tiny_models.binary_tflite()) == [
        ("CONV_2D", "float", 8 * 8 * 40 * 9 * 3, 4 * (40 * 9 * 3 + 40)),
        ("LceQuantize", "glue", 0, 0),
        ("LceBconv2d", "binary", 8 * 8 * 40 * 9 * 40, 4 * 40 * 9 * 2 + 8 * 40),
        ("ADD", "glue", 0, 0),
        ("LceQuantize", "glue", 0, 0),
        ("LceBconv2d", "binary", 8 * 8 * 40 * 9 * 40, 4 * 40 * 9 * 2 + 4 * 40),
        ("LceBMaxPool2d", "glue", 0, 0),
        ("LceBconv2d", "binary", 2 * 2 * 64 * 9 * 40, 4 * 64 * 9 * 2 + 4 * 64),
        ("LceBconv2d", "binary", 2 * 2 * 33 * 64, 4 * 33 * 2 + 8 * 33),
        ("MEAN", "glue", 0, 8),
        ("FULLY_CONNECTED", "float", 33 * 10, 4 * (33 * 10 + 10)),
    ]
    inspection = inspect_model(tiny_models.binary_tflite())
    assert [op.index for op in inspection.ops] == list(range(11))
    # The quantizer's number counts what this process built before.
    layers = [op.layer.rstrip("0123456789") for op in inspection.ops]
    assert layers[::3] == ["stem_norm", "add", "chain_2/ste_sign_", "global_pool"]
    assert inspection.ops[5].input_shapes == ((1, 8, 8, 2), (40, 3, 3, 2), (40,))
    assert inspection.ops[5].output_shapes == ((1, 8, 8, 2),)


# (op, MACs, weights, biases); the transposed convolution's convention is in `inspect_model`.
REAL_OPS = [
    ("CONV_2D", 4 * 4 * 8 * 9 * 3, 8 * 9 * 3, 8),
    ("DEPTHWISE_CONV_2D", 4 * 4 * 16 * 9, 9 * 16, 16),
    ("CONV_2D", 4 * 4 * 16 * 9 * 16, 16 * 9 * 16, 16),
    ("TRANSPOSE_CONV", 8 * 8 * 4 * 4 * 16, 4 * 4 * 16, 4),
    ("FULLY_CONNECTED", 64 * 5, 64 * 5, 5),
]


@pytest.mark.parametrize(
    ("content", "kind", "weight_bytes"), [(tiny_models.float_tflite, "float", 4), (tiny_models.int8_tflite, "int8", 1)]
)
def test_real_files(content, kind: str, weight_bytes: int):
    found = [(op.op, op.macs, op.bytes) for op in inspect_model(content()).ops if op.kind == kind]
    # The transposed convolution also reads its output shape, four int32.
    expected = [(op, m, w * weight_bytes + 4 * b + 16 * (op == "TRANSPOSE_CONV")) for op, m, w, b in REAL_OPS]
    assert found == expected
    assert {op.kind for op in inspect_model(content()).ops} == {kind, "glue"}


def test_int8_weights_with_float_activations_are_int8():
    assert [row[:3] for row in rows(tiny_models.dynamic_range_tflite()) if row[1] != "glue"] == [
        ("CONV_2D", "int8", 6 * 6 * 64 * 9 * 3),
        ("FULLY_CONNECTED", "int8", 6 * 6 * 64 * 10),
    ]


@pytest.mark.parametrize(
    "content",
    [
        tiny_models.binary_tflite,
        tiny_models.float_tflite,
        tiny_models.dynamic_range_tflite,
        tiny_models.int8_tflite,
    ],
)
def test_totals_add_up(content):
    inspection, model = inspect_model(content()), read_model(content())
    totals = inspection.totals
    for kind in KINDS:
        mine = [op for op in inspection.ops if op.kind == kind]
        assert totals[kind] == {
            "ops": len(mine),
            "macs": sum(o.macs for o in mine),
            "bytes": sum(o.bytes for o in mine),
        }
    data = [tensor.data(model) for tensor in model.subgraphs[0].tensors]
    assert totals["constant_bytes"] == sum(array.nbytes for array in data if array is not None)
    assert totals["constant_bytes"] == sum(totals[kind]["bytes"] for kind in KINDS)
    assert totals["file_bytes"] == len(content())
    assert totals["overhead_bytes"] == totals["file_bytes"] - totals["constant_bytes"]
    macs = sum(totals[kind]["macs"] for kind in KINDS)
    assert totals["binary_mac_share"] == totals["binary"]["macs"] / macs


def test_inputs_and_outputs():
    inspection = inspect_model(tiny_models.int8_tflite())
    (image,), (logits,) = inspection.inputs, inspection.outputs
    assert (image["name"], image["shape"], image["dtype"]) == ("serving_default_image:0", (1, 8, 8, 3), "int8")
    assert len(image["quantization"]["scales"]) == 1
    assert logits["shape"] == (1, 5)
    assert inspect_model(tiny_models.float_tflite()).inputs[0]["quantization"] is None


def test_metadata_names_the_layers():
    content = edit.add_metadata(tiny_models.binary_tflite(), {"layers": {"2": "residual", "5": 7}, "run": "x"})
    inspection = inspect_model(content)
    assert inspection.metadata == {"layers": {"2": "residual", "5": 7}, "run": "x"}
    assert inspection.ops[2].layer == "residual"
    assert inspection.ops[5].layer.startswith("chain_2/ste_sign_")
    assert json.loads(json.dumps(inspection.to_json(), allow_nan=False))["ops"][2]["layer"] == "residual"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[1]",
        b"NaN",
        b'{"a": NaN}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"9" * 9999,
    ],
)
def test_metadata_that_is_no_json_object(raw: bytes):
    """Then the sizes of all entries are shown, and nothing fails."""

    def change(model: schema.ModelT) -> None:
        model.buffers[model.metadata[-1].buffer].data = np.frombuffer(raw, np.uint8)

    model = edit.unpack(edit.add_metadata(tiny_models.binary_tflite(), {"layers": []}))
    change(model)
    inspection = inspect_model(edit.pack(model))
    assert inspection.metadata == {"min_runtime_version": 16, "larqnets": len(raw)}
    json.dumps(inspection.to_json(), allow_nan=False)


def test_layers_of_a_wrong_type_are_ignored():
    inspection = inspect_model(edit.add_metadata(tiny_models.binary_tflite(), {"layers": ["residual"]}))
    assert inspection.ops[0].layer == "stem_norm"


def test_a_shared_constant_counts_once_and_further_subgraphs_follow():
    def change(model: schema.ModelT) -> None:
        twin = edit.unpack(tiny_models.float_tflite()).subgraphs[0]
        model.subgraphs.append(twin)

    model = edit.unpack(tiny_models.float_tflite())
    change(model)
    once, twice = inspect_model(tiny_models.float_tflite()), inspect_model(edit.pack(model))
    assert [op.index for op in twice.ops] == list(range(2 * len(once.ops)))
    assert [op.bytes for op in twice.ops] == [op.bytes for op in once.ops] + [0] * len(once.ops)
    assert twice.totals["float"]["macs"] == 2 * once.totals["float"]["macs"]
    assert twice.totals["constant_bytes"] == once.totals["constant_bytes"]


def test_grouped_binary_convolution():
    """Two groups: 64 channels in, filters of 32; the op sees half of the channels."""

    def change(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        last = graph.operators[8]
        kernel = graph.tensors[last.inputs[1]]
        kernel.shape = [32, 1, 1, 1]
        model.buffers[kernel.buffer].data = np.zeros(32 * 4, np.uint8)
        for slot in (2, 3):
            graph.tensors[last.inputs[slot]].shape = [32]
            model.buffers[graph.tensors[last.inputs[slot]].buffer].data = np.zeros(32 * 4, np.uint8)
        graph.tensors[last.outputs[0]].shape = [1, 2, 2, 32]

    model = edit.unpack(tiny_models.binary_tflite())
    change(model)
    assert inspect_model(edit.pack(model)).ops[8].macs == 2 * 2 * 32 * 32


def test_batch_matmul():
    builder = schema.ModelT()
    builder.version, builder.buffers = 3, [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.BATCH_MATMUL, 126
    builder.operatorCodes = [code]
    graph, operator = schema.SubGraphT(), schema.OperatorT()
    graph.tensors = []
    for shape in ([2, 7, 3], [2, 7, 5], [2, 3, 5]):
        tensor = schema.TensorT()
        tensor.shape, tensor.buffer = shape, 0
        graph.tensors.append(tensor)
    operator.inputs, operator.outputs = [0, 1], [2]
    operator.builtinOptionsType, operator.builtinOptions = 101, schema.BatchMatMulOptionsT()
    operator.builtinOptions.adjX = True
    graph.inputs, graph.outputs, graph.operators = [0, 1], [2], [operator]
    builder.subgraphs = [graph]
    (op,) = inspect_model(edit.pack(builder)).ops
    assert (op.kind, op.macs) == ("float", 2 * 3 * 5 * 7)
    operator.inputs = [0]
    with pytest.raises(LarqnetsError, match=r"operator 0 \(BATCH_MATMUL\) of subgraph 0 has 1 inputs and 1 outputs"):
        inspect_model(edit.pack(builder))


def test_a_convolution_without_a_kernel_cannot_be_counted():
    model = edit.unpack(tiny_models.float_tflite())
    model.subgraphs[0].operators[0].inputs = [0]
    with pytest.raises(LarqnetsError, match=r"operator 0 \(CONV_2D\) of subgraph 0 lacks its input or its weights"):
        inspect_model(edit.pack(model))
    model.subgraphs[0].operators[0].inputs = [0, 0, 0]
    model.subgraphs[0].tensors[0].shape = [8, 8]
    with pytest.raises(LarqnetsError, match=r"a kernel of shape \(8, 8\)"):
        inspect_model(edit.pack(model))


def test_the_table_shows_every_number_at_100_columns():
    inspection = inspect_model(
        edit.add_metadata(tiny_models.binary_tflite(), {"layers": {str(i): "long_name/" * 30 for i in range(11)}})
    )
    text = shown(inspection)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    # The ops, the totals, title, two headings, a line between them, the origin: no row needs two lines.
    assert len(lines) == 11 + 6 + 5
    for op in inspection.ops:
        assert f"{op.macs:,}" in text
        assert f"{op.bytes:,}" in text
    assert f"{inspection.totals['file_bytes']:,}" in text
    assert "96.6" in text
    ends = {len(line.rstrip()) for line, op in zip(lines[2:13], inspection.ops, strict=True) if op.bytes}
    assert len(ends) == 1, "the numbers are aligned to the right"


def test_hostile_names_do_not_reach_the_terminal():
    name = "a/[bold red]x\x1b]0;owned\x07\x1b[2J\r\n\u202e/b"
    model = edit.unpack(tiny_models.float_tflite())
    model.description = "[link=http://x]\x1b[31m"
    model.subgraphs[0].name = name
    for tensor in model.subgraphs[0].tensors:
        tensor.name = name
    model.operatorCodes[2].builtinCode = model.operatorCodes[2].deprecatedBuiltinCode = 32
    model.operatorCodes[2].customCode = "evil[/]\x1b[31m"
    inspection = inspect_model(edit.pack(model))
    text = shown(inspection, width=200)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "[bold red]x\\x1b]0;owned\\x07" in text
    assert "CUSTOM:evil[/]\\x1…" in text
    assert "Unknown ops, which nothing here can run: CUSTOM:evil[/]\\x1b[31m." in text
    assert inspection.ops[3].kind == "glue"


def test_very_many_ops_are_cut_in_the_table_only():
    model = edit.unpack(tiny_models.float_tflite())
    graph = model.subgraphs[0]
    for op in graph.operators * 79:
        again = copy(op)
        again.outputs = [len(graph.tensors)]
        graph.tensors.append(graph.tensors[op.outputs[0]])
        graph.operators.append(again)
    inspection = inspect_model(edit.pack(model))
    assert len(inspection.ops) == 640
    assert "140 more ops are not shown; --json lists all." in shown(inspection)


def test_needs_neither_tensorflow_nor_larq():
    code = (
        "import sys, larqnets.tflite.inspect, larqnets.tflite.model\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "assert not names & {'tensorflow', 'tf_keras', 'keras', 'larq', 'larq_compute_engine', 'rich'}, names"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_empty_table_is_a_table():
    """A file whose graph has no ops at all is legal."""
    model = edit.unpack(tiny_models.float_tflite())
    model.subgraphs[0].operators = []
    inspection = inspect_model(edit.pack(model))
    assert inspection.ops == ()
    assert inspection.totals["binary_mac_share"] == 0.0
    assert "rest of the file" in shown(inspection)
