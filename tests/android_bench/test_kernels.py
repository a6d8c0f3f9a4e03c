"""The kernels against numpy and against each other: reference, portable (x86-64 and ARM64) and NEON (qemu), bit for bit.

Every buffer ends or begins at a page that may not be touched (cases.cc), so these are also tests of its bounds.
"""

from dataclasses import replace

import kernel_cases as kc
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kernel_cases import BITS, FLOAT, INT8, Bconv, Case, Result, run_cases

ANY = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
MANY = settings(ANY, max_examples=8)  # each example is a list of cases for one start of qemu
lists = {"min_size": 1, "max_size": 40}


def check(results: list[Result], cases: list[Case], expected: list[np.ndarray]) -> None:
    for result, case, values in zip(results, cases, expected, strict=True):
        assert result.error == ""
        assert result.same(Result("", result.size, values)), case.ints


@pytest.mark.parametrize("path", ["reference", "portable"])
@ANY
@given(convolutions=st.lists(kc.bconvs(), min_size=1, max_size=8))
@example(convolutions=kc.DEEP)
def test_convolutions_on_this_machine_are_those_of_numpy(host_program, tmp_path_factory, path, convolutions):
    cases = [c.case() for c in convolutions]
    results = run_cases(host_program, path, cases, tmp_path_factory.getbasetemp())
    check(results, cases, [c.expected() for c in convolutions])
    assert [r.size for r in results] == [c.out_size for c in convolutions]


@pytest.mark.parametrize("path", ["neon", "portable", "reference"])
@MANY
@given(convolutions=st.lists(kc.bconvs(), **lists))
@example(convolutions=kc.DEEP)
def test_convolutions_on_arm64_are_those_of_numpy(arm_program, tmp_path_factory, path, convolutions):
    cases = [c.case() for c in convolutions]
    results = run_cases(arm_program, path, cases, tmp_path_factory.getbasetemp())
    check(results, cases, [c.expected() for c in convolutions])


@MANY
@given(
    convolutions=st.lists(kc.bconvs(), min_size=1, max_size=15),
    large=st.builds(
        Bconv,
        image=st.tuples(st.integers(6, 16), st.integers(6, 16)),
        channels_in=st.sampled_from([64, 128, 256]),
        channels_out=st.sampled_from([64, 72, 256]),
        pad_value=st.integers(0, 1),
        output=st.sampled_from([FLOAT, INT8, BITS]),
        seed=st.integers(0, 99),
    ),
)
def test_results_do_not_depend_on_the_number_of_threads(arm_program, tmp_path_factory, convolutions, large):
    convolutions = [*convolutions, large]
    cases = [replace(c, threads=n).case() for c in convolutions for n in (1, 2, 3, 4, 16, 17)]
    results = run_cases(arm_program, "neon", cases, tmp_path_factory.getbasetemp())
    for i in range(0, len(results), 6):
        assert all(results[i].same(other) for other in results[i + 1 : i + 6])


@pytest.mark.parametrize("machine", ["host", "arm"])
@pytest.mark.parametrize("kind", ["random", "constant"])
def test_the_way_to_count_changes_no_bit(request, tmp_path, machine, kind):
    """Constant: all pixels are equal, so that all positions of a group of windows fall into two lists."""
    ways = (kc.POPCOUNT, kc.CLASSES, kc.SORTED)
    cases = [replace(c, kernels=way, threads=1 + way).case() for c in kc.WAYS for way in ways]
    if kind == "constant":
        cases = [
            replace(c, tensors=(*c.tensors[:4], np.broadcast_to(c.tensors[4][:, :1, :1], c.tensors[4].shape)))
            for c in cases
        ]
    program = request.getfixturevalue(f"{machine}_program")
    results = run_cases(program, "neon" if machine == "arm" else "portable", cases, tmp_path)
    assert [r.kernels for r in results] == [*ways] * len(kc.WAYS)
    for i in range(0, len(results), len(ways)):
        assert results[i].error == ""
        assert all(results[i].same(other) for other in results[i + 1 : i + len(ways)]), cases[i].ints
    if kind == "random":
        check(results[:: len(ways)], cases[:: len(ways)], [c.expected() for c in kc.WAYS])


# Image, channels, filters, window, stride -> the way that takes the fewest instructions, as counted.
CHOICES = {
    (56, 64, 64, 3, 1): kc.CLASSES,
    (28, 128, 128, 3, 1): kc.CLASSES,
    (14, 256, 256, 3, 1): kc.CLASSES,
    (7, 512, 512, 3, 1): kc.SORTED,
    (28, 128, 256, 3, 2): kc.CLASSES,
    (14, 64, 64, 1, 1): kc.POPCOUNT,
    (1, 512, 1000, 1, 1): kc.POPCOUNT,
}


@pytest.mark.parametrize("shape", CHOICES)
def test_the_shape_chooses_the_way_to_count_and_what_it_keeps_is_bounded(host_program, tmp_path, shape):
    size, channels, filters, window, stride = shape
    c = Bconv(
        image=(size, size), channels_in=channels, channels_out=filters, filter=(window,) * 2, strides=(stride,) * 2
    )
    (result,) = run_cases(host_program, "portable", [c.case()], tmp_path)
    assert result.kernels == CHOICES[shape]
    planes = 3 * 1.5 * size * size * channels / 8  # of bits, each column of the window apart, and rows made twice
    assert result.prepared_bytes < 4.3 * c.depth * filters / 8 + planes + 300_000  # room for 16 threads


def test_with_low_memory_no_way_keeps_more_than_four_bytes_per_byte_of_filters(host_program, tmp_path):
    ways = (kc.CHOSEN, kc.CLASSES, kc.SORTED)
    kept = []
    for c in (*kc.WAYS, Bconv(image=(14, 14), channels_in=256, channels_out=256)):
        packed = c.channels_out * c.filter[0] * c.filter[1] * -(-c.channels_in // 32) * 4
        free, low = (
            run_cases(
                host_program, "portable", [replace(c, kernels=w, low_memory=asked).case() for w in ways], tmp_path
            )
            for asked in (False, True)
        )
        for before, after in zip(free, low, strict=True):
            fits = before.prepared_bytes <= 4 * packed
            assert after.kernels == (before.kernels if fits else kc.POPCOUNT)
            assert after.same(before)
            kept.append(fits and before.kernels != kc.POPCOUNT)
    assert {True, False} == set(kept)


@pytest.mark.parametrize("path", ["reference", "portable"])
@ANY
@given(pairs=st.lists(kc.max_pools() | kc.conversions(), min_size=1, max_size=8))
def test_other_ops_on_this_machine_are_those_of_numpy(host_program, tmp_path_factory, path, pairs):
    cases, expected = zip(*pairs, strict=True)
    check(run_cases(host_program, path, list(cases), tmp_path_factory.getbasetemp()), list(cases), list(expected))


@pytest.mark.parametrize("path", ["neon", "portable", "reference"])
@MANY
@given(pairs=st.lists(kc.max_pools() | kc.conversions(), **lists))
def test_other_ops_on_arm64_are_those_of_numpy(arm_program, tmp_path_factory, path, pairs):
    cases, expected = zip(*pairs, strict=True)
    check(run_cases(arm_program, path, list(cases), tmp_path_factory.getbasetemp()), list(cases), list(expected))


GOOD = Bconv(image=(6, 6), channels_in=64, channels_out=8)
FIRST_INTS = ("channels_in", "channels_out", "filter_h", "filter_w", "groups", "stride_h", "stride_w")
INTS = (
    *FIRST_INTS,
    "dilation_h",
    "dilation_w",
    "padding",
    "pad_value",
    "activation",
    "output",
    "zero_point",
    "n",
    "h",
    "w",
)


def changed(base: Bconv = GOOD, **ints: int) -> Case:
    """The case of a convolution that says other numbers than its data have."""
    case = base.case()
    values = list(case.ints)
    for name, value in ints.items():
        values[INTS.index(name)] = value
    return replace(case, ints=tuple(values))


HUGE = 2**31 - 1
REFUSED = {
    "no channels": (changed(channels_in=0), "at least one input"),
    "negative channels": (changed(channels_out=-8), "at least one input"),
    "no filter": (changed(filter_h=0), "at least 1 x 1"),
    "no stride": (changed(stride_w=0), "strides"),
    "no dilation": (changed(dilation_h=-1), "dilations"),
    "pad value": (changed(pad_value=2), "0 or 1"),
    "activation": (changed(activation=4), "relu6 only"),
    "groups of the output": (changed(groups=3), "3 groups do not divide"),
    "groups of few channels": (changed(groups=4), "multiple of 32"),
    "filter of 2^62": (changed(filter_h=HUGE, filter_w=HUGE), "filter of a convolution is too large"),
    "filter of 2^93": (changed(filter_h=HUGE, filter_w=HUGE, channels_in=HUGE), "filter of a convolution is too large"),
    "filter of 2 GiB": (changed(channels_in=2**26, channels_out=256, filter_h=1, filter_w=1), "too large"),
    "empty batch": (changed(n=0), "empty"),
    "negative height": (changed(h=-5), "empty"),
    "image of 2^62": (changed(h=HUGE, w=HUGE), "larger than 2 GiB"),
    "batch of 2^31": (changed(n=HUGE), "larger than 2 GiB"),
    "border of 2^32": (changed(dilation_h=HUGE), "padded height"),
    "border of 2^22 squared": (changed(dilation_h=2**20, dilation_w=2**20), "larger than 2 GiB"),
    "window larger than the image": (changed(padding=kc.VALID, dilation_w=3), "its width is 7, the image's 6"),
    "scale 0": (replace(changed(replace(GOOD, output=INT8)), scale=0.0), "scale"),
    "scale NaN": (replace(changed(replace(GOOD, output=INT8)), scale=float("nan")), "scale"),
    "scale infinite": (replace(changed(replace(GOOD, output=INT8)), scale=float("inf")), "scale"),
    "zero point": (changed(replace(GOOD, output=INT8), zero_point=128), "zero point"),
    "no thresholds": (changed(output=BITS), "needs thresholds"),
    "no multiplier": (changed(replace(GOOD, output=BITS), output=FLOAT), "needs a multiplier"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("path", ["reference", "portable"])
def test_wrong_numbers_are_refused_in_one_sentence(host_program, tmp_path, path, name):
    case, words = REFUSED[name]
    (result,) = run_cases(host_program, path, [case], tmp_path)
    assert words in result.error
    assert result.error.endswith(".")


def test_a_pooling_refuses_wrong_numbers(host_program, tmp_path):
    good, _ = kc.max_pool(1, (4, 4), 2, (2, 2), (2, 2), kc.VALID, 0, 1, 0)
    wrong = [
        (0, 0, "1 x 1"),
        (3, -1, "strides"),
        (5, 0, "empty"),
        (8, 0, "empty"),
        (0, 5, "its height is 5"),
        (5, HUGE, "GiB"),
    ]
    cases = [replace(good, ints=(*good.ints[:i], value, *good.ints[i + 1 :])) for i, value, _ in wrong]
    for result, (_, _, words) in zip(run_cases(host_program, "portable", cases, tmp_path), wrong, strict=True):
        assert words in result.error


@pytest.mark.parametrize("machine", ["host", "arm"])
def test_the_test_program_notices_a_byte_too_far(request, tmp_path, machine):
    case = GOOD.case()
    short = replace(case, output_bytes=case.output_bytes - 1)
    with pytest.raises(AssertionError, match="exit -11"):
        run_cases(request.getfixturevalue(f"{machine}_program"), "portable", [short], tmp_path)
