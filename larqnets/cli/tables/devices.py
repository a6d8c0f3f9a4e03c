"""What was measured or found on devices, as tables for people; every number comes from what `--json` prints."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from larqnets.cli.tables.facts import facts
from larqnets.errors import printable

if TYPE_CHECKING:
    from android_bench.reporting.summary import Summary


def operations(summary: "Summary") -> list[Any]:
    """Instructions of every model by op, and its groups."""
    parts: list[Any] = []
    for model in summary.session.models:
        if model.instructions is None or not model.instructions.ops:
            continue
        table = Table("op", "group", "instructions", "share", box=None, pad_edge=False)
        for column in table.columns[2:]:
            column.justify = "right"
        ops = model.instructions.ops
        total = sum(op.instructions for op in ops)
        for op in ops:
            table.add_row(
                _fused(op.name) + (f", {op.way}" if op.way else ""),
                op.group,
                f"{op.instructions:,}",
                f"{op.instructions / total:.1%}",
            )
        groups = (f"{group} {model.instructions.of(group) / total:.1%}" for group in ("binary", "real", "glue"))
        parts += [f"{model.name}: {model.instructions.instructions:,} instructions per inference", table]
        parts += [", ".join(groups), ""]
    return parts


def side_by_side(summary: "Summary") -> list[Any]:
    """The instructions of every network, binary beside float beside int8, and their ratios; nothing where none are counted."""
    from android_bench.emulation.emulator import described
    from android_bench.reporting.counted import RATIOS, kinds_of, side_by_side

    rows = side_by_side(summary.session)
    if not rows:
        return []
    kinds = kinds_of(rows)
    ratios = [pair for pair in RATIOS if any(row.ratio(*pair) for row in rows)]
    table = Table("network", *kinds, *(" / ".join(pair) for pair in ratios), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        counts = (f"{row.counts[kind]:,}" if kind in row.counts else "-" for kind in kinds)
        times = (f"{value:.2f}" if (value := row.ratio(*pair)) else "-" for pair in ratios)
        table.add_row(row.name, *counts, *times)
    # A line of its own: a table breaks its title where its columns end.
    return ["", f"instructions of an inference, {described(rows[0].cpu)} under qemu", table]


def _fused(name: str) -> str:
    """Return the ops that run as one with the number of each: "2 CONV_2D + ADD" for "CONV_2D + ADD + CONV_2D"."""
    counts = Counter(name.split(" + "))
    return " + ".join(op if count == 1 else f"{count} {op}" for op, count in counts.items())


def sessions(summaries: Sequence["Summary"]) -> list[Any]:
    """Sessions one after another: what was measured on, latencies beside the twins, warnings."""
    from android_bench import UNTRIED

    parts = [part for summary in summaries for part in session(summary)]
    return [*parts, UNTRIED, *(part for summary in summaries for part in side_by_side(summary))]


def session(summary: "Summary") -> list[Any]:
    """One session; without ARM64 hardware it has no latency."""
    from android_bench.reporting.words import facts as device_facts
    from android_bench.reporting.words import interval_words, kib, ms, pairing_words, twin_words

    known = facts(dict(device_facts(summary)))
    table = Table("model", box=None, pad_edge=False)
    counted = any(model.record.instructions for model in summary.models)
    untimed = ("file", "instructions") if counted else ("file",)
    for heading in ("median, ms", "95% interval", "p90, ms") if summary.timed else untimed:
        table.add_column(heading, justify="right", no_wrap=True)
    if summary.timed:
        table.add_column("beside its twins")
    for model in summary.models:
        own, count = model.latency, model.record.instructions
        if not summary.timed:
            cells = [
                kib(model.record.bytes),
                *(["not counted" if count is None else f"{count.instructions:,}"] * counted),
            ]
        elif own is None:
            cells = ["none", "", "", twin_words(model)]
        else:
            words = [word for word in (twin_words(model), *(pairing_words(p, model) for p in model.pairings)) if word]
            interval = interval_words(own.interval_ms, own.median_ms)
            cells = [ms(own.median_ms), interval, ms(own.p90_ms, own.median_ms), Text("\n".join(map(printable, words)))]
        table.add_row(model.record.name, *cells)
    remarks = [] if summary.timed else ["No ARM64 hardware ran these files: no time is shown."]
    if summary.session.device.kind == "qemu":
        remarks += [f"note: {text}" for text in summary.session.device.notes]
    if rewritten := [model.record.name for model in summary.models if model.record.stem == "rewritten"]:
        remarks.append(f"note: stem rewritten, as SPACE_TO_DEPTH and a convolution of stride 1: {', '.join(rewritten)}")
    remarks += [f"warning: {text}" for text in summary.warnings]
    return [known, "", table, *remarks, ""]


def comparison(result: dict[str, Any]) -> list[Any]:
    """Two sessions, model by model, and what else differs between them."""
    columns = ("model", "before, ms", "after, ms", "ratio", "95% interval", "p", "counts from", "verdict")

    table = Table(*columns, box=None, pad_edge=False)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for row in result["rows"]:
        ratio = row["ratio"]
        if ratio is None:
            table.add_row(row["name"], *["-"] * 6, "undecided: no round counts")
            continue
        interval, p = ratio["interval"], ratio["p"]
        numbers = [f"{row['baseline_ms']:.4g}", f"{row['candidate_ms']:.4g}", f"{ratio['ratio']:.3f}"]
        numbers.append("-" if interval is None else f"{interval['low']:.3f} to {interval['high']:.3f}")
        numbers += ["-" if p is None else f"{p:.2g}", f"{row['threshold']:.1%}"]
        table.add_row(row["name"], *numbers, row["verdict"] + (": too few rounds" if p is None else ""))
    remarks = [f"not compared: {text}" for text in result["unmatched"]]
    remarks += [
        f"matched by {row['matched_by']}, the files differ: {row['name']}"
        for row in result["rows"]
        if row["matched_by"] == "name"
    ]
    remarks += [f"differs: {text}" for text in result["differences"]]
    return [f"{result['baseline']}, then {result['candidate']}", table, *remarks]


def measured(outcome: Any, summaries: Sequence["Summary"]) -> list[Any]:
    """The sessions of a benchmark, whether device and host agree, where the records are, and last what qemu counted."""
    from android_bench import UNTRIED

    parts = [part for summary in summaries for part in session(summary)]
    for summary, path in zip(summaries, outcome.files, strict=True):
        parts += operations(summary)
        for model in summary.session.models:
            if model.equality is not None:
                parts.append(_verdict(f"{model.name}:", asdict(model.equality)))
        parts.append(f"record: {path}")
    return [*parts, UNTRIED, *(part for summary in summaries for part in side_by_side(summary))]


def _verdict(whose: str, equality: dict[str, Any]) -> str:
    """Say whether outputs are those of the host; `whose` comes before "outputs"."""
    verdict = "equal to" if equality["equal"] else "DIFFERENT from"
    return (
        f"{whose} outputs {verdict} those of {equality['engine']}, {equality['samples']} samples, "
        f"largest difference {equality['max_difference']:.2g} (allowed {equality['tolerance']:.2g})"
    )


def devices(found: dict[str, Any]) -> list[Any]:
    """What can be measured on, one device after another."""
    parts: list[Any] = []
    for device in found["devices"]:
        parts.append(facts(_device(device), device["device"]))
        if device["kept"]:
            names = ", ".join(device["kept"])
            parts.append(f"Not ours and still in {device['cache']} on {device['device']}: {names}")
        parts.append("")
    parts += [f"- {text}" for text in found["problems"]]
    return [*parts, "A board is shown when it is named: larqnets devices --device ssh:USER@HOST", found["note"]]


def _device(device: dict[str, Any]) -> dict[str, Any]:
    system = (device["os"], device["kernel"], device["machine"], device["libc"])
    bits = None if device["bits"] is None else f"{device['bits']} bits"
    kinds = [
        f"{', '.join(map(str, c['cores']))}: {c['part'] or 'not known'}, "
        + ("clock not known" if c["max_mhz"] is None else f"at most {c['max_mhz']:.0f} MHz")
        + (f", governor {c['governor']}" if c["governor"] else "")
        for c in device["clusters"]
    ]
    temperature = (
        None if device["temperature_c"] is None else f"{device['temperature_c']:.1f} °C ({device['temperature_zone']})"
    )
    battery = (
        None
        if device["battery_percent"] is None
        else f"{device['battery_percent']} %" + (", charging" if device["charging"] else "")
    )
    throttled = {
        "throttled now": ", ".join(device["throttled_now"] or []) or "no",
        "since it started": ", ".join(device["throttled_since_boot"] or []) or "no",
    }
    shown = {
        "use": "functional only, no latency: " + device["emulator"]
        if device["functional_only"]
        else device["reason"] or "yes",
        "model": device["model"],
        "SoC": device["soc"],
        **{"cores" if i == 0 else f"cores {i + 1}": kind for i, kind in enumerate(kinds)},
        "memory": None if device["memory_mb"] is None else f"{device['memory_mb']:,} MiB",
        "system": ", ".join(word for word in (*system, bits) if word) or None,
        "temperature": temperature,
        **({} if device["throttled_now"] is None else throttled),
        "Android's thermal status": device["thermal_status"],
        "battery": battery,
        "load": device["load"],
        "our files": f"{device['cache_bytes'] / 2**20:.1f} MiB in {device['cache']}",
        "removed": None if device["removed_bytes"] is None else f"{device['removed_bytes'] / 2**20:.1f} MiB",
    }
    always = ("model", "SoC", "temperature")
    return {name: value for name, value in shown.items() if value is not None or name in always}


def runtime(result: dict[str, Any]) -> list[Any]:
    """Where the built runtime lies and what is in it."""
    parts: list[Any] = [f"Android apps: {result['app']}" if "app" in result else f"ARM64 Linux: {result['arm64']}"]
    parts += [f"  {name}  sha256 {sha256[:12]}..." for name, sha256 in result["files"].items()]
    if "archive" in result:
        parts += [f"archive: {result['archive']}", f'Gradle: maven {{ url = uri("{result["maven"]}") }}']
        parts.append(f'  implementation "{result["coordinates"]}"')
    if "app" in result:
        return parts
    android = f"Android: {result['android']}" if result["android"] else f"Android: left out. {result['left_out']}"
    return [*parts, android]
