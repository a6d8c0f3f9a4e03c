"""Which cores a measurement is pinned to: affinity alone changes latencies twofold, so it is chosen and stated."""

from collections.abc import Sequence

from android_bench.devices.probe import Core
from android_bench.record import Cores
from larqnets.errors import LarqnetsError

_MAX_CORES = 64  # of the runner's mask


def choose_cores(cores: Sequence[Core], threads: int | None = 1, mask: str | None = None) -> Cores:
    """Choose the fastest usable cores by maximum clock, one for every thread; of equals the last, for the first are the busiest.

    `threads`: None takes as many as there are big cores. `mask`: hexadecimal, these cores and no others. Raises
    LarqnetsError when there are not that many, or the mask is none.
    """
    usable = [core for core in cores if core.usable and core.number < _MAX_CORES]
    if not usable:
        raise LarqnetsError(
            "The device does not say which cores it has. Name them: --cores MASK, hexadecimal, e.g. f0."
        )
    if mask is not None:
        usable = _named(usable, mask)
    ranked = sorted(usable, key=lambda core: (core.max_mhz or 0, core.number), reverse=True)
    big = big_cores(usable)
    number = threads or (len(big) if mask is None else len(usable))
    if number > len(ranked):
        raise LarqnetsError(
            f"{number} threads need {number} cores, and {len(ranked)} can be used. Use --threads {len(ranked)}."
        )
    chosen = ranked[:number] if mask is None else ranked
    numbers = tuple(sorted(core.number for core in chosen))
    return Cores(_mask(numbers), numbers, number, "named with --cores" if mask else _choice(chosen, usable, big))


def big_cores(cores: Sequence[Core]) -> list[Core]:
    """Return the cores that are faster by maximum clock than the slowest ones; all of them when all are alike."""
    slowest = min(core.max_mhz or 0 for core in cores)
    return [core for core in cores if (core.max_mhz or 0) > slowest] or list(cores)


def _choice(chosen: list[Core], usable: list[Core], big: list[Core]) -> str:
    clocks = sorted({core.max_mhz for core in chosen if core.max_mhz is not None})
    if not clocks:
        return "the last of the cores; the device does not say how fast they are"
    clock = f"{clocks[0]:.0f} MHz" if len(clocks) == 1 else f"{clocks[0]:.0f} to {clocks[-1]:.0f} MHz"
    if len(big) == len(usable):
        return f"{len(chosen)} of {len(usable)} cores that are alike ({clock})"
    what = "the core with" if len(chosen) == 1 else f"the {len(chosen)} cores with"
    little = "" if len(chosen) <= len(big) else f"; {len(chosen) - len(big)} of them are little cores"
    return f"{what} the highest maximum clock ({clock}) of {len(usable)}{little}"


def _named(usable: list[Core], mask: str) -> list[Core]:
    there = {core.number: core for core in usable}
    try:
        bits = int(mask, 16)
    except ValueError:
        bits = 0
    numbers = {number for number in range(bits.bit_length()) if bits >> number & 1}
    if not numbers or not numbers <= there.keys():
        raise LarqnetsError(
            f"--cores '{mask}' is no mask of cores that can be used. Give a hexadecimal number with bits of "
            f"{_mask(tuple(there))}, e.g. {_mask((max(there),))} for core {max(there)}."
        )
    return [there[number] for number in sorted(numbers)]


def _mask(numbers: Sequence[int]) -> str:
    return f"{sum(1 << number for number in numbers):x}"
