"""What a session says, in words and numbers that people read: the same in the terminal, on the page and in Markdown."""

import math
from collections.abc import Sequence

from android_bench.measuring.thermal import chip_temperature
from android_bench.record import Cluster, Session, State
from android_bench.reporting.stats import Interval
from android_bench.reporting.summary import ModelSummary, Pairing, Summary


def ms(value: float | None, like: float | None = None) -> str:
    """Return milliseconds with four significant digits, or with as many decimals as `like` has then."""
    if value is None:
        return "–"
    size = abs(value if like is None else like)
    decimals = 3 - math.floor(math.log10(size)) if size > 0 else 1
    return f"{value:,.{min(max(decimals, 0), 6)}f}"


def percent(value: float | None, decimals: int = 1) -> str:
    """Return a fraction as percent."""
    return "–" if value is None else f"{value:.{decimals}%}"


def kib(value: int | None) -> str:
    """Return bytes as KiB or MiB."""
    if value is None:
        return "–"
    return f"{value / 2**20:,.1f} MiB" if value >= 2**20 else f"{value / 2**10:,.1f} KiB"


def interval_words(interval: Interval | None, like: float | None = None) -> str:
    """Return an interval of milliseconds."""
    return "too few rounds" if interval is None else f"{ms(interval.low, like)} to {ms(interval.high, like)}"


def pairing_words(pairing: Pairing, own: ModelSummary) -> str:
    """Return in words how fast a model is beside another one, e.g. "3.12 times as fast as float (3.05 to 3.18)"."""
    ratio = pairing.ratio
    is_twin = own.record.twin_of is None and pairing.role in ("float", "int8") and own.has_twin
    other = f"its {pairing.role} twin" if is_twin else pairing.other
    if pairing.verdict == "no difference":
        words = f"as fast as {other}: {ratio.ratio:.3f} times"
    else:
        words = f"{ratio.ratio:.{2 if ratio.ratio >= 1 else 3}f} times as fast as {other}"
    if ratio.interval is None:
        return f"{words} (too few rounds for an interval)"
    return f"{words} ({ratio.interval.low:.3g} to {ratio.interval.high:.3g})"


def twin_words(model: ModelSummary) -> str:
    """Return whether a model has or is a twin, empty when a comparison says it."""
    if model.record.twin_of is not None:
        return "a twin"
    if not model.has_twin:
        return "no twin"
    return "" if model.pairings else "no round counts for both it and a twin"


def device_name(session: Session) -> str:
    """Return what a reader calls the device."""
    device = session.device
    if device.kind == "qemu":
        return f"emulated {device.address}"
    return device.model or device.address or ("this machine" if device.kind == "local" else "unknown device")


def facts(summary: Summary) -> list[tuple[str, str]]:
    """Return what was measured on: label and words."""
    session = summary.session
    device, cores = session.device, session.cores
    system = [device.os, device.kernel, f"{device.bits} bit" if device.bits else None, device.libc]
    memory = f"{device.memory_mb / 1024:.1f} GiB memory" if device.memory_mb else None
    link = {"adb": "over adb", "ssh": "over ssh", "local": "measured on itself"}.get(device.kind)
    threads = f"{cores.threads} thread{'s' if cores.threads > 1 else ''}"
    found = [
        (
            "device",
            f"{device.model or 'unknown model'}, {device.soc or 'unknown SoC'}, {link} {device.address}".strip()
            if device.kind != "qemu"
            else f"{device.address}, which qemu emulates on this machine",
        ),
        ("system", ", ".join(part for part in (*system, memory) if part) or "not known"),
        ("cores", "; ".join(map(_cluster, device.clusters)) or "not known"),
        ("pinned to", f"{_core_words(cores.cores)} ({cores.choice}), {threads}"),
    ]
    if summary.timed:
        states = [s for m in session.models for r in m.kept for s in (r.before, r.after)]
        found += [("clocks", _clocks(session, states)), ("how warm", _warmth(session, states))]
        found.append(("how sure", _sureness(session)))
    return found


def _cluster(cluster: Cluster) -> str:
    speed = "clock not known" if cluster.max_mhz is None else f"up to {cluster.max_mhz:.0f} MHz"
    more = "".join(f", {word}" for word in (cluster.part, cluster.governor) if word)
    return f"{_core_words(cluster.cores)}: {speed}{more}"


def _core_words(cores: Sequence[int]) -> str:
    if len(cores) > 2 and cores[-1] - cores[0] == len(cores) - 1:
        return f"cores {cores[0]} to {cores[-1]}"
    return f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, cores)) or 'not known'}"


def _clocks(session: Session, states: Sequence[State]) -> str:
    own = [str(core) for core in session.cores.cores]
    seen = [state.clocks_mhz[core] for state in states for core in own if core in state.clocks_mhz]
    limits = [s.clock_limits_mhz[core] for s in states for core in own if core in s.clock_limits_mhz]
    if not seen:
        return "not readable, so whether the cores slowed down is not known"
    words = f"{_range(seen, 0)} MHz before and after the rounds that count"
    return f"{words}, allowed {_range(limits, 0)} MHz" if limits else words


def _warmth(session: Session, states: Sequence[State]) -> str:
    start, chip = ([t[1] for s in some if (t := chip_temperature(s))] for some in (session.trace[:1], states))
    words = (
        f"processor {_range(chip, 1)} °C before and after the rounds that count" if chip else "no temperature readable"
    )
    words += "".join(f", {degrees:.1f} °C at the start" for degrees in start)
    gate = session.protocol.start_temperature_c
    return f"{words}; no gate" if gate is None else f"{words}; a round began at {gate:.0f} °C or below"


def _range(values: Sequence[float], decimals: int) -> str:
    low, high = (f"{value:.{decimals}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _sureness(session: Session) -> str:
    counts = sorted({len(model.kept) for model in session.models})
    discarded = sum(r.discarded is not None for model in session.models for r in model.rounds)
    runs = sum(r.runs for model in session.models for r in model.kept)
    counted = _range(counts, 0) if counts else "0"
    return (
        f"{counted} of {session.protocol.rounds} rounds count for every model, {runs:,} invocations in all; {discarded} "
        "discarded"
    )


def provenance(summary: Summary) -> list[tuple[str, str]]:
    """Return where everything came from: label and words."""
    session = summary.session
    protocol, runtime = session.protocol, session.runtime
    found = [
        ("session", f"{session.session}, {session.created}, larqnets {session.larqnets}"),
        (
            "protocol",
            f"{protocol.rounds} rounds of at least {protocol.round_runs} invocations and {protocol.round_ms} ms, warm-up "
            f"{protocol.warmup_runs} and {protocol.warmup_ms} ms, XNNPACK {'on' if protocol.xnnpack else 'off'}, "
            f"{'low memory, ' if protocol.low_memory else ''}{'strict, ' if protocol.strict else ''}seed {protocol.seed}",
        ),
    ]
    if runtime is not None:
        found.append(("runtime", f"larqnets {runtime.larqnets}, TensorFlow Lite {runtime.tflite}, {runtime.kernels}"))
        found.append(("runs on", f"{runtime.system}, hwcap {runtime.hwcap}, hwcap2 {runtime.hwcap2}"))
        found += [
            (name, f"SHA-256 {digest}") for name, digest in (("sources", runtime.sources), *runtime.files.items())
        ]
    for model in session.models:
        found.append((model.name, f"{model.file}, {model.bytes:,} bytes, SHA-256 {model.sha256}"))
        if model.accuracy_source is not None:
            found.append(("", f"{model.score} from {model.accuracy_source}"))
        if model.kernels is not None:
            found.append(("", f"1-bit convolutions: {model.kernels} kernels"))
        if model.stem is not None:
            found.append(("", f"stem {model.stem}"))
    found += [("note", text) for text in session.device.notes]
    return found + [("note", event.text) for event in session.events if event.kind == "note"]
