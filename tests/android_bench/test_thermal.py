"""The thermal gate with a clock of its own, what counts as throttling, and what is said about a device's state."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.devices.probe import clusters, parse_facts, parse_state
from android_bench.measuring import thermal
from android_bench.record import Cores, State

STATES = Path(__file__).parent / "states"
CORES = Cores("80", (7,), 1, "")
COOL = State(0.0, {"7": 2800.0}, {"7": 2800.0}, {"cpu-thermal": 40.0}, 0, None, 0.1, None, None, None)


def state(name):
    return parse_state((STATES / f"{name}.state").read_text(), 0.0)


def with_(**changes):
    return dataclasses.replace(COOL, **changes)


class FakeClock:
    """Time that passes when somebody sleeps."""

    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("pi4", "cpu-thermal"),
        ("pi5_hot", "cpu:firmware"),
        ("tensor", "cpu:BIG"),
        ("tensor_hot", "cpu:BIG"),
        ("old_phone", "tsens_tz_sensor5"),
    ],
)
def test_the_processor_is_found_among_the_zones(name, zone):
    assert thermal.chip_temperature(state(name))[0] == zone


def test_without_a_zone_of_the_processor_the_hottest_counts():
    assert thermal.chip_temperature(with_(temperatures_c={"x": 30.0, "battery": 41.0})) == ("battery", 41.0)
    assert thermal.chip_temperature(with_(temperatures_c={})) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (COOL, None),
        (state("pi4"), None),
        (state("tensor"), None),
        (with_(temperatures_c={}), None),
        (with_(temperatures_c={"cpu": 60.0}), None),
        (with_(temperatures_c={"cpu": 60.1}), "cpu is at 60.1 °C, above 60 °C"),
        (with_(temperatures_c={"cpu": 50.0, "battery": 70.0}), None),
        (with_(thermal_status=1), "thermal status 1 (light)"),
        (state("tensor_hot"), "thermal status 2 (moderate)"),
        (state("pi5_hot"), "soft temperature limit"),
        (with_(throttled=0x50000), None),  # in the past
        (with_(throttled=0x1), None),  # under-voltage is no heat: `unfit`
    ],
)
def test_when_a_round_may_begin(seen, words):
    reason = thermal.too_hot(seen, 60.0)
    assert (reason is None) == (words is None)
    assert words is None or words in reason
    assert thermal.too_hot(seen, None) is None


def test_the_gate_waits_until_it_is_cool():
    clock, waited = FakeClock(), []
    cooling = [with_(temperatures_c={"cpu": t}) for t in (80.0, 70.0, 61.0, 59.0, 30.0)]
    found = thermal.cool_down(iter(cooling).__next__, clock, 60.0, 600.0, lambda s, why: waited.append(why))
    assert found == cooling[3]
    assert len(waited) == 3
    assert clock.time == 3 * thermal.POLL_S


@given(st.floats(0, 1000), st.floats(61, 150))
def test_the_gate_gives_up_after_its_time_and_not_before(patience, degrees):
    clock = FakeClock()
    with pytest.raises(thermal.HotError, match=r"still too hot after .* cpu is at .*--max-temp"):
        thermal.cool_down(lambda: with_(temperatures_c={"cpu": degrees}), clock, 60.0, patience, lambda s, why: None)
    assert patience <= clock.time <= patience + thermal.POLL_S


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (COOL, COOL, None),
        (COOL, with_(thermal_status=1), "thermal status 1 (light)"),
        (with_(thermal_status=2), COOL, "thermal status 2"),
        (COOL, with_(throttled=0x4), "the firmware reported: throttled"),
        (with_(throttled=0), with_(throttled=0x40000), "reported meanwhile: throttled"),
        (with_(throttled=0x40000), with_(throttled=0x40000), None),
        (COOL, with_(clock_limits_mhz={"7": 2700.0}), "core 7 was capped from 2800 to 2700 MHz"),
        (COOL, with_(clock_limits_mhz={"7": 2800.0, "0": 500.0}), None),  # a core that is not used
        (COOL, with_(clocks_mhz={"7": 2000.0}), "core 7 ran at 2000 instead of 2800 MHz"),
        (COOL, with_(clocks_mhz={"7": 2700.0}), None),
        (COOL, with_(clocks_mhz={}, clock_limits_mhz={}), None),
        (COOL, with_(temperatures_c={"cpu": 79.0}), None),  # warm is not throttled
    ],
)
def test_what_counts_as_throttling(before, after, words):
    reason = thermal.throttling(before, after, CORES, {"7": 2800.0})
    assert (reason is None) == (words is None)
    assert words is None or words in reason


@given(st.floats(100, 4000), st.floats(0.01, 1.5))
def test_a_clock_is_held_against_the_usual_one(usual, factor):
    after = with_(clocks_mhz={"7": usual * factor})
    reason = thermal.throttling(COOL, after, CORES, {"7": usual})
    if abs(factor - (1 - thermal.CLOCK_LOSS)) > 1e-9:
        assert (reason is not None) == (factor < 1 - thermal.CLOCK_LOSS)
    assert thermal.throttling(COOL, after, CORES, {}) is None  # nothing is usual yet


def test_under_voltage_ends_it():
    assert "supply" in thermal.unfit(state("pi4_undervoltage"))
    assert thermal.unfit(state("pi4")) is None
    assert thermal.unfit(with_(throttled=0x50000)) is None


def test_what_is_said_about_a_state():
    pi = parse_facts((STATES / "pi4.probe").read_text())
    pinned = Cores("8", (3,), 1, "")
    assert thermal.concerns(state("pi4"), clusters(pi.cores), pinned) == []
    assert thermal.concerns(with_(throttled=0x50000, clocks_mhz={"3": 1.0}), clusters(pi.cores), pinned) == [
        "Since the board started its firmware has reported: under-voltage, throttled."
    ]
    phone = parse_facts((STATES / "tensor.probe").read_text())
    said = " ".join(thermal.concerns(state("tensor_hot"), clusters(phone.cores), CORES))
    for words in ("capped to 1826 of 2802 MHz", "load of the last minute is 6.0", "battery is at 41 %", "screen is on"):
        assert words in said
    slow = [dataclasses.replace(cluster, governor="powersave") for cluster in clusters(pi.cores)]
    assert "governor of the cores is powersave" in thermal.concerns(state("pi4"), slow, pinned)[0]
    blind = thermal.concerns(with_(temperatures_c={}, clocks_mhz={}), clusters(pi.cores), pinned)
    assert [words.split()[0] for words in blind] == ["No", "The"]
