"""Files that answer with masks or small logits: what they compute stays as proven, and their answers are those of the logits."""

import numpy as np
import pytest
import tensorflow as tf
from segmenters import CLASSES, IMAGES, MASKS, SHAPE, facts, segmenter

from android_bench.measuring.equality import compare_outputs, expect
from deploy.convert.convert import convert, convert_twin
from deploy.export import edit
from deploy.proof import output_form
from deploy.proof.output_form import check_end, claim_of, differing, in_form
from deploy.proof.samples import Samples
from deploy.proof.verify import verify
from deploy.run.interpreter import QEMU, Interpreter
from larqnets import LarqnetsError
from larqnets.config import TaskConfig
from larqnets.scores import KEY
from larqnets.tasks import get_task
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.reading import read_model

VARIANTS = ("binary", "float", "int8", "segnet float", "segnet int8")


@pytest.fixture(scope="module")
def files():
    """By variant: the network, its file of logits, and the samples."""
    made = {}
    for method, head, names in (
        ("birealnet", "fcn", VARIANTS[:1]),
        ("real", "fcn", VARIANTS[1:3]),
        ("segnet", "plain", VARIANTS[3:]),
    ):
        model, _ = segmenter(method, head)
        task = get_task(TaskConfig("segmentation", {"head": head}))
        samples = Samples(IMAGES, {"mask": MASKS[..., np.newaxis]}, len(IMAGES), task=task, info=facts())
        made[names[0]] = (model, convert(model, samples), samples)
        for name in names[1:]:
            made[name] = (model, convert_twin(model, samples, IMAGES, {}, ""), samples)
    return made


def constants(file):
    """The bytes of every constant, in order."""
    values = (tensor.data(file) for tensor in file.subgraphs[0].tensors)
    return [value.tobytes() for value in values if value is not None]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mask_is_the_class_of_the_largest_logit(files, variant, bundle):
    _, proven, samples = files[variant]
    found = in_form(proven, "mask", samples, 2)
    logits, mask = (Interpreter(file).predict(IMAGES) for file in (proven.file, found.file))
    assert (mask.dtype, mask.shape) == (np.uint8, MASKS.shape)
    np.testing.assert_array_equal(mask, np.argmax(logits, -1))
    np.testing.assert_array_equal(
        Interpreter(found.file, device=QEMU).predict(IMAGES[:2]),
        np.argmax(Interpreter(proven.file, device=QEMU).predict(IMAGES[:2]), -1),
    )
    names = [op.name for op in found.file.subgraphs[0].operators]
    before = [op.name for op in proven.file.subgraphs[0].operators]
    assert names == [*before[: len(before) - (before[-1] == "DEQUANTIZE")], "ARG_MAX", "CAST"]
    assert constants(found.file) == [*constants(proven.file), np.int32(-1).tobytes()]
    assert (Interpreter(found.file).output_names, kind_of_file(found.file)) == (["mask"], "mask")
    assert found.scores == proven.scores


@pytest.mark.parametrize("variant", VARIANTS[:3])
def test_small_logits_are_those_before_the_last_resize(files, variant, bundle):
    model, proven, samples = files[variant]
    found = in_form(proven, "small", samples, 2)
    small = Interpreter(found.file).predict(IMAGES)
    assert (small.dtype, small.shape) == (np.float32, (len(IMAGES), 4, 4, CLASSES))
    as_logits = tf.image.resize(small, SHAPE[:2]).numpy()
    steps = np.ptp(as_logits) / 255 if variant == "int8" else 1e-5 * np.abs(as_logits).max()
    np.testing.assert_allclose(as_logits, Interpreter(proven.file).predict(IMAGES), atol=1.01 * steps)
    names, before = ([op.name for op in one.file.subgraphs[0].operators] for one in (found, proven))
    assert names == [name for name in before if name != "RESIZE_BILINEAR"]
    size = np.array(SHAPE[:2], np.int32).tobytes()
    assert constants(found.file) == [value for value in constants(proven.file) if value != size]
    assert {found.layers.get(str(i)) for i in range(len(names))} <= {None, *(layer.name for layer in model.layers)}
    kept = [name for i, name in enumerate(before) if name != "RESIZE_BILINEAR" and str(i) in proven.layers]
    assert [names[int(i)] for i in found.layers] == kept
    assert kind_of_file(found.file) == "logits"


@pytest.mark.parametrize("form", ["mask", "small"])
def test_another_form_says_so_and_is_counted_to_the_byte(files, form):
    _, proven, samples = files["binary"]
    found = in_form(proven, form, samples, 0)
    said, before = own_metadata(found.file), own_metadata(proven.file)
    assert said == {**before, KEY: form, "layers": found.layers}
    check, totals = found.bytes_check, inspect_model(found.file).totals
    assert check.matches
    stored = sum(check.found.values()) - check.shared
    assert stored + check.other_constants == totals["constant_bytes"]
    assert check.other_constants + check.overhead + stored == len(found.content)
    assert totals["constant_bytes"] == sum(totals[kind]["bytes"] for kind in ("binary", "int8", "float", "glue"))


@pytest.mark.parametrize("form", ["mask", "small"])
def test_a_file_of_another_form_is_verified_from_its_own_bytes(files, form):
    model, proven, samples = files["binary"]
    file = in_form(proven, form, samples, 0).file
    claim = claim_of(file, model)
    assert verify(claim.file, claim.model, IMAGES, task=get_task()).equal
    assert claim.form == form
    model, _ = segmenter("birealnet", settled=False)
    other = claim_of(file, model)
    assert not verify(other.file, other.model, IMAGES, task=get_task()).equal


def with_least(content):
    """The file with the smallest logit in the place of the largest."""
    model = edit.unpack(content)
    op = model.subgraphs[0].operators[-2]
    code, op.builtinOptions = model.operatorCodes[op.opcodeIndex], edit.schema.ArgMinOptionsT()
    code.builtinCode = code.deprecatedBuiltinCode = edit.schema.BuiltinOperator.ARG_MIN
    op.builtinOptionsType, op.builtinOptions.outputType = edit.schema.BuiltinOptions.ArgMinOptions, 2
    return edit.pack(model)


def with_another_bias(content):
    """The file whose last convolution adds a little more."""
    model = edit.unpack(content)
    graph = model.subgraphs[0]
    bias = model.buffers[graph.tensors[graph.operators[-1].inputs[2]].buffer]
    bias.data = (np.asarray(bias.data, np.uint8).view(np.float32) + 1e-3).view(np.uint8)
    return edit.pack(model)


@pytest.mark.parametrize(
    ("form", "variant", "spoilt"),
    [("mask", "binary", with_least), ("mask", "int8", with_least), ("small", "float", with_another_bias)],
)
def test_a_wrong_end_is_not_published(files, form, variant, spoilt, monkeypatch):
    _, proven, samples = files[variant]
    name = "with_mask" if form == "mask" else "without_resize"
    right = getattr(edit, name)

    def wrong(content):
        made = right(content)
        return made._replace(content=spoilt(made.content))

    monkeypatch.setattr(edit, name, wrong)
    with pytest.raises(LarqnetsError, match=rf"--output {form} is not published: of [\d,]+ values [\d,]+ are not"):
        in_form(proven, form, samples, 0)


def test_a_network_without_a_last_resize_has_no_small_logits(files):
    model, proven, samples = files["segnet float"]
    with pytest.raises(
        LarqnetsError, match="runs/a does not end with a resize, so its logits are as small as they get"
    ):
        check_end(model, "small", "runs/a")
    with pytest.raises(LarqnetsError, match=r"float\.tflite ends with CONV_2D and not with a resize"):
        in_form(proven, "small", samples, 0)
    check_end(files["binary"][0], "small", "runs/a")
    check_end(model, "mask", "runs/a")


def test_files_that_do_not_end_as_they_say_are_refused(files):
    model, proven, _ = files["segnet float"]
    for form, words in (("mask", "it ends with CONV_2D"), ("small", "its network ends with none")):
        said = read_model(edit.add_metadata(proven.content, {KEY: form}))
        with pytest.raises(LarqnetsError, match=words):
            claim_of(said, model)


def test_masks_of_two_engines_are_compared_by_how_many_pixels_differ(files):
    _, proven, samples = files["binary"]
    file = in_form(proven, "mask", samples, 0).file
    expected = expect(file, Interpreter)
    assert compare_outputs(expected, file, expected.outputs).equal
    (mask,) = expected.outputs
    one = mask.copy()
    one[:, 0, 0] = (mask[:, 0, 0] + 2) % CLASSES  # 1 of 1,024 pixels, two classes away
    found = compare_outputs(expected, file, [one])
    assert (found.max_difference, found.argmax_agreement) == (pytest.approx(1 / 1024), pytest.approx(1023 / 1024))
    assert found.equal
    assert not compare_outputs(expected, file, [(mask + 1) % CLASSES]).equal


def test_values_that_differ_are_counted(files):
    _, proven, samples = files["binary"]
    file = in_form(proven, "mask", samples, 0).file
    assert differing(file, proven.file, "mask", IMAGES) == ""
    wrong = read_model(with_least(file.content))
    assert differing(wrong, proven.file, "mask", IMAGES).startswith("of 12,288 values ")


def test_only_labels_of_pixels_have_forms():
    for form in ("mask", "small"):
        with pytest.raises(
            LarqnetsError, match=f"Leave --output {form} out; a folder of that name is --output ./{form}"
        ):
            get_task().check_form(form, "runs/digits")
    get_task().check_form("logits", "runs/digits")
    assert output_form.form_of(read_model(edit.add_metadata(_digits(), {KEY: "nonsense"}))) == "logits"


def _digits():
    from deploy.run.shipped import find_model

    return find_model("digits").read_bytes()
