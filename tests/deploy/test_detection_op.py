"""TFLite_Detection_PostProcess: right on both engines, and what its kernel would believe is checked before it runs."""

import numpy as np
import pytest
from flatbuffers import flexbuffers

from deploy.export.edit import pack
from deploy.run.interpreter import Interpreter
from larqnets import LarqnetsError
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.reading import read_model

pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")
from tensorflow.lite.python import schema_py_generated as schema

BOXES, CLASSES, DETECTIONS = 60, 3, 10
OPTIONS = {
    "max_detections": DETECTIONS,
    "max_classes_per_detection": 1,
    "detections_per_class": 100,
    "use_regular_nms": False,
    "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.5,
    "num_classes": CLASSES,
    "y_scale": 10.0,
    "x_scale": 10.0,
    "h_scale": 5.0,
    "w_scale": 5.0,
}


def options_of(values):
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in values.items():
            builder.Key(name)
            {bool: builder.Bool, int: builder.Int, float: builder.Float, str: builder.String}[type(value)](value)
    return np.frombuffer(bytes(builder.Finish()), np.uint8)


def file_of(
    options=OPTIONS,
    *,
    boxes=(1, BOXES, 4),
    scores=(1, BOXES, CLASSES + 1),
    anchors=(BOXES, 4),
    outputs=4,
    inputs=3,
    reshaped=None,
    dtype=schema.TensorType.FLOAT32,
):
    """One op; `reshaped`: a RESHAPE before it makes boxes of this shape, whatever the file says of its result."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    graph.tensors, graph.operators, model.operatorCodes = [], [], [schema.OperatorCodeT()]
    code = model.operatorCodes[0]
    code.customCode, code.version = "TFLite_Detection_PostProcess", 1
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM

    def tensor(shape, kind=schema.TensorType.FLOAT32, data=None):
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = f"t{len(graph.tensors)}", np.array(shape, np.int32), kind, 0
        if data is not None:
            t.buffer = len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(data.tobytes(), np.uint8)
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    op = schema.OperatorT()
    op.opcodeIndex, op.customOptions = 0, options_of(options) if isinstance(options, dict) else options
    values = anchor_values(anchors) if len(anchors) == 2 else np.ones(anchors, np.float32)
    op.inputs = [tensor(boxes, dtype), tensor(scores), tensor(anchors, data=values)][:inputs]
    graph.inputs = op.inputs[:2]
    if reshaped:
        reshape = schema.OperatorT()
        model.operatorCodes.append(schema.OperatorCodeT())
        model.operatorCodes[1].builtinCode = model.operatorCodes[1].deprecatedBuiltinCode = (
            schema.BuiltinOperator.RESHAPE
        )
        graph.inputs = [
            tensor([int(np.prod(reshaped))]),
            tensor([int(np.prod(scores[:1] + reshaped[1:2] + scores[2:]))]),
        ]
        reshape_scores = schema.OperatorT()
        score_shape = (1, reshaped[1], scores[2])
        for each, source, target, shape in (
            (reshape, graph.inputs[0], op.inputs[0], reshaped),
            (reshape_scores, graph.inputs[1], op.inputs[1], score_shape),
        ):
            each.opcodeIndex = 1
            each.inputs = [source, tensor([3], schema.TensorType.INT32, np.array(shape, np.int32))]
            each.outputs = [target]
        graph.operators += [reshape, reshape_scores]
    count = DETECTIONS
    shapes = [(1, count, 4), (1, count), (1, count), (1,)]
    op.outputs = graph.outputs = [tensor(shape) for shape in shapes[:outputs]]
    graph.operators.append(op)
    return pack(model)


def anchor_values(shape=(BOXES, 4)):
    rng = np.random.default_rng(7)
    return np.concatenate(
        [rng.uniform(0.2, 0.8, (shape[0], 2)), rng.uniform(0.1, 0.4, (shape[0], shape[1] - 2))], 1
    ).astype(np.float32)


def inputs_of(seed, classes=CLASSES + 1):
    rng = np.random.default_rng(seed)
    return [
        rng.normal(size=(1, BOXES, 4)).astype(np.float32),
        rng.uniform(size=(1, BOXES, classes)).astype(np.float32) ** 3,
    ]


def detected(boxes, scores):
    """The fast form in numpy: decode, the best class of every box, then drop what overlaps a better one, whatever its class."""
    anchors = anchor_values()
    y, x = (boxes[0, :, i] / 10 * anchors[:, 2 + i] + anchors[:, i] for i in (0, 1))
    h, w = (np.exp(boxes[0, :, 2 + i] / 5) * anchors[:, 2 + i] for i in (0, 1))
    corners = np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 1)
    real = scores[0, :, -CLASSES:]
    best, kind = real.max(1), real.argmax(1)
    kept = []
    for i in np.argsort(-best, kind="stable"):
        if best[i] >= 0.3 and len(kept) < DETECTIONS and all(_overlap(corners[i], corners[k]) <= 0.5 for k in kept):
            kept.append(i)
    return corners[kept], kind[kept], best[kept]


def _overlap(a, b):
    size = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    area = [np.prod(box[2:] - box[:2]) for box in (a, b)]
    return np.prod(size) / (sum(area) - np.prod(size))


@pytest.mark.parametrize("classes", [CLASSES, CLASSES + 1], ids=["no background", "background"])
@pytest.mark.parametrize("device", [None, "qemu"])
def test_detections_are_those_of_numpy(request, device, classes):
    if device:
        request.getfixturevalue("bundle")
    content = file_of(scores=(1, BOXES, classes))
    for seed in range(3):
        boxes, scores = inputs_of(seed, classes)
        corners, kinds, best = detected(boxes, scores)
        found = Interpreter(content, num_threads=2, device=device).predict([boxes, scores])
        number = int(found[3][0])
        assert number == len(best) > 2
        np.testing.assert_allclose(found[0][0, :number], corners, atol=1e-4)
        np.testing.assert_array_equal(found[1][0, :number], kinds)
        np.testing.assert_allclose(found[2][0, :number], best, atol=1e-6)


def test_inspect_knows_the_op():
    inspection = inspect_model(file_of())
    assert inspection.unknown_ops == ()
    assert [op.op for op in inspection.ops] == ["TFLite_Detection_PostProcess"]


def test_regular_suppression_runs_with_one_thread_only():
    """With two, TensorFlow Lite skips a class; should a newer one be right, this refusal can go."""
    content = file_of(OPTIONS | {"use_regular_nms": True})
    one = Interpreter(content).predict(inputs_of(0))
    assert set(one[1][0, : int(one[3][0])]) == {0, 1, 2}
    with pytest.raises(LarqnetsError, match="wrongly with more than one thread"):
        Interpreter(content, num_threads=2)


WITHOUT = {name: {k: v for k, v in OPTIONS.items() if k != name} for name in OPTIONS}
WRONG = {
    "no options": ({"options": np.zeros(0, np.uint8)}, "has no options"),
    "damaged options": ({"options": np.full(40, 255, np.uint8)}, "cannot be decoded"),
    "no map": ({"options": np.frombuffer(b"\x05\x04\x01", np.uint8)}, "cannot be decoded|lacks"),
    **{
        f"without {name}": ({"options": WITHOUT[name]}, f"lacks the option {name}")
        for name in OPTIONS
        if name not in ("detections_per_class", "use_regular_nms")
    },
    **{
        f"{name} = {value}": ({"options": OPTIONS | {name: value}}, f"has {name} = |has room for|scores a box")
        for name, values in {
            "max_detections": (-1, 1 << 21, 2.5, float("nan")),
            "max_classes_per_detection": (0, -3, 1 << 21),
            "detections_per_class": (0, -1),
            "num_classes": (0, -1, CLASSES + 1 + 1, CLASSES - 1, 1 << 40),
            "use_regular_nms": (2, -1),
            "nms_score_threshold": (float("nan"), float("inf")),
            "nms_iou_threshold": (0.0, 1.5, -0.1, float("nan")),
            "y_scale": (0.0, -1.0, float("inf"), float("nan")),
            "w_scale": (0.0,),
        }.items()
        for value in values
    },
    "product of two": (
        {"options": OPTIONS | {"max_detections": 1 << 19, "max_classes_per_detection": 4}},
        "room for more than",
    ),
    "option is a text": ({"options": OPTIONS | {"num_classes": "3"}}, "lacks the option num_classes"),
    "fewer anchors": ({"anchors": (BOXES - 1, 4)}, "59 anchors for 60 boxes"),
    "one anchor": ({"anchors": (1, 4)}, "1 anchors for 60 boxes"),
    "anchors of 3": ({"anchors": (BOXES, 3)}, r"anchors of shape \(60, 3\)"),
    "anchors of rank 3": ({"anchors": (1, BOXES, 4)}, "anchors of shape"),
    "boxes of 3": ({"boxes": (1, BOXES, 3)}, "boxes of shape"),
    "boxes of rank 2": ({"boxes": (BOXES, 4)}, "boxes of shape"),
    "two pictures": ({"boxes": (2, BOXES, 4)}, "boxes of shape"),
    "scores of other boxes": ({"scores": (1, BOXES + 1, CLASSES)}, "scores of shape"),
    "two inputs": ({"inputs": 2}, "2 inputs and 4 outputs"),
    "three outputs": ({"outputs": 3}, "3 inputs and 3 outputs"),
    "boxes of another type": ({"dtype": schema.TensorType.INT16}, "boxes of int16"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_the_kernel_would_believe_is_refused_when_the_file_is_read(kind):
    options, pattern = WRONG[kind]
    with pytest.raises(LarqnetsError, match=pattern):
        read_model(file_of(**options))


def test_shapes_that_the_file_lies_about_are_seen_before_it_runs():
    """The file says 10 boxes and 10 anchors; a RESHAPE makes 60 boxes."""
    content = file_of(boxes=(1, 10, 4), scores=(1, 10, CLASSES), anchors=(10, 4), reshaped=(1, BOXES, 4))
    with pytest.raises(LarqnetsError, match="10 anchors for 60 boxes"):
        Interpreter(content)
