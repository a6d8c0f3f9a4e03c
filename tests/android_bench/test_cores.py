"""Which cores a measurement is pinned to: on devices that there are, and what holds for any set of cores."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.devices.probe import Core, parse_facts
from android_bench.measuring.cores import big_cores, choose_cores
from larqnets import LarqnetsError

STATES = Path(__file__).parent / "states"

cores_of_a_device = st.lists(
    st.tuples(st.sampled_from([None, 1000.0, 1800.0, 2400.0, 3000.0]), st.booleans()), min_size=1, max_size=12
).map(lambda kinds: [Core(i, mhz, None, None, usable) for i, (mhz, usable) in enumerate(kinds)])


def cores(name):
    return parse_facts((STATES / f"{name}.probe").read_text()).cores


@pytest.mark.parametrize(
    ("name", "threads", "mask", "words"),
    [
        ("pi4", 1, "8", "1 of 4 cores that are alike (1800 MHz)"),
        ("pi4", None, "f", "4 of 4 cores that are alike"),
        ("tensor", 1, "80", "the core with the highest maximum clock (2802 MHz) of 8"),
        ("tensor", 2, "c0", "the 2 cores with"),
        ("tensor", None, "f0", "(2253 to 2802 MHz)"),
        ("tensor", 6, "fc", "2 of them are little cores"),
        ("sm8350", 1, "80", "(2842 MHz)"),
        ("sm8350", None, "f0", "the 4 cores with"),
        ("octa_a53", 1, "80", "1 of 6 cores that are alike"),
        ("phone_32bit", 1, "8", "does not say how fast"),
    ],
)
def test_devices(name, threads, mask, words):
    chosen = choose_cores(cores(name), threads)
    assert chosen.mask == mask
    assert words in chosen.choice
    assert chosen.threads == len(chosen.cores)


def test_a_mask_is_taken_as_it_is():
    chosen = choose_cores(cores("tensor"), 1, "f0")
    assert (chosen.mask, chosen.cores, chosen.threads, chosen.choice) == ("f0", (4, 5, 6, 7), 1, "named with --cores")
    assert choose_cores(cores("tensor"), None, "30").threads == 2


@pytest.mark.parametrize(
    ("threads", "mask", "words"),
    [
        (9, None, "--threads 8"),
        (3, "c0", "--threads 2"),
        (1, "100", "e.g. 80 for core 7"),
        (1, "0", "is no mask"),
        (1, "x", "ff"),
    ],
)
def test_what_cannot_be_chosen(threads, mask, words):
    with pytest.raises(LarqnetsError, match=words):
        choose_cores(cores("tensor"), threads, mask)


def test_a_device_without_cores():
    with pytest.raises(LarqnetsError, match="--cores MASK"):
        choose_cores((), 1)


@given(cores_of_a_device, st.integers(1, 12))
def test_no_core_that_is_left_out_is_faster(all_cores, threads):
    usable = [core for core in all_cores if core.usable]
    if len(usable) < threads:
        with pytest.raises(LarqnetsError):
            choose_cores(all_cores, threads)
        return
    chosen = choose_cores(all_cores, threads)
    assert len(chosen.cores) == threads
    assert int(chosen.mask, 16) == sum(1 << number for number in chosen.cores)
    inside = [core.max_mhz or 0 for core in usable if core.number in chosen.cores]
    outside = [core.max_mhz or 0 for core in usable if core.number not in chosen.cores]
    assert len(inside) == threads
    assert not outside or min(inside) >= max(outside)


@given(cores_of_a_device)
def test_big_cores_are_all_or_the_faster_ones(all_cores):
    big = big_cores(all_cores)
    assert big
    clocks = {core.max_mhz or 0 for core in all_cores}
    assert (len(big) == len(all_cores)) == (len(clocks) == 1)
    assert all((core in big) == ((core.max_mhz or 0) > min(clocks)) for core in all_cores) or len(clocks) == 1
