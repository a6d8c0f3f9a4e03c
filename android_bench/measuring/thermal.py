"""Heat and clocks: when a device may begin a round, whether a round was throttled, and what else to say about its state.

Pure functions of states; `cool_down` alone waits, by the clock that it is given.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from android_bench.clock import Clock
from android_bench.devices import raspberry
from android_bench.record import Cluster, Cores, State
from larqnets.errors import LarqnetsError

CLOCK_LOSS = 0.05  # of a core's clock; readings scatter by less when nothing throttles
POLL_S = 5.0
_SLOW_GOVERNORS = ("powersave", "conservative", "userspace")
_BUSY_LOAD = 1.0
_LOW_BATTERY = 50
_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
# Zones of the processor, as kernels of phones and boards name them.
_CHIP = re.compile(r"cpu|soc|apss|cluster|bigcore|littlecore|tsens_tz|\b(big|mid|little)\b", re.IGNORECASE)


class HotError(LarqnetsError):
    """The device did not cool down in time."""


def chip_temperature(state: State) -> tuple[str, float] | None:
    """Return zone and degrees Celsius of the hottest part of the processor; of anything, when no zone names itself so."""
    zones = {name: value for name, value in state.temperatures_c.items() if _CHIP.search(name)} or state.temperatures_c
    return max(zones.items(), key=lambda zone: zone[1], default=None)


def too_hot(state: State, limit_c: float | None) -> str | None:
    """Return why no round may begin now, None when one may: throttling now, or a processor above the limit."""
    if limit_c is None:
        return None
    if state.thermal_status:
        return f"Android reports thermal status {state.thermal_status} ({_STATUS[state.thermal_status]})"
    if state.throttled and (now := [word for word in raspberry.now(state.throttled) if word != "under-voltage"]):
        return f"the firmware reports: {', '.join(now)}"
    hottest = chip_temperature(state)
    if hottest is not None and hottest[1] > limit_c:
        return f"{hottest[0]} is at {hottest[1]:.1f} °C, above {limit_c:g} °C"
    return None


def cool_down(
    sample: Callable[[], State],
    clock: Clock,
    limit_c: float | None,
    patience_s: float | None,
    on_wait: Callable[[State, str], None],
) -> State:
    """Sample until the device is cool enough and return that state; `on_wait` gets every one that was too hot, and why.

    Raises HotError when it takes longer than `patience_s` (None: no limit).
    """
    start = clock.now()
    while (reason := too_hot(state := sample(), limit_c)) is not None:
        on_wait(state, reason)
        if patience_s is not None and clock.now() - start >= patience_s:
            raise HotError(
                f"It is still too hot after {patience_s:.0f} s: {reason}. Let it cool, take it out of its case or give it a "
                "fan, or allow more with --max-temp."
            )
        clock.sleep(POLL_S)
    return state


def throttling(before: State, after: State, cores: Cores, usual_mhz: Mapping[str, float]) -> str | None:
    """Return why a round between two states does not count, None when it does.

    `usual_mhz`: core -> clock at the end of the first round that counted. A core that is capped lower than before, or ran
    more than 5 % below its usual clock, was throttled, whatever the device reports.
    """
    for state in (before, after):
        if state.thermal_status:
            return f"Android reported thermal status {state.thermal_status} ({_STATUS[state.thermal_status]})"
        if state.throttled and (now := raspberry.now(state.throttled)):
            return f"the firmware reported: {', '.join(now)}"
    fresh = (after.throttled or 0) & ~(before.throttled or 0) if before.throttled is not None else 0
    if since := raspberry.since_boot(fresh):
        return f"the firmware reported meanwhile: {', '.join(since)}"
    for core in map(str, cores.cores):
        limit, now = before.clock_limits_mhz.get(core), after.clock_limits_mhz.get(core)
        if limit is not None and now is not None and now < limit:
            return f"core {core} was capped from {limit:.0f} to {now:.0f} MHz"
        usual, ran = usual_mhz.get(core), after.clocks_mhz.get(core)
        if usual is not None and ran is not None and ran < usual * (1 - CLOCK_LOSS):
            return f"core {core} ran at {ran:.0f} instead of {usual:.0f} MHz"
    return None


def unfit(state: State) -> str | None:
    """Return in one sentence why nothing can be measured at all, None when it can."""
    if state.throttled and state.throttled & raspberry.UNDER_VOLTAGE:
        return "Its firmware reports under-voltage. Use the supply and cable that the board's maker names."
    return None


def concerns(state: State, clusters: Iterable[Cluster], cores: Cores) -> list[str]:
    """Return what may spoil or colour the numbers, one sentence each."""
    found = []
    for cluster in clusters:
        if cluster.governor in _SLOW_GOVERNORS and set(cluster.cores) & set(cores.cores):
            found.append(f"The governor of the cores is {cluster.governor}: they may stay at a low clock.")
        capped = [core for core in cluster.cores if core in cores.cores and _is_capped(state, core, cluster.max_mhz)]
        if capped:
            limit = state.clock_limits_mhz[str(capped[0])]
            found.append(f"Core {capped[0]} is capped to {limit:.0f} of {cluster.max_mhz:.0f} MHz from the start.")
    if state.load is not None and state.load > _BUSY_LOAD:
        found.append(f"The load of the last minute is {state.load:.1f}: something else runs there.")
    if state.battery_percent is not None and state.battery_percent < _LOW_BATTERY and not state.charging:
        found.append(f"The battery is at {state.battery_percent} % and not charging: some phones slow down then.")
    if state.screen_on:
        found.append("The screen is on, which heats. Switch it off.")
    if state.throttled is not None and (since := raspberry.since_boot(state.throttled)):
        found.append(f"Since the board started its firmware has reported: {', '.join(since)}.")
    if not state.temperatures_c:
        found.append("No temperature can be read: only what the device reports as throttling is noticed.")
    if not any(str(core) in state.clocks_mhz for core in cores.cores):
        found.append("The clocks of the cores cannot be read: a core that slows down is not noticed.")
    return found


def _is_capped(state: State, core: int, max_mhz: float | None) -> bool:
    limit = state.clock_limits_mhz.get(str(core))
    return limit is not None and max_mhz is not None and limit < max_mhz * (1 - CLOCK_LOSS)
