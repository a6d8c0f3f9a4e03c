"""A start from another network: which of its weights a new one takes, and of all others why not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from larqnets.config import TaskConfig, load_config
from larqnets.data.info import preprocessing
from larqnets.errors import LarqnetsError, some
from larqnets.int8_aware import range_weights
from larqnets.models import body_of
from larqnets.published import IMAGENET, is_published, is_zoo
from larqnets.published.bodies import first_kernel, formula_of, published_body, turned_round
from larqnets.runs.card import Transfer
from larqnets.runs.file_weights import weights_of_file
from larqnets.runs.keras_config import check_weights_file
from larqnets.runs.keras_file import load_keras_file
from larqnets.runs.model_cards import read_model_card
from larqnets.runs.names import ARRAY_SUFFIXES
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.runs.torch_weights import places
from larqnets.runs.weights import build_model, named_weights, quantizer_weights
from larqnets.runs.weights_files import read_weights
from larqnets.shipped import is_model, model_file
from larqnets.tflite.reading import read_model


@dataclass(frozen=True)
class _Origin:
    """The weights of a network by name; `labels` and `task` are those that it was trained for, None where nobody says.

    `turned`: the weights that were made for images in RGB; `headless`: there is no head among them; `taken_back`: what of
    them a .tflite file had, in sentences.
    """

    values: Mapping[str, np.ndarray]
    labels: tuple[str, ...] | None = None
    task: str | None = None
    turned: tuple[str, ...] = ()
    headless: bool = False
    taken_back: tuple[str, ...] = ()


def start_from(
    named: str, model: tf.keras.Model, labels: Iterable[str], task: TaskConfig, weights: str = IMAGENET
) -> Transfer:
    """Give a model of `create_model` the weights of another network that have the same name and shape.

    `named`: a run folder, a Keras model file, a file of arrays in PyTorch's names and layouts (`torch_weights`), `model:NAME`, a
    shipped model (`file_weights`), or a published network, whose weights are those of `weights`: "imagenet" or a file, and whose body is taken whole. The body's weights are taken one by one, the head's where the other network was trained for the same task and the same
    classes in the same order, as only a run says. Raises LarqnetsError when no weight of the body can be taken; then the model is
    as it was.
    """
    origin, body, ranges = _open(named, model, weights), body_of(model), range_weights(model)
    mine = {name: weight for name, weight in named_weights(model).items() if id(weight) not in ranges}
    layer_of = {id(weight): layer.name for layer in model.layers for weight in layer.weights}
    of_signs = quantizer_weights(model)
    new_head = _why_new_head(origin, tuple(labels), task.kind)
    taken: dict[str, np.ndarray] = {}
    new: dict[str, str] = {}
    misfits: list[str] = []
    for name, weight in mine.items():
        value = origin.values.get(name)
        if new_head and layer_of[id(weight)] not in body:
            new[name] = f"the head is new, for {new_head}"
        elif value is None:
            new[name] = "state of a sign" if id(weight) in of_signs else "of another name there, or not there"
        elif value.shape != tuple(weight.shape):
            new[name] = f"{tuple(value.shape)} there and {tuple(weight.shape)} here"
            misfits.append(name)
        else:
            taken[name] = value
    unused = sorted(origin.values.keys() - mine.keys())
    in_body = {name: why for name, why in new.items() if layer_of[id(mine[name])] in body}
    if is_published(named) and in_body:
        raise _not_whole(named, in_body, model.input_shape)
    if not any(layer_of[id(mine[name])] in body for name in taken):
        raise _nothing_fits(named, {name: why for name, why in in_body.items() if name in misfits}, in_body, unused)
    tf.keras.backend.batch_set_value([(mine[name], value) for name, value in taken.items()])
    plain = {_plain(name): why for name, why in new.items()}
    names = (taken, unused, misfits, origin.turned)
    all_taken, all_unused, other, turned = (tuple(map(_plain, some)) for some in names)
    return Transfer(all_taken, plain, all_unused, other, turned, origin.taken_back)


def held_layers(model: tf.keras.Model, transfer: Transfer | None) -> list[tf.keras.layers.Layer]:
    """Return the layers of the body that `train.freeze` and `train.body_rate` are about.

    A layer of which another network gave no weight, or not all of them, is none of these; what a quantizer owns, which the
    other network had no place for, does not count.
    """
    of_signs = quantizer_weights(model)
    mine = {_plain(name): weight for name, weight in named_weights(model).items()}
    new = {id(mine[name]) for name in (() if transfer is None else transfer.new) if name in mine} - of_signs
    body = body_of(model)
    return [layer for layer in model.layers if layer.name in body and not any(id(w) in new for w in layer.weights)]


def head_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """Return the layers behind the last stage, which `train.head_rate` is about."""
    body = body_of(model)
    return [layer for layer in model.layers if layer.name not in body]


def _open(named: str, model: tf.keras.Model, weights: str) -> _Origin:
    if is_published(named):
        return _open_published(named, weights)
    if is_model(named):
        return _open_shipped(named)
    path = Path(named)
    if path.is_file():
        if path.suffix in ARRAY_SUFFIXES:
            return _Origin(_in_places(model, read_weights(path)))
        return _Origin(_values(load_keras_file(path)))
    run = Run.open(path)
    images = run.card.images
    return _Origin(_values(open_subject(run).model), None if images is None else images.labels, run.config.task.kind)


def _open_shipped(named: str) -> _Origin:
    """Build the network of a shipped model as its config says, for the images that its file names, and take it back."""
    card, file = read_model_card(named), read_model(model_file(named))
    experiment, images = load_config(card.config, card.overrides), preprocessing(file)
    if images is None:
        raise LarqnetsError(f"The file of {named} does not say which images it is for. Install larqnets again.")
    model = build_model(experiment, tuple(images["image_shape"]), len(images["labels"]))
    back = weights_of_file(model, file)
    return _Origin(back.values, tuple(images["labels"]), experiment.task.kind, taken_back=back.sentences())


def _open_published(named: str, weights: str) -> _Origin:
    if weights != IMAGENET:
        check_weights_file(Path(weights))
    body = published_body(named, weights)
    values = _values(body)
    if is_zoo(named) or not formula_of(named).bgr:
        return _Origin(values, headless=True)
    kernel = first_kernel(body)
    return _Origin(turned_round(values, kernel), turned=(kernel,), headless=True)


def _why_new_head(origin: _Origin, labels: tuple[str, ...], task: str) -> str:
    """Return what the head is new for, "" where the other network's fits."""
    if origin.headless:
        return "a published network gives its body alone"
    if origin.labels is None:
        return "nobody says what the other one tells apart"
    if origin.task != task:
        return f"another task, {origin.task} there"
    return "" if origin.labels == labels else "other classes"


def _values(model: tf.keras.Model) -> dict[str, np.ndarray]:
    return {name: np.asarray(weight) for name, weight in named_weights(model).items()}


def _in_places(model: tf.keras.Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return PyTorch's arrays by the names of the weights of `model` that they are for, the rest by their own."""
    found, names = dict(arrays), {id(weight): name for name, weight in named_weights(model).items()}
    for weight, array, values in places(model, arrays):
        del found[array]
        found[names[id(weight)]] = arrays[array] if values is None else values
    return {name: value for name, value in found.items() if not name.endswith(".num_batches_tracked")}


def _not_whole(named: str, new: Mapping[str, str], takes: tuple[int | None, ...]) -> LarqnetsError:
    name, why = next(iter(new.items()))
    return LarqnetsError(
        f"The body of {named} cannot be taken whole for images of {takes[1]}x{takes[2]}: {_plain(name)} is {why}. Set "
        "data.image_size to the size that it was published for, such as 224."
    )


def _nothing_fits(named: str, misfits: Mapping[str, str], new: Mapping[str, str], unused: list[str]) -> LarqnetsError:
    if misfits:
        reason = some([f"{_plain(name)} is {why}" for name, why in misfits.items()])
    else:
        there, here = (some([_plain(name) for name in names]) for names in (unused, list(new)))
        reason = f"its weights are called {there}, and the network's {here}"
    return LarqnetsError(
        f"Nothing of {named} can be taken: {reason}. Start from a network of the same method, backbone and width, or leave "
        "--init-from out."
    )


def _plain(name: str) -> str:
    """Return the name of a weight without the number of its output, which is always 0."""
    return name.removesuffix(":0")
