"""`larqnets run`: an array or images through a .tflite file. Needs numpy, Pillow and an engine, no TensorFlow."""

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.run.decoder import Decoder
from deploy.run.image_files import find_images
from deploy.run.interpreter import CHILD, as_list, check_model
from deploy.run.real_values import RealInterpreter, real_ports
from larqnets.arrays import Header, read_arrays
from larqnets.csv_table import CsvTable
from larqnets.data.image import read_image
from larqnets.data.info import BOXES, preprocessing
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.interface import Port, check_inputs, dtype_of, interface_of, match_names
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

MAX_BYTES = 1 << 26  # of the values that images are run with together


def classify(
    model: Path,
    inputs: Path,
    *,
    output: Path | None = None,
    csv: Path | None = None,
    top: int = 3,
    num_threads: int = 1,
    device: str | None = None,
    score: float | None = None,
    iou: float | None = None,
) -> dict[str, Any]:
    """Run `model` on an image file, on a .npy array (N, ...) of ready values, or on a .npz of one for every input.

    An image is preprocessed as the file's metadata says; the arrays of a .npz belong to the inputs whose signature or tensor
    has their name. They are read and held against the file before an engine starts, in a child process unless the file is a
    shipped one. Returns engine, what its output is (see larqnets.scores) and per sample the most probable labels; writes the
    raw outputs to `output` if given: the one to a .npy, all under their names to a .npz; and the labels to `csv`, see
    `write_csv`. `device`: see Interpreter, `score` and `iou`: see Decoder. Raises LarqnetsError.
    """
    if output is not None and output.suffix not in (".npy", ".npz"):
        raise LarqnetsError(f"{output} names no kind of file for arrays. Let it end in .npy or .npz.")
    file = read_model(model)
    check_model(file, num_threads)
    interface = interface_of(file)
    decoder = Decoder(file, score=score, iou=iou)
    if len(interface.outputs) > 1 and output is not None and output.suffix != ".npz":
        raise LarqnetsError(f"{model} has {len(interface.outputs)} outputs. Write them with --output FILE.npz.")
    x: np.ndarray | list[np.ndarray]
    if inputs.suffix in (".npy", ".npz"):
        x = _read_inputs(inputs, file, interface.inputs)
        if any(array.dtype.kind in "fc" and not np.isfinite(array).all() for array in x):
            raise LarqnetsError(f"{inputs} holds NaN or infinite values. Mend what wrote it.")
    else:
        x = read_image(inputs, image_preprocessing(file, str(model)))
        check_inputs(file, real_ports(file), [x.shape], [x.dtype])
    interpreter = RealInterpreter(file, num_threads, device or CHILD)
    results = as_list(interpreter.predict(x))
    names = interpreter.output_names
    if output is not None:
        write_atomically(output, _npz(names, results) if output.suffix == ".npz" else _npy(results[0]))
    result: dict[str, Any] = {"model": str(model), "engine": interpreter.engine, "input": str(inputs)}
    result["output_shapes"] = [list(each.shape) for each in results]
    result["output_names"] = names
    if predictions := decoder.decode(names, results, top, str(inputs)):
        result |= {} if BOXES in names else {"output_kind": decoder.kind}
        result["predictions"] = predictions
    elif csv is not None:
        raise _no_labels(file.name)
    if output is not None:
        result["output"] = str(output)
    if csv is not None:
        write_csv(csv, [result])
        result["csv"] = str(csv)
    return result


def classify_images(
    model: Path,
    inputs: Sequence[Path],
    *,
    csv: Path | None = None,
    top: int = 3,
    num_threads: int = 1,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Run `model` on images and on those of folders, see `find_images`, with one engine; as `classify` does it otherwise.

    Returns for every image that can be read what `classify` returns for one as an entry of "images", the others in
    "failed" with the reason, which `reporter` is told at once, and how many files of folders are no images by their
    suffixes. Raises LarqnetsError when the file cannot be run on images or answers with nothing that can be read.
    """
    file = read_model(model)
    check_model(file, num_threads)
    decoder, preprocess = Decoder(file), image_preprocessing(file, str(model))
    check_inputs(file, real_ports(file), [(1, *preprocess["image_shape"])], [np.dtype(np.float32)])
    found = find_images(inputs)
    reporter.stage("run")
    failed = [{"input": str(path), "error": error} for path, error in found.wrong.items()]
    for entry in failed:
        reporter.line(entry["error"])
    interpreter = RealInterpreter(file, num_threads, device or CHILD)
    images: list[dict[str, Any]] = []
    paths, total = found.paths, len(found.paths)
    size = images_at_once(file)
    for start in range(0, total, size):
        read = []
        for number, path in enumerate(paths[start : start + size], start + 1):
            reporter.count(number, total, path.name)
            try:
                read.append((str(path), read_image(path, preprocess)))
            except LarqnetsError as error:
                reporter.line(str(error))
                failed.append({"input": str(path), "error": str(error)})
        if not read:
            continue
        results = as_list(interpreter.predict(np.concatenate([values for _, values in read])))
        for i, (name, _) in enumerate(read):
            of_image = [values[i : i + 1] for values in results]
            predictions = decoder.decode(interpreter.output_names, of_image, top, name)
            if not predictions:
                raise _no_labels(file.name)
            images.append({"input": name, "predictions": predictions})
    result: dict[str, Any] = {"model": str(model), "engine": interpreter.engine, "output_kind": decoder.kind}
    result |= {"images": images, "failed": failed, "left_out": dict(sorted(found.left_out.items()))}
    if csv is not None:
        write_csv(csv, [*images, *failed])
        result["csv"] = str(csv)
    return result


def image_preprocessing(file: Model, name: str) -> dict[str, Any]:
    """Return how images are prepared for a file; raises LarqnetsError for one that takes none or does not say it."""
    preprocess = preprocessing(file)
    if preprocess is None:
        wanted = ", ".join(f"{port.shape} {dtype_of(port.dtype)}" for port in interface_of(file).inputs)
        raise LarqnetsError(
            f"{name} does not say how its images were preprocessed. Give a .npy array of ready input values, "
            f"{wanted or 'of which it takes none'}."
        )
    return preprocess


def images_at_once(file: Model) -> int:
    """Return of how many images the values that a file takes and answers with fit into MAX_BYTES, at least 1."""
    graph = file.subgraphs[0]
    tensors = [graph.tensors[i] for i in (*graph.inputs, *graph.outputs)]
    return max(1, MAX_BYTES // max(1, 4 * sum(math.prod(tensor.shape[1:]) for tensor in tensors)))


def write_csv(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write what `classify` tells of inputs as a table, a row for every label of every sample.

    Its columns: input, rank (1 is the best), those of an answer (label, class, probability, of a box its sides), error for an
    input that gave none. A sample of several of one input is called INPUT[NUMBER]; one in which nothing was found has a row
    without an answer. Raises LarqnetsError when it cannot be written.
    """
    rows: list[dict[str, Any]] = []
    for entry in entries:
        name, predictions = entry["input"], entry.get("predictions", [])
        if "error" in entry:
            rows.append({"input": name, "error": entry["error"]})
        for i, prediction in enumerate(predictions):
            ranked = [prediction] if isinstance(prediction, dict) else prediction
            sample = name if len(predictions) == 1 else f"{name}[{i}]"
            rows += [{"input": sample, "rank": rank, **_flat(each)} for rank, each in enumerate(ranked, 1)]
            rows += [] if ranked else [{"input": sample}]
    known = dict.fromkeys(key for row in rows for key in row if key != "error")
    columns = {**dict.fromkeys(["input", "rank", *known]), "error": None}
    table = CsvTable(dict.fromkeys(columns, Any))
    table.write(path, [{key: _encodable(row.get(key)) for key in columns} for row in rows])


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with the sides of its box, if it has one, in columns of their own."""
    box = dict(zip(("x0", "y0", "x1", "y1"), answer.get("box", ()), strict=False))
    return {name: value for name, value in answer.items() if name != "box"} | box


def _encodable(value: Any) -> Any:
    """Return a text as UTF-8 can have it: a path may be any bytes."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _no_labels(name: str) -> LarqnetsError:
    return LarqnetsError(
        f"{name} answers with values that no labels are made of. Write them to a file: larqnets run {name} INPUT --output y.npz."
    )


def _read_inputs(path: Path, model: Model, ports: Sequence[Port]) -> list[np.ndarray]:
    """Read the values of every input, in the order of the model; their headers are held against it first."""

    def judge(headers: dict[str, Header]) -> list[str]:
        if not ports:
            check_inputs(model, ports, [], [])  # says so
        names = match_names(ports, list(headers), str(path))
        chosen = [headers[name] for name in names]
        types = [header.dtype.newbyteorder("=") for header in chosen]
        check_inputs(model, ports, [header.shape for header in chosen], types)
        return names

    return read_arrays(path, judge)


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _npz(names: list[str], arrays: list[np.ndarray]) -> bytes:
    """Return a .npz; numpy.savez would take a name such as "file" for an argument of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in zip(names, arrays, strict=True):
            archive.writestr(f"{name}.npy", _npy(values))
    return buffer.getvalue()
