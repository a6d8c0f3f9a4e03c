"""Damaged and wrong files on ARM64: one sentence each, from the validator, and from the ops when nothing is before them."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lce_graphs import bconv, conv_int8, dequantize, file_of, max_pool, options, quantize

from android_bench.emulation.emulator import qemu_command
from android_bench.runtime.bundle import RUNNER
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets import LarqnetsError
from larqnets.tflite.reading import read_model

RNG = np.random.default_rng(0)
GOOD = bconv(RNG, channels=64, filters=8)
BITS = bconv(RNG, channels=64, filters=8, output="int32")
POOL = max_pool(RNG, channels=64)
PACK, UNPACK = quantize(RNG), dequantize(RNG)
STEM = conv_int8(RNG)


def option(node, **changed):
    """The node with options changed; None leaves one out."""
    return replace(node, options={k: v for k, v in (node.options | changed).items() if v is not None})


def constant(node, position, value):
    return replace(node, constants=[value if i == position else c for i, c in enumerate(node.constants, 1)])


FLIPPED = bytearray(options(GOOD.options).tobytes())
FLIPPED[-1] ^= 0xFF
KERNEL = GOOD.constants[0]
STEM_KERNEL = STEM.constants[0]
FLOATS = "reads float32"
WRONG = {
    "no options": (replace(GOOD, options=None), "lacks the option channels_in"),
    "options of text": (replace(GOOD, options=b"\x04text\x00\x05\x14\x01"), "lacks the option channels_in"),
    "options of one byte": (replace(GOOD, options=b"\x01"), "lacks the option channels_in"),
    "damaged options": (replace(GOOD, options=bytes(FLIPPED)), "lacks the option channels_in"),
    "pool without options": (replace(POOL, options=None), "lacks the option filter_height"),
    **{f"no {name}": (option(GOOD, **{name: None}), f"lacks the option {name}") for name in GOOD.options},
    "stride 0": (option(GOOD, stride_height=0), "has stride_height = 0"),
    "dilation -1": (option(GOOD, dilation_width_factor=-1), "has dilation_width_factor = -1"),
    "padding 2": (option(GOOD, padding=2), "has padding = 2"),
    "pad value 7": (option(GOOD, pad_values=7), "has pad_values = 7"),
    "activation 5": (option(GOOD, fused_activation_function=5), "has fused_activation_function = 5"),
    "64-bit stride": (option(GOOD, stride_width=2**33), "has stride_width = 8589934592"),
    "pool stride 0": (option(POOL, stride_width=0), "has stride_width = 0"),
    "window beyond": (option(POOL, filter_height=2**31 - 1, padding=1), "window is larger than the image"),
    "dilation beyond": (option(GOOD, dilation_height_factor=2**31 - 1, padding=1), "window is larger than the image"),
    "channel mismatch": (option(GOOD, channels_in=65), "reads 2 words for 65 channels"),
    "no such channels": (option(GOOD, channels_in=2**31 - 1), "reads 2 words for 2147483647 channels"),
    "filter words": (constant(GOOD, 1, np.zeros((8, 3, 3, 3), np.int32)), "filters of 3 words for 2 input words"),
    "bad groups": (option(constant(GOOD, 1, np.zeros((8, 3, 3, 1), np.int32)), channels_in=33), "into 2 groups"),
    "groups of filters": (
        replace(
            bconv(RNG, channels=64, filters=7),
            constants=[np.zeros((7, 3, 3, 1), np.int32), *bconv(RNG, channels=64, filters=7).constants[1:]],
        ),
        "cannot split 64 channels and 7 filters into 2 groups",
    ),
    "filter of rank 3": (constant(GOOD, 1, np.zeros((8, 3, 6), np.int32)), "has a filter of shape [8,3,6]"),
    "empty filter": (constant(GOOD, 1, np.zeros((8, 0, 3, 2), np.int32)), "has a filter of shape [8,0,3,2]"),
    "float filter": (constant(GOOD, 1, KERNEL.astype(np.float32)), "filter"),
    "absent filter": (constant(GOOD, 1, None), "lacks its filter"),
    "computed filter": (constant(GOOD, 1, (KERNEL.shape, "int32")), "not a constant"),
    "absent multipliers": (constant(GOOD, 2, None), "lacks its multipliers"),
    "absent biases": (constant(GOOD, 3, None), "lacks its biases"),
    "short biases": (constant(GOOD, 3, np.zeros(7, np.float32)), "has biases of float32"),
    "integer multipliers": (constant(GOOD, 2, np.zeros(8, np.int32)), "has multipliers of int32"),
    "computed multipliers": (constant(GOOD, 2, ((8,), "float32")), "not a constant"),
    "absent thresholds": (constant(BITS, 4, None), "lacks its thresholds"),
    "long thresholds": (constant(BITS, 4, np.zeros(9, np.int32)), "has thresholds of int32"),
    "four inputs": (replace(GOOD, constants=GOOD.constants[:3]), "has 4 inputs, not 5"),
    "absent input": (replace(GOOD, has_input=False), "lacks its input"),
    "absent input of a pool": (replace(POOL, has_input=False), "lacks its input"),
    "float input": (replace(GOOD, x=GOOD.x.astype(np.float32)), "reads float32"),
    "input of rank 3": (replace(GOOD, in_shape=(5, 6, 2)), "reads int32"),
    "boolean output": (replace(GOOD, out_dtype="bool"), "writes"),
    "int8 without scale": (replace(GOOD, out_dtype="int8"), "int8 values without a scale"),
    "scale 0": (replace(GOOD, out_dtype="int8", out_quantization=(0.0, 0)), "int8 values without a scale"),
    "huge input": (replace(GOOD, in_shape=(1, 40_000, 40_000, 2)), "larger than 2 GiB"),
    "absurd input": (replace(GOOD, in_shape=(2**31 - 1, 2**31 - 1, 2**31 - 1, 2)), "overflowed"),
    "negative input": (replace(GOOD, in_shape=(1, -5, 6, 2)), "overflowed"),
    "empty input": (replace(GOOD, in_shape=(1, 0, 6, 2)), "is empty"),
    "float pool": (replace(POOL, x=POOL.x.astype(np.float32)), "int32"),
    "packs integers": (replace(PACK, x=np.zeros(PACK.x.shape, np.int32)), "a type that it cannot pack"),
    "packs into floats": (replace(PACK, out_dtype="float32"), "writes values that are not int32"),
    "unpacks to other channels": (replace(UNPACK, out_shape=(1, 2, 3, 400)), "unpacks"),
    "unpacks to another rank": (replace(UNPACK, out_shape=(6, 40)), "unpacks"),
    "unpacks floats": (replace(UNPACK, x=UNPACK.x.astype(np.float32)), "reads values that are not int32"),
    "unpacks to int8 without scale": (replace(UNPACK, out_dtype="int8"), "must be positive"),
    "stem without options": (replace(STEM, options=None), "lacks the option stride_height"),
    **{f"stem without {name}": (option(STEM, **{name: None}), f"lacks the option {name}") for name in STEM.options},
    "stem of stride 0": (option(STEM, stride_height=0), "has stride_height = 0"),
    "stem of padding 2": (option(STEM, padding=2), "has padding = 2"),
    "stem of activation 4": (option(STEM, fused_activation_function=4), "has fused_activation_function = 4"),
    "stem of floats": (replace(STEM, x=STEM.x.astype(np.float32)), FLOATS),
    "stem of rank 3": (replace(STEM, in_shape=(9, 8, 3)), "reads int8 [9,8,3]"),
    "stem to floats": (replace(STEM, out_dtype="float32"), "writes values that are not int8"),
    "stem of two inputs": (replace(STEM, constants=STEM.constants[:1]), "has 2 inputs, not 3"),
    "stem without filter": (constant(STEM, 1, None), "lacks its filter"),
    "stem with a computed filter": (constant(STEM, 1, (STEM_KERNEL.shape, "int8")), "not a constant"),
    "stem with a filter of rank 3": (constant(STEM, 1, np.zeros((8, 3, 9), np.int8)), "a filter of shape [8,3,9]"),
    "stem with an empty filter": (constant(STEM, 1, np.zeros((8, 0, 3, 3), np.int8)), "a filter of shape [8,0,3,3]"),
    "stem with other channels": (constant(STEM, 1, np.zeros((8, 3, 3, 4), np.int8)), "4 channels for 3 input channels"),
    "stem with wide weights": (constant(STEM, 1, STEM_KERNEL.astype(np.int32)), "has filters of int32"),
    "stem with a weight of -128": (constant(STEM, 1, np.full_like(STEM_KERNEL, -128)), "is -128"),
    "stem without biases": (constant(STEM, 2, None), "lacks its biases"),
    "stem with short biases": (constant(STEM, 2, np.zeros(7, np.int32)), "has biases of int32"),
    "stem without scales": (replace(STEM, filter_quantization=None), "filters without scales"),
    "stem with scales of 0": (replace(STEM, filter_quantization=([0.0] * 8, 0, 0)), "positive and finite"),
    "stem with scales along x": (replace(STEM, filter_quantization=([0.1] * 3, 0, 2)), "a scale for each of its 8"),
    "stem with a zero point": (replace(STEM, filter_quantization=([0.1] * 8, 1, 0)), "whose zero point is not 0"),
    "stem without input scale": (replace(STEM, in_quantization=None), "positive and finite"),
    "stem of output scale 0": (replace(STEM, out_quantization=(0.0, 0)), "positive and finite"),
    "stem of a tiny output scale": (replace(STEM, out_quantization=(1e-38, 0)), "too small beside"),
    "stem of zero point 200": (replace(STEM, in_quantization=(0.1, 200)), "zero points"),
    "stem of a huge input": (replace(STEM, in_shape=(1, 30_000, 30_000, 3)), "larger than 2 GiB"),
    "stem of an empty input": (replace(STEM, in_shape=(1, 0, 8, 3)), "is empty"),
    "stem of a small image": (replace(option(STEM, padding=1), in_shape=(1, 2, 8, 3)), "larger than the image"),
}


def run_unvalidated(bundle, folder, content):
    """Run a file that nothing has looked at before."""
    (folder / "model.tflite").write_bytes(content)
    command = [*qemu_command(), str(bundle / RUNNER), "--model", "model.tflite"]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=120)


def assert_one_line(done):
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"larqnets_runner: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("node", "reason"), WRONG.values(), ids=WRONG)
def test_ops_refuse_what_does_not_fit(bundle, tmp_path, node, reason):
    content, _ = file_of([node])
    done = run_unvalidated(bundle, tmp_path, content)
    assert_one_line(done)
    assert reason in done.stderr.decode()


@pytest.mark.parametrize(("node", "reason"), WRONG.values(), ids=WRONG)
def test_the_interpreter_refuses_it_in_one_sentence(bundle, node, reason):
    content, inputs = file_of([node])
    with pytest.raises(LarqnetsError) as error:
        Interpreter(content, device="qemu").predict(inputs[0])
    assert "\n" not in str(error.value)
    assert "signal" not in str(error.value)


def test_unknown_custom_op_is_named(bundle, tmp_path):
    done = run_unvalidated(bundle, tmp_path, file_of([replace(GOOD, name="LceBconv9")])[0])
    assert_one_line(done)
    assert "LceBconv9" in done.stderr.decode()


DIGITS = find_model("digits").read_bytes()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_flipped_bits_never_kill_the_runner(bundle, tmp_path_factory, data):
    """Whatever Google's library makes of it: a result, or one line."""
    content = bytearray(DIGITS)
    for _ in range(data.draw(st.integers(1, 4))):
        # the tables, not the weights: those lie at the front and may be anything
        position = data.draw(st.one_of(st.integers(8, 400), st.integers(len(content) - 20_000, len(content) - 1)))
        content[position] ^= 1 << data.draw(st.integers(0, 7))
    done = run_unvalidated(bundle, tmp_path_factory.mktemp("flipped"), bytes(content))
    if done.returncode != 0:
        assert_one_line(done)
    try:
        read_model(bytes(content))
    except LarqnetsError:
        with pytest.raises(LarqnetsError):
            Interpreter(bytes(content), device="qemu")


@pytest.mark.parametrize("length", [9, 100, 5_000, len(DIGITS) // 2, len(DIGITS) - 1])
def test_cut_files_never_kill_the_runner(bundle, tmp_path, length):
    assert_one_line(run_unvalidated(bundle, tmp_path, DIGITS[:length]))
