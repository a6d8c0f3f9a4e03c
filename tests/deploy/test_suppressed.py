"""Files that leave out overlapping boxes themselves: what they are given is proven, and what they leave is NumPy's choice."""

import io
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from detector_files import IMAGES, INFO, file_of, network_of, samples

from android_bench.measuring.equality import judge
from deploy.convert.convert import convert_twin
from deploy.export import edit, suppression
from deploy.export.converters import run_stock_converter
from deploy.export.suppression import answers_within, with_suppression
from deploy.proof.suppressed import KEY, TOLERANCE, differing, suppressed, within
from deploy.run.host_engines import TfliteModel
from deploy.run.interpreter import QEMU, Interpreter
from larqnets import LarqnetsError
from larqnets.tasks.box_answers import Nms, detections, nms_of
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.flatbuffer import FLOAT32, INT8, INT32, UINT32, Reader
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.reading import read_model
from larqnets.tflite.verifier import verify as verify_tree

OUTPUTS = ["boxes", "classes", "scores", "count"]


def answering(count, classes):
    """A file that answers with the boxes and scores that it is given, side by side."""
    given = tf.keras.Input((count, 4 + classes), batch_size=1)
    named = [tf.keras.layers.Activation("linear", name="boxes")(given[..., :4])]
    named.append(tf.keras.layers.Activation("linear", name="scores")(given[..., 4:]))
    return run_stock_converter(tf.keras.Model(given, named))


def crowded(count, classes, seed):
    """Boxes inside of the image, around few centres so that many overlap, and scores, float32 (N, 4 + C)."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0.25, 0.75, (6, 2))[rng.integers(0, 6, count)] + rng.normal(scale=0.03, size=(count, 2))
    half = rng.uniform(0.02, 0.2, (count, 2))
    boxes = np.clip(np.concatenate([centres - half, centres + half], 1), 0, 1)
    return np.concatenate([boxes, rng.uniform(size=(count, classes)) ** 2], 1).astype(np.float32)


def rows(outputs):
    """What the op answers for one image as `detections` does."""
    boxes, classes, scores, number = outputs
    n = int(number[0])
    return np.column_stack([boxes[0, :n], scores[0, :n], classes[0, :n]])


def fast(given, nms):
    """The fast form by the class-by-class one in NumPy: every box with its best class, all of one class."""
    boxes, scores = given[:, :4], given[:, 4:]
    found = detections(boxes, scores.max(1, keepdims=True), nms)
    names = dict(zip(scores.max(1), scores.argmax(1), strict=True))
    return np.column_stack([found[:, :5], [names[score] for score in found[:, 4]]])


SIZES = [(40, 1), (150, 3), (300, 6)]


@pytest.mark.parametrize(("count", "classes"), SIZES)
@pytest.mark.parametrize("nms", [Nms(), Nms(0.3, 0.2, 5, 20)], ids=["default", "few"])
def test_numpy_suppresses_as_the_op_does_with_any_number_of_threads(count, classes, nms):
    """Property 9: the fast form with 1, 2 and 4 threads; class by class with one."""
    proven = answering(count, classes)
    file = read_model(with_suppression(proven, nms, regular=False))
    regular = read_model(with_suppression(proven, nms, regular=True))
    engines = [Interpreter(file, num_threads=threads) for threads in (1, 2, 4)]
    alone = Interpreter(regular)
    for seed in range(5):
        given = crowded(count, classes, seed)
        due = fast(given, Nms(nms.iou, nms.score, nms.max, nms.max))  # of no class, so none has too many
        for engine in engines:
            np.testing.assert_allclose(rows(engine.predict(given[np.newaxis])), due, atol=TOLERANCE)
        np.testing.assert_allclose(
            rows(alone.predict(given[np.newaxis])), detections(given[:, :4], given[:, 4:], nms), atol=TOLERANCE
        )


def test_numpy_suppresses_as_the_op_does_on_arm64(bundle):
    proven, given = answering(150, 3), crowded(150, 3, 0)
    for regular, threads, due in (
        (False, 4, fast(given, Nms())),
        (True, 1, detections(given[:, :4], given[:, 4:], Nms())),
    ):
        content = with_suppression(proven, Nms(), regular=regular)
        found = Interpreter(content, num_threads=threads, device=QEMU).predict(given[np.newaxis])
        np.testing.assert_allclose(rows(found), due, atol=TOLERANCE)


@pytest.mark.parametrize("threads", [2, 3])
def test_class_by_class_leaves_out_a_class_with_several_threads(threads):
    """So a library in which this is mended is noticed: `--regular-nms` then needs no sentence, and the refusal can go."""
    content = with_suppression(answering(150, 6), Nms(), regular=True)
    with pytest.raises(LarqnetsError, match="wrongly with more than one thread"):
        Interpreter(content, num_threads=threads)
    given = crowded(150, 6, 0)[np.newaxis]
    whole, part = (rows(TfliteModel(read_model(content), n).predict([given])) for n in (1, threads))
    assert set(whole[:, 5]) == set(range(6))
    assert set(part[:, 5]) == set(range(6)) - {threads}


@pytest.mark.parametrize("variant", ["binary", "float", "int8", "ssd float"])
def test_a_file_suppresses_what_its_network_answers(variant, bundle):
    proven = file_of(variant)
    found = suppressed(proven, "fast", samples(variant), 2)
    assert found.variant == f"{proven.variant}_nms"
    assert (found.scores, found.verification) == (None, None)
    assert Interpreter(found.file).output_names == OUTPUTS
    inner = within(found.file)
    for ours, theirs in zip(Interpreter(inner).predict(IMAGES), Interpreter(proven.file).predict(IMAGES), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    nms = nms_of(own_metadata(proven.file))
    for image in IMAGES[:4]:
        boxes, scores = (values[0] for values in Interpreter(proven.file).predict(image[np.newaxis]))
        best = rows(Interpreter(found.file).predict(image[np.newaxis]))
        assert len(best) <= nms.max
        order = np.argsort(-scores.max(1), kind="stable")
        np.testing.assert_allclose(best[0, :4], boxes[order[0]], atol=2 * TOLERANCE * max(1, np.abs(boxes).max()))
        assert best[0, 4] == scores.max()
    said = own_metadata(found.file)
    assert said == {**own_metadata(proven.file), KEY: "fast"}
    totals, before = inspect_model(found.file).totals, inspect_model(proven.file).totals
    for kind in ("binary", "int8", "float"):
        assert totals[kind] == before[kind]  # no MAC more
    assert totals["constant_bytes"] + totals["overhead_bytes"] == len(found.content)


def test_an_engine_is_judged_by_the_scores_that_are_left():
    """Of two boxes with nearly the same score either may come first."""
    file = read_model(with_suppression(answering(3, 1), Nms(), regular=False))
    first, second = [0, 0, 0.4, 0.4, 0.8], [0.5, 0.5, 0.9, 0.9, 0.8 + 1e-6]
    given = np.float32([first, second, [0] * 5]), np.float32([second, first, [0] * 5])
    due, found = (Interpreter(file).predict(one[np.newaxis]) for one in given)
    turned = Interpreter(file).predict(np.float32([[*first[:4], 0.8 + 2e-6], second, [0] * 5])[np.newaxis])
    for other in (found, turned):
        difference, allowed = judge(file, due, other)
        assert difference <= allowed < 0.01
    assert (turned[0] != due[0]).any()
    difference, allowed = judge(file, due, Interpreter(file).predict(np.float32([first, [0] * 5, [0] * 5])[np.newaxis]))
    assert difference > allowed


def test_only_a_detector_has_boxes_to_leave_out():
    image = tf.keras.Input((4, 4, 3), batch_size=1)
    file = run_stock_converter(tf.keras.Model(image, tf.keras.layers.Flatten()(image)))
    with pytest.raises(LarqnetsError, match="and not with boxes and scores"):
        with_suppression(file, Nms(), regular=False)
    with pytest.raises(LarqnetsError, match="it does not end so"):
        answers_within(file)
    assert within(file) is None
    with pytest.raises(LarqnetsError, match="it does not end so"):
        within(read_model(edit.add_metadata(file.content, {KEY: "fast"})))


def test_boxes_without_area_stay_boxes():
    nms = Nms()
    given = np.float32([[0.5, 0.5, 0.5, 0.5, 0.9], [0.2, 0.2, 0.4, 0.4, 0.8], [0.7, 0.1, 0.7, 0.3, 0.7]])
    found = rows(Interpreter(with_suppression(answering(3, 1), nms, regular=False)).predict(given[np.newaxis]))
    np.testing.assert_allclose(found[:, :5], given, atol=TOLERANCE)


def another_scale(count):
    """The encoding of boxes that are a thousandth larger."""
    boxes = tf.keras.Input((count, 4), batch_size=1, name="boxes")
    low, high = boxes[..., :2], boxes[..., 2:]
    sizes = tf.math.log(tf.maximum(high - low, 1e-6)) + 1e-3
    return tf.keras.Model(boxes, tf.concat([(low + high) * 0.5, sizes], -1))


def test_other_boxes_are_not_published(monkeypatch):
    monkeypatch.setattr(suppression, "_encoding", another_scale)
    with pytest.raises(LarqnetsError, match=r"--postprocess is not published: boxes are .* away"):
        suppressed(file_of("float"), "fast", samples(), 0)


def test_other_scores_are_not_published(monkeypatch):
    right = edit.with_detection_op

    def wrong(content, scores, anchors, options):
        model = edit.unpack(content)
        graph = model.subgraphs[0]
        maker = next(op for op in graph.operators if scores in op.outputs)
        return right(content, int(maker.inputs[0]), anchors, options)  # before their square root

    monkeypatch.setattr(edit, "with_detection_op", wrong)
    with pytest.raises(LarqnetsError, match="of the scores that it suppresses by are not those of its network"):
        suppressed(file_of("float"), "fast", samples(), 0)


PREPROCESS = {
    **{"labels": list(INFO.labels), "image_shape": list(INFO.image_shape), "crop_fraction": 1.0},
    **{"mean": [0.5, 0.25, 0.5], "std": [0.25, 0.5, 1.0]},
}


def test_a_file_without_larq_ops_has_standard_metadata():
    """By the slots of the published schema, tensorflow/tflite-support's metadata_schema.fbs."""
    twin = convert_twin(network_of("float"), samples(), None, {"preprocess": PREPROCESS}, "")
    found = suppressed(twin, "fast", samples(), 0)
    archive = zipfile.ZipFile(io.BytesIO(found.content))
    assert archive.namelist() == ["labels.txt"]
    assert archive.read("labels.txt").decode().splitlines() == list(INFO.labels)
    verify_tree(found.content)
    entry = found.file.metadata["TFLITE_METADATA"]
    assert entry[4:8] == b"M001"
    root = Reader(entry).root()
    (graph,) = root.tables(3)
    (image,) = graph.tables(2)
    content = image.table(3)
    assert (content.scalar(0, INT8), content.table(1).scalar(0, INT8)) == (2, 1)  # an image, RGB
    (unit,) = image.tables(4)
    assert unit.scalar(0, INT8) == 1
    np.testing.assert_allclose(unit.table(1).vector(0, FLOAT32), [127.5, 63.75, 127.5])
    np.testing.assert_allclose(unit.table(1).vector(1, FLOAT32), [63.75, 127.5, 255.0])
    answers = list(graph.tables(3))
    assert [answer.text(0) for answer in answers] == ["location", "category", "score", "number of detections"]
    content = answers[0].table(3)
    box = content.table(1)
    assert content.scalar(0, INT8) == 3  # a bounding box
    assert box.vector(0, UINT32) == (1, 0, 3, 2)
    assert (box.scalar(1, INT8), box.scalar(2, INT8)) == (1, 0)  # boundaries, ratio
    assert [answer.table(3).table(2) is None for answer in answers] == [False, False, False, True]
    assert content.table(2).scalar(0, INT32) == content.table(2).scalar(1, INT32) == 2
    (labels,) = answers[1].tables(6)
    assert (labels.text(0), labels.scalar(2, INT8)) == ("labels.txt", 3)
    assert differing(found.file, twin.file, IMAGES) == ""


def test_a_file_with_larq_ops_or_of_unknown_images_has_none():
    """Nobody else runs the first, and what the second says of its images would be a guess."""
    for variant in ("binary", "float"):
        assert "TFLITE_METADATA" not in suppressed(file_of(variant), "fast", samples(), 0).file.metadata
