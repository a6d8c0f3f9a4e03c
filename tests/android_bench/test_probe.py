"""What devices say, as text, becomes facts: states of phones and Pis written by hand (states/), and any other text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from android_bench.devices import android, linux, raspberry
from android_bench.devices.probe import PROBE, STATE, clusters, parse_facts, parse_state, sections, to_device, unusable

STATES = Path(__file__).parent / "states"


def facts(name):
    return parse_facts((STATES / f"{name}.probe").read_text())


def state(name):
    return parse_state((STATES / f"{name}.state").read_text(), 1.5)


def test_every_file_says_that_it_was_not_recorded():
    files = list(STATES.iterdir())
    assert files
    for file in files:
        text = file.read_text()
        assert "not recorded on a device" in text.splitlines()[0]
        script = {".probe": PROBE, ".state": STATE}[file.suffix]
        assert all(f'echo "@@ {name}"' in script for name in sections(text))


def test_a_pi():
    pi = facts("pi4")
    assert (pi.model, pi.soc) == ("Raspberry Pi 4 Model B Rev 1.4", "brcm,bcm2711")
    assert (pi.machine, pi.bits, pi.libc, pi.memory_mb) == ("aarch64", 64, "glibc 2.36", 3793)
    assert (pi.os, pi.kernel) == ("Debian GNU/Linux 12 (bookworm)", "Linux 6.6.31+rpt-rpi-v8")
    (cluster,) = clusters(pi.cores)
    assert (cluster.cores, cluster.max_mhz, cluster.governor) == ((0, 1, 2, 3), 1800.0, "ondemand")
    assert cluster.part == "Cortex-A72"
    assert all(core.usable for core in pi.cores)
    assert (pi.is_android, pi.emulator, pi.fan) == (False, None, None)
    assert facts("pi5").fan == "pwm-fan"
    assert facts("pi5").libc == "glibc 2.36"


def test_a_phone_with_three_kinds_of_cores():
    phone = facts("tensor")
    assert (phone.model, phone.soc, phone.os) == ("Google Pixel 6", "Google Tensor", "Android 13 (TQ3A.230805.001)")
    assert phone.libc == "bionic"
    kinds = [(c.part, c.cores, c.max_mhz) for c in clusters(phone.cores)]
    assert kinds == [
        ("Cortex-A55", (0, 1, 2, 3), 1803.0),
        ("Cortex-A76", (4, 5), 2253.0),
        ("Cortex-X1", (6, 7), 2802.0),
    ]
    device = to_device(phone, "adb", "SERIAL", functional_only=False, notes=())
    assert (device.clusters, device.model) == (clusters(phone.cores), phone.model)
    assert facts("sm8350").soc == "lahaina"  # Android 11 does not name the maker's chip


def test_cores_that_are_off_cannot_be_used():
    assert [core.number for core in facts("octa_a53").cores if core.usable] == [0, 1, 2, 3, 6, 7]


def test_state_of_a_pi():
    pi = state("pi4")
    assert pi.at_s == 1.5
    assert pi.temperatures_c == {"cpu-thermal": 47.226, "cpu:firmware": 47.2}
    assert pi.clocks_mhz == {str(core): 600.0 for core in range(4)}
    assert pi.clock_limits_mhz == {str(core): 1800.0 for core in range(4)}
    assert (pi.throttled, pi.load) == (0, 0.08)
    assert (pi.thermal_status, pi.battery_percent, pi.charging, pi.screen_on) == (None, None, None, None)


def test_state_of_phones():
    phone = state("tensor")
    assert phone.thermal_status == 0
    assert phone.temperatures_c["cpu:BIG"] == 38.2
    assert phone.temperatures_c["skin:VIRTUAL-SKIN"] == 31.4
    assert "G3D" not in phone.temperatures_c  # reads 0: off
    assert (phone.battery_percent, phone.charging, phone.screen_on) == (84, True, False)
    hot = state("tensor_hot")
    assert (hot.thermal_status, hot.charging, hot.screen_on) == (2, False, True)
    assert hot.temperatures_c["skin:VIRTUAL-SKIN"] == 44.1
    old = state("old_phone")  # counts whole degrees, and a sensor is not connected
    assert old.temperatures_c == {
        "tsens_tz_sensor0": 38.0,
        "tsens_tz_sensor5": 41.0,
        "pm8994_tz": 37.0,
        "battery": 31.0,
    }
    assert (old.thermal_status, old.screen_on) == (None, False)


def test_what_limits_a_pi_in_words():
    flags = state("pi4_undervoltage").throttled
    assert flags == 0x50005
    assert raspberry.now(flags) == ["under-voltage", "throttled"]
    assert raspberry.since_boot(flags) == ["under-voltage", "throttled"]
    flags = state("pi5_hot").throttled
    assert raspberry.now(flags) == ["soft temperature limit"]
    assert raspberry.since_boot(flags) == ["clock capped", "throttled", "soft temperature limit"]
    assert raspberry.throttled("50000\n") == 0x50000  # the kernel's file, hexadecimal as well


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pi4", None),
        ("pi5", None),
        ("tensor", None),
        ("octa_a53", None),
        ("pi3_32bit", ["32-bit", "64-bit Raspberry Pi OS"]),
        ("phone_32bit", ["32-bit", "64-bit phone"]),
        ("pi4_buster", ["glibc 2.28", "2.30", "bullseye"]),
        ("pi4_alpine", ["musl 1.2.5", "glibc 2.30"]),
        ("pc", ["x86_64", "--device qemu"]),
    ],
)
def test_what_the_runtime_cannot_run_on(name, words):
    sentence = unusable(facts(name), "it")
    assert (sentence is None) == (words is None)
    assert all(word in sentence for word in words or ())


def test_an_emulated_phone_is_known():
    assert facts("emulator").emulator == "an Android emulator"
    assert facts("tensor").emulator is None


def test_nothing_said_is_nothing_known():
    nothing = parse_facts("")
    assert (nothing.machine, nothing.bits, nothing.libc, nothing.cores) == (None, None, None, ())
    assert "of an unknown kind" in unusable(nothing, "it")
    empty = parse_state("", 0.0)
    assert (empty.temperatures_c, empty.clocks_mhz, empty.load) == ({}, {}, None)


@settings(max_examples=50, deadline=None)  # reads files
@given(st.text(), st.sampled_from(sorted(STATES.iterdir())), st.integers(0, 5000), st.integers(0, 200))
def test_damaged_text_is_no_error(noise, file, start, length):
    text = file.read_text()
    text = text[:start] + noise + text[start + length :]
    parse_facts(text)
    parse_state(text, 0.0)


@given(st.sets(st.integers(0, 127), min_size=1))
def test_lists_and_masks_of_cores_are_read_as_the_kernel_writes_them(cores):
    assert linux.core_list(",".join(map(str, sorted(cores)))) == cores
    digits = f"{sum(1 << core for core in cores):x}"
    digits = digits.zfill(-(-len(digits) // 8) * 8)
    words = ",".join(digits[i : i + 8] for i in range(0, len(digits), 8))
    assert linux.core_mask(f"Cpus_allowed:\t{words}") == cores
    first, last = min(cores), max(cores)
    assert linux.core_list(f"{first}-{last}\n") == set(range(first, last + 1))


@given(
    st.dictionaries(st.from_regex(r"[a-z]+(\.[a-z]+)*", fullmatch=True), st.from_regex(r"[^\]\n\r]*", fullmatch=True))
)
def test_properties_are_read_back(values):
    assert android.properties("".join(f"[{key}]: [{value}]\n" for key, value in values.items())) == values


def test_zones_of_one_kind_stay_apart():
    zone = "/sys/class/thermal/thermal_zone"
    lines = "".join(
        f"{zone}{i}/type:cpu\n{zone}{i}/temp:{value}\n" for i, value in enumerate([41000, 42500, 0, 999999])
    )
    assert linux.temperatures(lines) == {"cpu": 41.0, "cpu 2": 42.5}
