"""A file as assets of an Android app, which the Java API (android_bench/java) opens by their name.

    <folder>/NAME.tflite           the file as it is
    <folder>/NAME.properties       how a picture is prepared for it and what its numbers mean, as java.util.Properties reads it
    <folder>/NAME.labels.txt       a class in every line, by their numbers
    <folder>/NAME.manifest.json    SHA-256 of the three: what was changed since then is not overwritten

What the properties say is resolved as `larqnets run` resolves it: defaults that a file leaves out are in them. Types, shapes,
scales and zero points are not: the interpreter knows them.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.app.properties import to_properties
from deploy.run.decoder import Decoder
from deploy.run.interpreter import check_model
from deploy.run.real_values import real_ports
from larqnets import __version__, manifest
from larqnets.data.info import BOXES, CROP, OUTSIDE, RESIZE, preprocessing
from larqnets.data.label_names import names_of
from larqnets.errors import LarqnetsError, printable
from larqnets.files import check_folder
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import KERAS_SUFFIXES
from larqnets.tasks.box_answers import SCORES
from larqnets.tasks.classification import Classification
from larqnets.tasks.detection import FORMAT as BOX_FORM
from larqnets.tasks.detection import Detection
from larqnets.tasks.segmentation import RESIZE as ENLARGED
from larqnets.tasks.segmentation import Segmentation, colors_of_file
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.interface import check_inputs, display_names, interface_of
from larqnets.tflite.model import Model
from larqnets.tflite.quantized import is_quantized

FORMAT = 1  # of the properties
# What `convert` calls files that are not the proven one: the forms of one network, whose name is in their metadata.
_ROLE = re.compile(r"(binary|float|int8|decomposed(_int8)?)(_int8_(mixed|full))?")
_TASKS = (Classification, Segmentation, Detection)


@dataclass(frozen=True)
class Assets:
    """What was written: `name` in `folder`, the `files` there, and `warnings` of changed ones that were kept beside."""

    folder: Path
    name: str
    files: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        told = {"name": self.name, "files": list(self.files), "warnings": list(self.warnings)}
        return {"folder": str(self.folder), **told}


def write_assets(model: Model, folder: Path, name: str | None = None, reporter: Reporter = SILENT) -> Assets:
    """Write a file as assets into `folder`, all or nothing.

    `name`: what they are called, by default as the file, or as the network where the file's name says only which of its forms
    it is. Characters that are no letters of ASCII, digits, `.`, `_` and `-` become `_`. A file there that was changed since it was
    written is kept beside under another name. Raises LarqnetsError for a file that does not say how its pictures are prepared,
    or whose answers are no labels, mask or boxes; for labels of more than one line; where somebody else's files are in
    the way, or the folder cannot be written.
    """
    called = asset_name(name or _called(model))
    labels, facts = described(model)
    properties = to_properties(facts, f"{called}.tflite, for the Java API of larqnets").encode()
    contents = (model.content, properties, "".join(f"{label}\n" for label in labels).encode())
    files = dict(zip(_files(called), contents, strict=True))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    document = {"format_version": FORMAT, "larqnets": __version__, "source": facts["source"], "files": sums}
    kept = manifest.publish(folder, files, document, named=_manifest(called), reporter=reporter)
    return Assets(folder, called, (*files, _manifest(called)), tuple(kept))


def check_place(folder: Path, name: str) -> None:
    """Raise LarqnetsError when assets of this name cannot be written into `folder`."""
    check_folder(folder)
    called = asset_name(name)
    manifest.check_free(folder, _files(called), named=_manifest(called))


def _files(name: str) -> list[str]:
    return [f"{name}{end}" for end in (".tflite", ".properties", ".labels.txt")]


def asset_name(name: str) -> str:
    """Return what assets of a network are called, without a Keras file's suffix and with characters that no tool of Android minds.

    aapt leaves out files that begin with a dot.
    """
    plain = name.removesuffix(next((end for end in KERAS_SUFFIXES if name.endswith(end)), ""))
    return re.sub(r"[^A-Za-z0-9._-]+", "_", plain).lstrip(".") or "_"


def check_told(preprocess: Mapping[str, Any] | None, name: str) -> None:
    """Raise LarqnetsError unless it is said how pictures are prepared and the labels can stand in lines."""
    if preprocess is None:
        raise LarqnetsError(
            f"{name} does not say how its pictures are prepared (size, mean and std) nor what its classes are called, which an "
            "app has to know. Convert the network with larqnets, and name its images with --dataset."
        )
    for number, label in enumerate(preprocess["labels"]):
        if "\n" in label or "\r" in label or not _is_text(label):
            raise LarqnetsError(
                f"The label of class {number}, {printable(repr(label))[:80]}, cannot stand in a line of a text file. Give the class "
                "another name and convert again."
            )


def described(model: Model) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the labels and the properties of a file; raises LarqnetsError as `write_assets` does."""
    check_model(model, num_threads=1)
    preprocess = preprocessing(model)
    check_told(preprocess, model.name)
    assert preprocess is not None  # looked at just now
    decoder, facts = Decoder(model), own_metadata(model) or {}
    shapes = _answers(model, decoder)
    height, width, channels = preprocess["image_shape"]
    check_inputs(model, real_ports(model), [(1, height, width, channels)], [np.dtype(np.float32)])
    labels = names_of(preprocess["labels"], _classes(decoder, shapes, preprocess["labels"]))
    told = {
        "format": FORMAT,
        "larqnets": __version__,
        "source": _source(model),
        "task": decoder.task.name,
        "image.height": height,
        "image.width": width,
        "image.channels": channels,
        "image.mean": preprocess["mean"],
        "image.std": preprocess["std"],
        "image.resize": preprocess.get(RESIZE) or CROP,
        "image.crop_fraction": float(preprocess.get("crop_fraction", 1.0)),
        "output": decoder.kind,
        **_of_masks(decoder, facts, labels, model.name),
        **_of_boxes(decoder, facts),
    }
    return labels, {key: _text(value) for key, value in told.items()}


def _answers(model: Model, decoder: Decoder) -> list[tuple[int, ...]]:
    """Return the shapes of the outputs, of a detector boxes and scores; raises LarqnetsError unless they are those of a known task."""
    graph, ports = model.subgraphs[0], interface_of(model).outputs
    names, shapes = display_names(ports, "output"), [port.shape for port in ports]
    types = ["float32" if is_quantized(graph.tensors[i]) else graph.tensors[i].dtype for i in graph.outputs]
    wanted = {"float32"}
    if isinstance(decoder.task, Segmentation) and shapes:
        wanted = {"uint8"} if len(shapes[0]) == 3 else {"float32", "int8"}
    fits = (
        isinstance(decoder.task, _TASKS) and decoder.task.scores(shapes) and shapes[0][0] == 1 and set(types) <= wanted
    )
    if not fits or (isinstance(decoder.task, Detection) and names != [BOXES, SCORES]):
        shown = ", ".join(f"{shape} {dtype}" for shape, dtype in zip(shapes, types, strict=True))
        raise LarqnetsError(
            f"{model.name} answers with {shown or 'nothing'}, of which an app is given no labels, mask or boxes. Take another file of "
            "the network; of NAME_nms.tflite it is NAME.tflite beside it."
        )
    return shapes


def _classes(decoder: Decoder, shapes: Sequence[tuple[int, ...]], labels: Sequence[str]) -> int:
    """Return how many classes the answers tell apart; of a mask nobody says it but the labels."""
    if isinstance(decoder.task, Segmentation) and len(shapes[0]) == 3:
        return len(labels) or OUTSIDE
    return shapes[-1][-1]  # of a detector those are scores


def _of_masks(decoder: Decoder, facts: Mapping[str, Any], labels: Sequence[str], name: str) -> dict[str, Any]:
    if not isinstance(decoder.task, Segmentation):
        return {}
    colors = colors_of_file(facts, len(labels), name)
    told = ",".join(" ".join(map(str, color)) for color in colors)
    return {"colors": told, "ignore_label": OUTSIDE, "output.resize": ENLARGED}


def _of_boxes(decoder: Decoder, facts: Mapping[str, Any]) -> dict[str, Any]:
    if decoder.nms is None:
        return {}
    nms = decoder.nms.to_json()
    return {"boxes": BOX_FORM, **{f"nms.{key}": nms[key] for key in ("iou", "score", "max_per_class", "max")}}


def _text(value: Any) -> str:
    """Return a value as the properties have it: numbers as short as they are read back alike."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return ",".join(one if isinstance(one, str) else repr(float(one)) for one in value)
    return str(value)


def _source(model: Model) -> str:
    said = (own_metadata(model) or {}).get("source")
    text = said if isinstance(said, str) and said else Path(model.name).stem
    return text.encode("utf-8", "backslashreplace").decode()


def _called(model: Model) -> str:
    """Return what assets of a file are called: as the file, and of a form of a network as that, with what form it is."""
    stem = Path(model.name).stem
    if not _ROLE.fullmatch(stem):
        return stem
    proven = stem == "binary" or (stem == "float" and "variant" not in (own_metadata(model) or {}))
    form = "" if proven else re.sub(r"^(binary|float)_(?=int8_)", "", stem)
    return "_".join(filter(None, (asset_name(_source(model)), form)))


def _manifest(name: str) -> str:
    return f"{name}.manifest.json"


def _is_text(label: str) -> bool:
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return True
