"""`larqnets devices`: what can be reached, what it is and how it is now, and what of ours lies there."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from android_bench import UNTRIED
from android_bench.devices import link_to, raspberry
from android_bench.devices.adb import not_ready, states
from android_bench.devices.device import Board
from android_bench.devices.link import Client
from android_bench.devices.probe import clusters, unusable
from android_bench.measuring.thermal import chip_temperature
from larqnets.errors import LarqnetsError


def survey(specs: Sequence[str] = (), *, clean: bool = False) -> dict[str, Any]:
    """Return `devices`, `problems` and a `note`: those named, or everything that adb sees and this machine.

    `clean` removes our files from each; `kept` then names what else lies in our folder there. Raises LarqnetsError for a name that is no device.
    """
    problems = []
    if not specs:
        specs = ["local"]
        try:
            for serial, state in states(Client()).items():
                sentence = not_ready(serial, state)
                specs, problems = (
                    ([*specs, f"adb:{serial}"], problems) if sentence is None else (specs, [*problems, sentence])
                )
        except LarqnetsError as error:
            problems.append(str(error))
    devices = []
    for spec in specs:
        board = Board(link_to(spec))
        try:
            board.open()
            removed, kept = board.clean() if clean else (None, [])
            devices.append(_describe(board) | {"removed_bytes": removed, "kept": kept})
        except LarqnetsError as error:
            problems.append(str(error))
        finally:
            board.close()
    return {"devices": devices, "problems": problems, "note": UNTRIED}


def _describe(board: Board) -> dict[str, Any]:
    facts, state = board.facts(), board.state(0.0)
    reason = None if board.link.emulator else unusable(facts, board.name)
    hottest = chip_temperature(state)
    flags = state.throttled
    return {
        "device": board.name,
        **{key: value for key, value in dataclasses.asdict(facts).items() if key != "cores"},
        "clusters": [dataclasses.asdict(cluster) for cluster in clusters(facts.cores)],
        "usable": reason is None,
        "reason": reason,
        "functional_only": facts.emulator is not None,
        "temperature_c": None if hottest is None else hottest[1],
        "temperature_zone": None if hottest is None else hottest[0],
        "thermal_status": state.thermal_status,
        "throttled_now": None if flags is None else raspberry.now(flags),
        "throttled_since_boot": None if flags is None else raspberry.since_boot(flags),
        "load": state.load,
        "battery_percent": state.battery_percent,
        "charging": state.charging,
        "screen_on": state.screen_on,
        "cache": board.cache,
        "cache_bytes": board.cache_bytes(),
    }
