"""The files of a conversion and the manifest that says what they are.

    <folder>/binary.tflite    the network, every layer trained as binary a 1-bit op
    <folder>/float.tflite     twin: the same backbone real-valued
    <folder>/int8.tflite      twin: the same, quantised after training by stock TFLite
    <folder>/binary_int8_mixed.tflite, binary_int8_full.tflite    the network with the real-valued rest in int8
    <folder>/manifest.json    what each file is, its SHA-256, the verification, fallbacks, constants to the byte

All are written beside and renamed one by one, the manifest last; a killed conversion leaves the old ones as they were, and
a file whose SHA-256 is not the manifest's is no result. Other files in the folder are not touched (`larqnets.manifest`).
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from deploy.proof.converted import Converted
from deploy.targets import TARGETS
from larqnets import __version__, manifest
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.inspect import inspect_model


def publish(folder: Path, files: list[Converted], facts: dict[str, Any], reporter: Reporter = SILENT) -> dict[str, Any]:
    """Write the files and a manifest with `facts` into `folder`, all or nothing per file and the manifest last.

    Returns the manifest, whose warnings also tell which changed files were kept under another name. What the manifest
    before listed and this conversion does not have is removed. `reporter` and errors: see `manifest.publish`.
    """
    main = files[0]
    document = {
        "format_version": 1,
        **facts,
        "larqnets": __version__,
        "target": TARGETS[0],
        "file": f"{main.variant}.tflite",
        "file_bytes": len(main.content),
        "float_fallbacks": [dataclasses.asdict(f) for f in main.fallbacks],
        "verification": main.verification.to_json() if main.verification else None,
        "warnings": main.warnings,
        "files": {f.variant: _entry(f) for f in files},
    }
    contents = {f"{f.variant}.tflite": f.content for f in files}
    kept = manifest.publish(folder, contents, document, reporter=reporter)
    return {**document, "warnings": [*main.warnings, *kept]}


def _entry(f: Converted) -> dict[str, Any]:
    check = f.bytes_check
    return {
        "file": f"{f.variant}.tflite",
        "sha256": hashlib.sha256(f.content).hexdigest(),
        "bytes": len(f.content),
        "test_accuracy": f.test_accuracy,
        "scores": f.scores,
        "binary_mac_share": inspect_model(f.file).totals["binary_mac_share"],
        "note": f.note,
        "stem": f.stem,
        "int8_rest": None if f.integers is None else f.integers.to_json(),
        "constants": None if check is None else {**dataclasses.asdict(check), "matches": check.matches},
    }
