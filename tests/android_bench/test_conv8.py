"""LarqnetsConv2dInt8 against TensorFlow Lite's definition in numpy: reference, portable and all three kernels of ARM64, bit for bit.

Every buffer ends or begins at a page that may not be touched (cases.cc), so these are also tests of its bounds.
"""

from dataclasses import replace

import numpy as np
import pytest
from conv8_cases import Conv8, conv8s
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kernel_cases import RELU, SAME, VALID, Result, run_cases

from android_bench.emulation.emulator import CPUS, qemu_command

FEW = settings(deadline=None, max_examples=4, suppress_health_check=list(HealthCheck))  # each starts qemu for a list
# Every size of window with every stride, and the stems that are common.
GRID = [
    Conv8(image=(13, 14), channels_in=1 + k % 4, channels_out=9, filter=(k, 12 - k), strides=(s, 5 - s), seed=9 * k + s)
    for k in range(1, 12)
    for s in range(1, 5)
]
STEMS = [
    Conv8(image=(24, 22), channels_out=64, filter=(7, 7), activation=RELU, zero_points=(0, -128)),
    Conv8(image=(31, 27), channels_out=96, filter=(11, 11), strides=(4, 4), padding=VALID, seed=1),
    Conv8(image=(20, 20), channels_in=4, channels_out=16, strides=(1, 1), zero_points=(127, 0), seed=3),
]


def check(command, path, convolutions, folder):
    results = run_cases(command, path, [c.case() for c in convolutions], folder)
    for result, c in zip(results, convolutions, strict=True):
        assert result.same(Result("", c.window.out_size, c.expected())), c


def test_the_cases_reach_every_rounding():
    """Steps of the output in plenty, limits on both sides, and factors of 1 and more."""
    values = np.concatenate([c.expected() for c in GRID])
    assert len(np.unique(values)) == 256
    assert Conv8(factor=3e5).output_scale < 0.01 * 0.03


@pytest.mark.parametrize("path", ["reference", "portable"])
@settings(FEW, max_examples=20)
@given(convolutions=st.lists(conv8s(), min_size=1, max_size=8))
@example(convolutions=[*GRID, *STEMS])
def test_on_this_machine(host_program, tmp_path_factory, path, convolutions):
    check(host_program, path, convolutions, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("cpu", CPUS)
@FEW
@given(convolutions=st.lists(conv8s(), min_size=1, max_size=30))
@example(convolutions=[*GRID, *STEMS, *(replace(c, factor=3e5) for c in GRID[::5])])
def test_on_every_core(arm_program, tmp_path_factory, cpu, convolutions):
    check([*qemu_command(cpu), arm_program[-1]], "neon", convolutions, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("cpu", CPUS)
def test_results_do_not_depend_on_the_number_of_threads(arm_program, tmp_path, cpu):
    cases = [replace(c, threads=n).case() for c in (*STEMS, GRID[5]) for n in (1, 2, 3, 16, 17)]
    results = run_cases([*qemu_command(cpu), arm_program[-1]], "neon", cases, tmp_path)
    for i in range(0, len(results), 5):
        assert all(results[i].same(other) for other in results[i + 1 : i + 5])


GOOD = Conv8()
INTS = ("channels_in", "channels_out", "filter_h", "filter_w", "stride_h", "stride_w", "padding", "activation")
INTS += ("input_zero_point", "output_zero_point", "n", "h", "w")
HUGE = 2**31 - 1
REFUSED = {
    "no channels": ({"channels_in": 0}, "at least one input"),
    "negative channels": ({"channels_out": -8}, "at least one input"),
    "no filter": ({"filter_h": 0}, "at least 1 x 1"),
    "no stride": ({"stride_w": 0}, "strides"),
    "activation": ({"activation": 4}, "relu6 only"),
    "window of 2^62": ({"filter_h": HUGE, "filter_w": HUGE}, "too large"),
    "window of 65,540": ({"filter_h": 2185, "filter_w": 10}, "too large"),
    "filters of 2 GiB": ({"channels_out": HUGE}, "too large"),
    "zero point of the input": ({"input_zero_point": 128}, "zero points"),
    "zero point of the output": ({"output_zero_point": -129}, "zero points"),
    "empty batch": ({"n": 0}, "empty"),
    "negative height": ({"h": -5}, "empty"),
    "image of 2^62": ({"h": HUGE, "w": HUGE}, "larger than 2 GiB"),
    "window larger than the image": ({"padding": VALID, "h": 2}, "its height is 3, the image's 2"),
    "scale 0": (0.0, "positive and finite"),
    "scale NaN": (float("nan"), "positive and finite"),
    "scale far too small": (1e-30, "too small beside"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("path", ["reference", "portable"])
def test_wrong_numbers_are_refused_in_one_sentence(host_program, tmp_path, path, name):
    wrong, words = REFUSED[name]
    if isinstance(wrong, float):
        case = GOOD.case(scale=wrong)
    else:
        case = GOOD.case()
        case = replace(case, ints=tuple(wrong.get(i, value) for i, value in zip(INTS, case.ints, strict=True)))
    (result,) = run_cases(host_program, path, [case], tmp_path)
    assert words in result.error
    assert result.error.endswith(".")


@pytest.mark.parametrize(
    ("position", "value", "words"), [(0, -128, "is -128"), (1, 0, "positive"), (1, np.inf, "finite")]
)
def test_wrong_constants_are_refused(host_program, tmp_path, position, value, words):
    case = GOOD.case()
    case.tensors[position].flat[-1] = value
    (result,) = run_cases(host_program, "portable", [case], tmp_path)
    assert words in result.error


def test_the_test_program_notices_a_byte_too_far(host_program, tmp_path):
    case = replace(GOOD, padding=SAME).case()
    with pytest.raises(AssertionError, match="exit -11"):
        run_cases(host_program, "portable", [replace(case, output_bytes=case.output_bytes - 1)], tmp_path)
