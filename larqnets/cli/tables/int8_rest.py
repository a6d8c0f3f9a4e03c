"""Files with an int8 rest: what they cost and lose beside the float rest, what stayed float, how much signal each tensor keeps."""

from typing import Any

from rich.table import Table

from larqnets.errors import printable

# Cores without dot products of int8, on which only a stem of our own would pay.
WITHOUT_DOT_PRODUCTS = ("cortex-a72",)


def told(variant: str, rest: dict[str, Any], verbose: bool) -> list[Any]:
    """The lines about one file of a conversion; `verbose` with a table of its ops."""
    of = rest["calibration"]
    lines: list[Any] = [
        "",
        f"{variant}.tflite: ranges of {of['images']:,} training images (seed {of['seed']}, {of['method']})"
        + (f"; of {len(of['learned'])} layers as they learned them" if of.get("learned") else "")
        + (f"; kept float: {', '.join(rest['keep_float'])}" if rest["keep_float"] else ""),
        *_ends(rest["ends"]),
        *_score(rest),
        *(f"  float: {_left(entry)}" for entry in rest["left"]),
        *_cost(rest["instructions"]),
        f"  {proof_line(rest['proof'])}",
    ]
    return [*lines, op_table(rest["proof"])] if verbose else lines


def _ends(ends: dict[str, Any]) -> list[str]:
    if ends["input"] == ends["output"] == "float":
        return []
    pixels = ", a camera's bytes as they are" if ends["pixels"] else ""
    return [f"  takes {ends['input']}{pixels}, answers with {ends['output']}"]


def _score(rest: dict[str, Any]) -> list[str]:
    if rest["score"] is None:
        return []
    name, interval, difference = rest["headline"], rest["interval"], rest["difference"]
    line = f"  test {name} {rest['score']:.2%}"
    if interval is not None:
        line += f" (95 % interval {interval['low']:.2%} to {interval['high']:.2%})"
    apart = 100 * (rest["score"] - rest["float_rest_score"])
    line += f", {apart:+.2f} points beside the float rest's {rest['float_rest_score']:.2%}"
    if difference is not None:
        line += f" ({100 * difference['low']:+.2f} to {100 * difference['high']:+.2f}, the same {rest['test_images']:,} images)"
    return [line]


def _left(entry: dict[str, Any]) -> str:
    layers = [f"'{name}'" for name in entry["layers"] if name]
    named = f" ({', '.join(layers)})" if layers else ""
    return f"{entry['count']} {entry['op']}{named}: {entry['reason']}"


def _cost(instructions: dict[str, dict[str, int]] | None) -> list[str]:
    """Which of both files executes less on which core, and what follows for cores that have not been counted."""
    if instructions is None:
        return ["  not counted: no ARM64 runtime under qemu here, so whether int8 pays is not known"]
    lines = []
    for cpu, of in instructions.items():
        without = " (no int8 dot products)" if cpu in WITHOUT_DOT_PRODUCTS else ""
        better = "int8 rest" if of["int8_rest"] < of["float_rest"] else "float rest"
        lines.append(
            f"  {cpu}{without}: take the {better}; {of['int8_rest']:,} instructions an inference where the float rest executes "
            f"{of['float_rest']:,}"
        )
    return lines


def proof_line(proof: dict[str, Any]) -> str:
    """What was proven, in a line."""
    ops = proof["ops"]
    larq, integers = ([op for op in ops if op["kind"] == kind] for kind in ("larq", "int8"))
    worst = max((op["worst"] for op in integers), default=0.0)
    verdict = "yes" if proof["equal"] else f"NO: {'; '.join(proof['reasons'])}"
    return (
        f"op by op on the same integers, {proof['samples']} samples: {verdict}; {len(larq)} Larq ops exact, {len(integers)} int8 "
        f"ops within {worst:.0f} of the last bit"
    )


def op_table(proof: dict[str, Any]) -> Table:
    """Every op: how many of its values differ from what is due and how far, and signal to noise of its output end to end."""
    table = Table("op", "layer", "kind", "values", "differ", "worst", "SQNR dB", box=None, title_justify="left")
    for column in range(3, 7):
        table.columns[column].justify = "right"
    for op in proof["ops"]:
        noise = "-" if op["sqnr_db"] is None else f"{op['sqnr_db']:.1f}"
        worst = f"{op['worst']:.0f}" if op["kind"] == "int8" else f"{op['worst']:.1e}" if op["worst"] else "0"
        numbers = (f"{op['values']:,}", f"{op['differ']:,}", worst, noise)
        table.add_row(op["op"], printable(op["layer"]), op["kind"], *numbers)
    return table


def origin(rest: dict[str, Any]) -> str:
    """What a file says of its int8 rest, in a line."""
    calibration, ends = (rest.get(key) for key in ("calibration", "ends"))
    of = calibration if isinstance(calibration, dict) else {}
    types = ends if isinstance(ends, dict) else {}
    kept = rest.get("keep_float")
    words = [
        f"int8 rest: {_word(rest.get('rest'))}",
        f"ranges of {_word(of.get('images'))} training images (seed {_word(of.get('seed'))}, {_word(of.get('method'))})",
        f"takes {_word(types.get('input'))}, answers with {_word(types.get('output'))}",
    ]
    if isinstance(learned := of.get("learned"), list) and learned:
        words.append(f"ranges as learned: {', '.join(map(_word, learned))}")
    words += [f"kept float: {', '.join(map(_word, kept))}"] if isinstance(kept, list) and kept else []
    return "; ".join(words)


def _word(value: Any) -> str:
    return printable(str(value))[:80]
