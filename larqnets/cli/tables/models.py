"""Models as tables for people: converted, proven, inspected, counted."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from larqnets.cli.tables import int8_rest
from larqnets.cli.tables.facts import facts
from larqnets.tflite.inspect import KINDS, Inspection

MAX_OPS = 500  # that are shown
_SAMPLES = "of the samples get the same class"


def conversion(manifest: dict[str, Any], verbose: bool) -> list[Any]:
    """The result of a conversion: the files side by side, then the verdict; `verbose`: what it rests on."""
    folder, verification = manifest["folder"], manifest["verification"]
    score = f"test {manifest['headline']}"
    trained = manifest["source"].get("run", {}).get(f"test_{manifest['headline']}")
    table = Table("file", "bytes", "of float", "1-bit MACs", score, "", title_justify="left", box=None)
    table.title = "trained: " + (f"{score} not known" if trained is None else f"{score} {trained:.2%}")
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    entries = manifest["files"]
    whole = entries.get("float", {}).get("bytes")
    for variant, entry in entries.items():
        measured = (entry["scores"] or {}).get(manifest["headline"])
        table.add_row(
            entry["file"],
            f"{entry['bytes']:,}",
            f"{entry['bytes'] / whole:.1%}" if whole else "-",
            f"{entry['binary_mac_share']:.1%}",
            "-" if measured is None else f"{measured:.2%}",
            entry["note"] or ("converted, verified" if variant == manifest["file"].removesuffix(".tflite") else ""),
        )
    parts: list[Any] = [table, ""]
    if verification is not None:
        parts += verification_lines(verification, verbose)
    check = entries[manifest["file"].removesuffix(".tflite")]["constants"]
    if verbose and check is not None and check["matches"] and (total := sum(check["found"].values())):
        once = f", stored in {total - check['shared']:,}, equal ones once" if check["shared"] else ""
        also = f" and the weights of {', '.join(check['unpredicted'])}" if check["unpredicted"] else ""
        parts.append(
            f"constants: {total:,} bytes, as predicted to the byte{once}; beside them {check['other_constants']:,} bytes "
            f"of shapes and unfolded BatchNorm{also}, {check['overhead']:,} bytes of file structure"
        )
    for fallback in manifest["float_fallbacks"]:
        parts.append(f"FLOAT: layer '{fallback['layer']}' runs as float: {fallback['cause']}")
    if rewritten := [entry["file"] for entry in entries.values() if entry["stem"] == "rewritten"]:
        parts.append(f"stem rewritten, as SPACE_TO_DEPTH and a convolution of stride 1: {', '.join(rewritten)}")
    parts += [*manifest["remarks"], *(f"warning: {text}" for text in manifest["warnings"])]
    for variant, entry in entries.items():
        if entry.get("int8_rest") is not None:
            parts += int8_rest.told(variant, entry["int8_rest"], verbose)
    parts += [f"files: {folder}/", f"Next: larqnets inspect {folder}/{manifest['file']}"]
    parts += [manifest["proof"]["line"], *_form(manifest), *_postprocess(manifest)]
    return [*parts, *(assets(manifest["app"]) if "app" in manifest else [])]


def assets(written: dict[str, Any]) -> list[str]:
    """What an app is given, under which name, and what of it was changed."""
    lines = [f"warning: {text}" for text in written["warnings"]]
    lines.append(f'assets: {written["folder"]}/, which the Java API opens as "{written["name"]}"')
    return [*lines, *(f"  {name}" for name in written["files"])]


_FORMS = {"mask": "the class of every pixel, uint8", "small": "logits before they are enlarged"}


def _form(manifest: dict[str, Any]) -> list[str]:
    """What the files answer with, where that is not what was proven but made of it."""
    form = manifest.get("form")
    if form is None:
        return []
    where = f"{form['samples']:,} images here"
    where += f" and {form['arm64_samples']} on ARM64" if form["arm64_samples"] else ""
    return [f"the files answer with {_FORMS[form['form']]}: bit for bit what the proven logits give, on {where}"]


def _postprocess(manifest: dict[str, Any]) -> list[str]:
    """What the files beside the proven ones leave out, where that was asked for."""
    said = manifest.get("postprocess")
    if said is None:
        return []
    where = f"{said['samples']:,} images here"
    where += f" and {said['arm64_samples']} on ARM64" if said["arm64_samples"] else ""
    how = "class by class" if said["suppression"] == "regular" else "whatever their class"
    return [f"the files *_nms.tflite leave out overlapping boxes, {how}, of the proven boxes and scores, on {where}"]


def verification_lines(v: dict[str, Any], verbose: bool) -> list[str]:
    """The verdict in a sentence, what speaks against it or limits it; with `verbose` or where it is no, all figures."""
    if v["equal"] and not verbose:
        kind = "real samples" if v["real_samples"] else "random inputs (name real ones with --dataset)"
        lines = [f"equal: yes, {_end_to_end(v, kind)}; --verbose shows the figures"]
        if v["unchecked_layers"]:
            lines.append(f"  not checked layer by layer, since they run as float: {', '.join(v['unchecked_layers'])}")
        return [*lines, *(f"  warning: {text}" for text in v["warnings"])]
    signs = sum(layer["signs"] for layer in v["layers"])
    near = sum(layer["near_threshold"] for layer in v["layers"])
    wrong = sum(layer["wrong"] for layer in v["layers"])
    kind = "real samples" if v["real_samples"] else "random inputs (name real ones with --dataset)"
    lines = [
        f"equal: {'yes' if v['equal'] else 'NO'}",
        f"  layer by layer: {len(v['layers'])} binary layers, {signs:,} signs, {wrong} wrong, {near} within rounding of "
        f"the threshold; logits within {v['logits_difference']:.1e}",
        *_unpoolings(v["unpoolings"]),
        *_gates(v["gates"]),
        f"  end to end: {_end_to_end(v, kind)}",
    ]
    converted = v["scores_converted"] or {}
    for name, trained in (v["scores_trained"] or {}).items():
        lines.append(f"  {name} on them: {trained:.2%} trained, {converted[name]:.2%} converted")
    if v["unchecked_layers"]:
        lines.append(f"  not checked layer by layer, since they run as float: {', '.join(v['unchecked_layers'])}")
    lines += [f"  not equal: {reason}" for reason in v["reasons"]]
    lines += [f"  warning: {text}" for text in v["warnings"]]
    lines.append(f"  engine: {v['engine']}")
    return lines


def _unpoolings(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return []
    indices, near, wrong = (sum(one[key] for one in found) for key in ("indices", "near_ties", "wrong"))
    return [
        f"  unpoolings: {len(found)}, {indices:,} indices, {near + wrong:,} differ: {near:,} at ties within rounding, "
        f"{wrong:,} wrong"
    ]


def _gates(found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return []
    factors, near, wrong = (sum(one[key] for one in found) for key in ("factors", "near", "wrong"))
    return [f"  gates: {len(found)}, {factors:,} factors, {near:,} differ within rounding, {wrong:,} wrong"]


def _end_to_end(v: dict[str, Any], kind: str) -> str:
    """Return what both answer with: as a rule samples are counted, and where parts of them are, it is said of how many."""
    samples, counted = f"{v['samples']:,} {kind}", v.get("counted") or _SAMPLES
    if v["argmax_agreement"] is not None:
        share = f"{v['argmax_agreement']:.2%}"
        return f"same class for {share} of {samples}" if counted == _SAMPLES else f"{share} {counted}, on {samples}"
    if v["output_difference"] is None:
        return f"values that are not finite among the outputs of {samples}"
    return f"mean difference {v['output_difference']:.1e} of the largest value in the outputs of {samples}"


def verification(v: dict[str, Any], verbose: bool) -> list[Any]:
    """The verdict of a verification; with `verbose` or where it is no, every layer before it."""
    integers = v.get("integers")
    told = [] if integers is None else [f"int8 rest {int8_rest.proof_line(integers)}"]
    if v["equal"] and not verbose:
        return [*verification_lines(v, verbose), *told]
    told += [] if integers is None else [int8_rest.op_table(integers)]
    table = Table("layer", "signs", "wrong", "near threshold", "worst", box=None, title_justify="left")
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    for layer in v["layers"]:
        worst = f"{layer['worst']:.1e}" if layer["worst"] else "-"
        row = (f"{layer['signs']:,}", str(layer["wrong"]), str(layer["near_threshold"]), worst)
        table.add_row(layer["layer"], *row)
    return [table, "", *verification_lines(v, verbose), *told]


def counts(name: str, values: dict[str, Any]) -> list[Any]:
    """Layers with weights and MACs, then the sums."""
    table = Table(
        "layer",
        "type",
        "output",
        "1-bit weights",
        "real weights",
        "1-bit MACs",
        "real MACs",
        title_justify="left",
        box=None,
    )
    for column in (3, 4, 5, 6):
        table.columns[column].justify = "right"
    for layer in values["layers"]:
        numbers = (f"{layer[k]:,}" for k in ("binary_weights", "real_weights", "binary_macs", "real_macs"))
        table.add_row(layer["layer"], layer["type"], "x".join(map(str, layer["output_shape"])), *numbers)
    totals = values["totals"]
    depthwise = [layer["real_weights"] for layer in values["layers"] if layer["type"] == "DepthwiseConv2D"]
    shown = {
        "network": name,
        "parameters": totals["parameters"],
        "weights": f"{totals['bits'] / 8 / 1024:,.1f} KiB ({totals['binary_weights']:,} of them 1-bit)",
        "1-bit MACs": totals["binary_macs"],
        "real MACs": totals["real_macs"],
        "binary_mac_share": totals["binary_mac_share"],
        "OPs (1-bit/64 + real)": int(totals["operations"]),
    }
    if depthwise and totals["binary_macs"]:
        number, weights = len(depthwise), sum(depthwise)
        shown["stay real"] = f"{number} depthwise convolutions, {weights:,} weights: no 1-bit op exists for them"
    return [table, "", facts(shown)]


def inspection(of: Inspection) -> Group:
    """A table of the ops and one of the totals, readable from 100 columns on."""
    # Text, not str: names come from the file, and rich would read markup in them.
    ops = Table(title=Text(of.file), pad_edge=False, box=None)
    ops.add_column("#", justify="right", no_wrap=True)
    ops.add_column("op", no_wrap=True, overflow="ellipsis", max_width=18)
    ops.add_column("layer")  # the only one that gives way when the console is narrow
    ops.add_column("kind", no_wrap=True)
    ops.add_column("output", no_wrap=True, overflow="ellipsis", max_width=18)
    ops.add_column("MACs", justify="right", no_wrap=True)
    ops.add_column("bytes", justify="right", no_wrap=True)
    for op in of.ops[:MAX_OPS]:
        shape = "x".join(map(str, op.output_shapes[0])) if op.output_shapes else ""
        layer = Text(op.layer or op.name, no_wrap=True, overflow="ellipsis")
        numbers = [Text(op.kind), Text(shape), Text(_number(op.macs)), Text(_number(op.bytes))]
        ops.add_row(Text(str(op.index)), Text(op.op), layer, *numbers, style="dim" if op.kind == "glue" else None)
    totals = Table(pad_edge=False, box=None)
    totals.add_column("kind")
    for heading in ("ops", "MACs", "MACs %", "bytes"):
        totals.add_column(heading, justify="right", no_wrap=True)
    all_macs = sum(of.totals[kind]["macs"] for kind in KINDS)
    for kind in KINDS:
        row = of.totals[kind]
        share = f"{100 * row['macs'] / all_macs:.1f}" if row["macs"] else ""
        totals.add_row(kind, _number(row["ops"]), _number(row["macs"]), share, _number(row["bytes"]))
    overhead, file_bytes = of.totals["overhead_bytes"], of.totals["file_bytes"]
    totals.add_row("rest of the file", "", "", "", _number(overhead))
    totals.add_row("sum", _number(len(of.ops)), _number(all_macs), "", _number(file_bytes), style="bold")
    notes = _origin(of)
    if of.metadata.get("stem") == "rewritten":
        notes.append(
            "stem rewritten: the first convolution is SPACE_TO_DEPTH and one of stride 1, with zeros in its kernel."
        )
    if len(of.ops) > MAX_OPS:
        notes.append(f"{len(of.ops) - MAX_OPS} more ops are not shown; --json lists all.")
    if kept_out := [str(op.index) for op in of.ops if op.kept_out]:
        whole = any(op.kept_out and op.op == "BATCH_MATMUL" for op in of.ops)
        others = ", and with it all others of its graph" if whole else ""
        notes.append(
            f"XNNPACK computes op {', '.join(kept_out)} wrongly: our runtime keeps it out of XNNPACK{others}; other programs "
            "may not."
        )
    if of.own_ops:
        notes.append(f"{', '.join(of.own_ops)} is an op of larqnets: no other program than its runtime runs this file.")
    if of.unknown_ops:
        notes.append(f"Unknown ops, which nothing here can run: {', '.join(of.unknown_ops)}.")
    return Group(ops, Text(), totals, *map(Text, notes))


def _origin(inspection: Inspection) -> list[str]:
    """Say in a line where the file comes from: what larqnets wrote into it, or the converter's own words."""
    run = inspection.metadata.get("run")
    if not isinstance(run, dict) or "larqnets" not in inspection.metadata:
        return [f"description in the file: {inspection.description}"] if inspection.description else []
    name = str(run.get("headline", "accuracy"))[:80]
    score = run.get(f"test_{name}")
    measured = f", test {name} of the run {score:.2%}" if isinstance(score, float) else ""
    rest = inspection.metadata.get("int8_rest")
    told = [int8_rest.origin(rest)] if isinstance(rest, dict) else []
    words = [str(run.get(key, "?"))[:80] for key in ("name", "method", "backbone", "dataset")]
    version = str(inspection.metadata["larqnets"])[:20]
    return [f"made by larqnets {version} from run {words[0]}: {words[1]} on {words[2]}, {words[3]}{measured}", *told]


def _number(value: int) -> str:
    return f"{value:,}" if value else ""
