"""`larqnets run`: one image or array through a .tflite file. Needs numpy, Pillow and an engine, no TensorFlow."""

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.run.interpreter import CHILD, Interpreter, check_model
from larqnets.arrays import Header, read_arrays
from larqnets.config import TaskConfig
from larqnets.data.image import read_image
from larqnets.data.info import normalisation
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.scores import KEY
from larqnets.tasks import Task, get_task
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.inspect import METADATA_NAME, own_metadata
from larqnets.tflite.interface import Port, check_inputs, display_names, dtype_of, interface_of, match_names
from larqnets.tflite.model import Model, read_model


def classify(
    model: Path,
    inputs: Path,
    *,
    output: Path | None = None,
    top: int = 3,
    num_threads: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Run `model` on an image file, on a .npy array (N, ...) of ready values, or on a .npz of one for every input.

    An image is preprocessed as the file's metadata says; the arrays of a .npz belong to the inputs whose signature or tensor
    has their name. They are read and held against the file before an engine starts, in a child process unless the file is a
    shipped one. Returns engine, what its output is (see larqnets.scores) and per sample the most probable labels; writes the
    raw outputs to `output` if given: the one to a .npy, all under their names to a .npz. `device`: see Interpreter. Raises
    LarqnetsError.
    """
    if output is not None and output.suffix not in (".npy", ".npz"):
        raise LarqnetsError(f"{output} names no kind of file for arrays. Let it end in .npy or .npz.")
    file = read_model(model)
    check_model(file, num_threads)
    interface = interface_of(file)
    preprocess = preprocessing(file)
    if len(interface.outputs) > 1 and output is not None and output.suffix != ".npz":
        raise LarqnetsError(f"{model} has {len(interface.outputs)} outputs. Write them with --output FILE.npz.")
    x: np.ndarray | list[np.ndarray]
    if inputs.suffix in (".npy", ".npz"):
        x = _read_inputs(inputs, file, interface.inputs)
        if any(array.dtype.kind in "fc" and not np.isfinite(array).all() for array in x):
            raise LarqnetsError(f"{inputs} holds NaN or infinite values. Mend what wrote it.")
    elif preprocess is None:
        wanted = ", ".join(f"{port.shape} {dtype_of(port.dtype)}" for port in interface.inputs)
        raise LarqnetsError(
            f"{model} does not say how its images were preprocessed. Give a .npy array of ready input values, "
            f"{wanted or 'of which it takes none'}."
        )
    else:
        x = read_image(inputs, preprocess)
        check_inputs(file, interface.inputs, [x.shape], [x.dtype])
    interpreter = Interpreter(file, num_threads, device or CHILD)
    results = interpreter.predict(x)
    results = results if isinstance(results, list) else [results]
    names = output_names(interpreter)
    if output is not None:
        write_atomically(output, _npz(names, results) if output.suffix == ".npz" else _npy(results[0]))
    result: dict[str, Any] = {"model": str(model), "engine": interpreter.engine, "input": str(inputs)}
    result["output_shapes"] = [list(each.shape) for each in results]
    result["output_names"] = names
    task, kind = task_of(file), kind_of_file(file)
    facts = {
        **(own_metadata(file) or {}),
        "labels": (preprocess or {}).get("labels", ()),
        "top": top,
        KEY: kind,
    }
    predictions = task.decode(dict(zip(names, results, strict=True)), facts)
    if predictions:
        if not all(np.isfinite(values).all() for values in results):
            raise LarqnetsError(
                f"The model's outputs for {inputs} are NaN or infinite. Give smaller values, or train the model again."
            )
        result |= {"output_kind": kind, "predictions": predictions}
    if output is not None:
        result["output"] = str(output)
    return result


def output_names(interpreter: Interpreter) -> list[str]:
    """Return what the outputs of a file are called."""
    return display_names(interpreter.interface.outputs, "output")


def task_of(model: Model) -> Task:
    """Return the task that a file's metadata name; a file that names none is a classifier."""
    metadata = own_metadata(model) or {}
    named, options = metadata.get("task", TaskConfig.kind), metadata.get("task_options", {})
    if not isinstance(named, str) or not isinstance(options, dict):
        raise LarqnetsError(f"What {model.name} says about its task is nonsense. Convert it again.")
    return get_task(TaskConfig(named[:80], options))


def preprocessing(model: Model) -> dict[str, Any] | None:
    """Return what the file's metadata says about its images, None if nothing; LarqnetsError when it is nonsense."""
    graph = model.subgraphs[0]
    if not graph.inputs:
        return None
    metadata = own_metadata(model)
    entry = (metadata or {}).get("preprocess")
    is_readable = metadata is not None or METADATA_NAME not in model.metadata
    if entry is None and is_readable:
        return None
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    if not isinstance(entry, dict) or not _fits(entry, shape):
        raise LarqnetsError(
            f"What {model.name} says about its images is nonsense or does not fit its input {shape}. "
            "Convert it again, or give a .npy array of ready values."
        )
    return entry


def dataset_of(file: Path, model: Model, dataset: str | None) -> str:
    """Return the data set that `dataset` or the file's metadata names; raises LarqnetsError when neither does."""
    named = dataset or (preprocessing(model) or {}).get("dataset")
    if named is None:
        raise LarqnetsError(f"{file} does not say which images it was made for. Name them with --dataset.")
    return named


def _fits(entry: dict[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether images can be prepared so: the model's shape, labels that are texts, and numbers that keep pixels apart."""
    mean, std, labels = (entry.get(key, ()) for key in ("mean", "std", "labels"))
    fraction = entry.get("crop_fraction", 1.0)
    if len(shape) != 3 or shape[-1] not in (1, 3) or entry.get("image_shape") != list(shape):
        return False
    if not all(isinstance(v, list) and len(v) == shape[-1] and all(map(_is_number, v)) for v in (mean, std)):
        return False
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return False
    if not _is_number(fraction) or not 0 < fraction <= 1:
        return False
    if not isinstance(entry.get("dataset"), str | None):
        return False
    with np.errstate(all="ignore"):  # what becomes infinite is refused below
        scale, offset = normalisation(mean, std)
        darkest, brightest = offset, np.float32(255) * scale + offset
    usable = np.isfinite(darkest) & np.isfinite(brightest) & np.isfinite(scale) & (darkest != brightest)
    return bool(usable.all())


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that fits into a float and is finite."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


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
