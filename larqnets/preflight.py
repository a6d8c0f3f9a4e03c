"""What is wrong with a command's arguments, said before the work and before TensorFlow is imported.

Names, configs, folders, files and suffixes are looked at with what reads them anyway; nothing is written. Every function
raises LarqnetsError. What only data or weights can tell is found when they are loaded.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from larqnets.backbones import get_backbone
from larqnets.config import DataConfig, Experiment, apply_override, load_config
from larqnets.data.folder import find_classes
from larqnets.data.known import FOLDER_PREFIX, find_known
from larqnets.data.layout import find_prepared, resolve_data_dir
from larqnets.errors import LarqnetsError, nearest
from larqnets.method_options import method_names, read_options
from larqnets.registry import unknown
from larqnets.run_folder import Run, default_name, new_run_path

if TYPE_CHECKING:
    from deploy.tflite import Model

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_REBUILD = "build the network in Keras 2, set its weights (layer.set_weights) and save it with model.save('model.h5')"
# What people give in the place of a Keras file: by suffix what it is, and what helps.
_FOREIGN = {
    ".pt": ("a PyTorch checkpoint, which runs code when it is opened", _REBUILD),
    ".pth": ("a PyTorch checkpoint, which runs code when it is opened", _REBUILD),
    ".ckpt": ("a checkpoint, which holds weights without their network", _REBUILD),
    ".safetensors": ("a file of weights without their network", _REBUILD),
    ".onnx": ("an ONNX graph, and the converter takes Keras", _REBUILD),
    ".pb": ("a TensorFlow graph, and the converter takes Keras", _REBUILD),
    ".tflite": ("converted already", "give it to larqnets inspect, run, verify or benchmark"),
    ".npz": (
        "a file of arrays without their network",
        "import it with its graph: larqnets import weights.npz --network NAME",
    ),
    ".json": ("a graph without weights", "save both in one file with model.save('model.h5')"),
}
PUBLISHED_NETWORKS = ("resnet56", "vgg16bn")
SPLITS = ("test", "train")
STRATEGIES = ("mirrored", "multiworker")
TARGETS = ("arm64",)
_IMAGE_OF_ANY_KIND = {"image_shape": (1, 1, 3), "mean": (0.0,) * 3, "std": (1.0,) * 3}


def check_experiment(experiment: Experiment) -> None:
    """Look at the names of method, backbone and data set, and at the method's options."""
    check_method(experiment.model.method)
    read_options(experiment.model.method, experiment.model.options)
    get_backbone(experiment.model.backbone)
    check_data(experiment.data)


def check_method(name: str) -> None:
    """Look whether there is such a method."""
    if name not in (names := method_names()):
        raise unknown("method", name, names)


def check_data(config: DataConfig) -> None:
    """Look whether the images are there: a folder with its classes, or what TFDS has prepared."""
    check_dataset(config.dataset)
    if config.dataset.startswith(FOLDER_PREFIX):
        find_classes(_image_folder(config.dataset))
    elif not (known := find_known(config.dataset)).ships_with_package:
        find_prepared(known, resolve_data_dir(config.data_dir))


def check_dataset(name: str | None) -> None:
    """Look whether there is such a data set, or such a folder."""
    if name is None:
        return
    if not name.startswith(FOLDER_PREFIX):
        find_known(name)
    elif not (folder := _image_folder(name)).is_dir():
        raise LarqnetsError(f"There is no folder {folder}. Check the path after 'folder:'.")


def _image_folder(dataset: str) -> Path:
    return Path(dataset.removeprefix(FOLDER_PREFIX)).expanduser()


def check_images(config: DataConfig | None, dataset: str | None, data_dir: str | None) -> None:
    """Look whether the images are there that a run or file was made for, or those of --dataset; None: it does not say."""
    if dataset is not None:
        config = replace(config or DataConfig(dataset), dataset=dataset)
    if config is not None:
        check_data(config if data_dir is None else replace(config, data_dir=data_dir))


def images_of_source(source: Path) -> DataConfig | None:
    """Return the images of a run folder; None where it does not say, and for a Keras file."""
    return Run.open(source).data if source.is_dir() else None


def check_choice(option: str, value: str | None, known: Sequence[str]) -> None:
    """Look whether an option has one of the values that it may have."""
    if value is not None and value not in known:
        raise LarqnetsError(f"There is no {option} '{value}'.{nearest(value, known)} Use {' or '.join(known)}.")


def check_target(target: str) -> None:
    """Look whether there is such a device family."""
    if target not in TARGETS:
        raise LarqnetsError(f"There is no target '{target}'.{nearest(target, TARGETS)} Targets: {', '.join(TARGETS)}.")


def check_output(path: Path | None, suffixes: Sequence[str] = ()) -> None:
    """Look whether a file could be written: its suffix, and the folder that it goes into, which must be there."""
    if path is None:
        return
    if suffixes and path.suffix not in suffixes:
        raise LarqnetsError(
            f"{path} names no kind of file that is written here. Let it end in {' or '.join(suffixes)}."
        )
    if path.is_dir():
        raise LarqnetsError(f"{path} is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise LarqnetsError(f"Cannot write {path}: there is no folder {path.parent}. Make it, or name another one.")
    if not os.access(path.parent, os.W_OK | os.X_OK) and not os.access(path, os.W_OK):
        raise LarqnetsError(f"Cannot write {path}: {path.parent} is not writable. Name another place.")


def check_folder(path: Path) -> None:
    """Look whether files could be written into a folder, which is made where there is none."""
    there = next((p for p in (path, *path.parents) if p.exists() or p.is_symlink()), Path())
    if not there.is_dir():
        raise LarqnetsError(f"Cannot write {path}: {there} is no folder. Name another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise LarqnetsError(f"Cannot write {path}: {there} is not writable. Name another place.")


def check_name(name: str | None, runs: Path) -> None:
    """Look whether a new run could be called so, and its folder be made."""
    if name is not None:
        new_run_path(runs, name)
    check_folder(runs)


def looks_like_run(path: Path) -> bool:
    """Return whether a name is a path to a run rather than the name of a config."""
    return path.parent != Path() and path.suffix != ".toml" and not path.is_file()


def plan_run(
    config_or_run: str,
    name: str | None,
    runs: Path,
    overrides: Sequence[str],
    init_from: Path | None,
    resume: bool,
    seed: int | None,
) -> Run | tuple[Experiment, str]:
    """Return the run that `larqnets train` is to continue, or experiment and name of the one that it is to start."""
    path = Path(config_or_run)
    if path.is_dir() or (resume and looks_like_run(path)):
        if not resume:
            raise LarqnetsError(f"{path} is a run folder. Continue it with --resume, or give a config to train anew.")
        if overrides or seed is not None or name is not None or init_from is not None:
            raise LarqnetsError(
                "A resumed run keeps its config, seed, name and origin. Leave out --set, --seed, --name and --init-from."
            )
        return Run.open(path)
    settings = list(overrides) + ([] if seed is None else [f"seed={seed}"])
    experiment = load_config(config_or_run, settings)
    name = name or default_name(path.stem, experiment.seed)
    if resume and (runs / name).exists():
        run = Run.open(runs / name)
        if run.experiment != experiment:
            raise LarqnetsError(
                f"The config is not the one that {run.path} was started with. Continue that run with "
                f"`larqnets train --resume {run.path}`, or choose another --name."
            )
        return run
    return experiment, name


def check_train(
    config_or_run: str,
    name: str | None,
    runs: Path,
    overrides: Sequence[str],
    init_from: Path | None,
    resume: bool,
    seed: int | None,
    strategy: str | None,
) -> None:
    """Look at the arguments of `larqnets train`."""
    check_choice("strategy", strategy, STRATEGIES)
    planned = plan_run(config_or_run, name, runs, overrides, init_from, resume, seed)
    if isinstance(planned, Run):
        check_data(planned.experiment.data)
        return
    experiment, name = planned
    if strategy != "multiworker":  # where another process may have made the run already
        new_run_path(runs, name)
    check_folder(runs)
    check_experiment(experiment)
    origins = [stage.teacher for stage in experiment.training_stages if stage.teacher]
    for run in (*origins, *([] if init_from is None else [init_from])):
        if not str(run).startswith("keras:"):
            Run.open(Path(run))


def check_network(source: Path) -> None:
    """Look whether a run folder or a Keras model file is there."""
    if source.is_dir() and source.suffix not in KERAS_SUFFIXES:
        Run.open(source)
    else:
        check_is_keras_file(source)


def check_is_keras_file(path: Path) -> None:
    """Raise LarqnetsError naming what the path is instead of a Keras model file, and the one line that helps."""
    if path.is_dir():
        what = "SavedModel folder, which carries code" if (path / "saved_model.pb").is_file() else "folder"
        raise LarqnetsError(f"{path} is a {what}. Save the model as one file: model.save('model.h5').")
    if not path.exists():
        raise LarqnetsError(f"There is no file or run at {path}. Give runs/<name>, or a Keras model file.")
    if path.suffix.lower() in _FOREIGN:
        what, remedy = _FOREIGN[path.suffix.lower()]
        raise LarqnetsError(f"{path} is {what}. {remedy[0].upper()}{remedy[1:]}.")
    if path.suffix not in KERAS_SUFFIXES:
        raise LarqnetsError(f"{path} is neither a run folder nor a Keras model file (.keras, .h5).")
    if not path.is_file():
        raise LarqnetsError(f"{path} is no regular file. Give a Keras model file (.keras, .h5).")


def check_convert(
    source: Path, target: str, twin_run: Path | None, out: Path | None, dataset: str | None, data_dir: str | None
) -> None:
    """Look at the arguments of `larqnets convert`."""
    check_target(target)
    check_network(source)
    if twin_run is not None:
        Run.open(twin_run)
    check_folder(out or (source if source.is_dir() else source.parent))
    check_images(images_of_source(source), dataset, data_dir)


def check_device(name: str | None) -> None:
    """Look whether a model can run on what --device of `run` and `verify` names."""
    from android_bench.emulator import qemu_command
    from deploy.interpreter import QEMU

    check_choice("device", name, (QEMU,))
    if name == "qemu":
        qemu_command()


def check_file(file: Path) -> "Model":
    """Return what a .tflite file holds; raises LarqnetsError when it cannot be read, or needs an op that nobody knows."""
    from deploy.interpreter import check_model
    from deploy.tflite import read_model

    model = read_model(file)
    check_model(model, num_threads=1)
    return model


def run_of(file: Path) -> Path | None:
    """Return the run folder that holds a converted file, None if there is none above it."""
    return next((folder for folder in file.resolve().parents if (folder / "card.json").is_file()), None)


def origin_of(file: Path, source: Path | None) -> Path:
    """Return what a file was converted from: `source` if given, else its run; raises LarqnetsError where nobody says."""
    if (origin := source or run_of(file)) is None:
        raise LarqnetsError(f"{file} does not lie in a run folder. Name what it was converted from with --source.")
    return origin


def check_verify(
    file: Path, source: Path | None, dataset: str | None, data_dir: str | None, device: str | None
) -> None:
    """Look at the arguments of `larqnets verify`."""
    check_file(file)
    if source is not None:
        check_network(source)
    check_dataset(dataset)
    check_device(device)
    check_images(images_of_source(origin_of(file, source)), dataset, data_dir)


def check_evaluate(subject: Path, split: str, dataset: str | None, data_dir: str | None) -> None:
    """Look at the arguments of `larqnets evaluate`."""
    if split not in SPLITS:
        raise LarqnetsError(f"There is no split '{split}'. Use test or train.")
    if subject.is_dir():
        check_images(images_of_source(subject), dataset, data_dir)
        return
    from deploy.classify import dataset_of

    model = check_file(subject)
    run = run_of(subject)
    known = None if run is None else images_of_source(run)
    check_images(known, dataset if known is not None else dataset_of(subject, model, dataset), data_dir)


def check_run(model: Path, inputs: Path, output: Path | None, device: str | None) -> None:
    """Look at the arguments of `larqnets run`."""
    from larqnets.data.image import read_image

    check_output(output, (".npy", ".npz"))
    check_device(device)
    check_file(model)
    if inputs.suffix not in (".npy", ".npz"):
        read_image(inputs, _IMAGE_OF_ANY_KIND)
    elif not inputs.is_file():
        raise LarqnetsError(f"{inputs} cannot be read: there is no such file. Check the path.")


def check_summary(subject: str, backbone: str | None, image: str, stem: str, overrides: Sequence[str]) -> None:
    """Look at the arguments of `larqnets summary`."""
    path = Path(subject)
    if backbone is not None:
        check_method(subject)
        get_backbone(backbone)
        image_shape(image)
        if stem not in ("imagenet", "small"):
            raise LarqnetsError(f"The stem is 'imagenet' or 'small', not '{stem}'.")
        options: dict[str, object] = {}
        for override in overrides:
            apply_override(options, override)
        read_options(subject, options)
    elif path.suffix in KERAS_SUFFIXES:
        check_network(path)
    elif subject in method_names() and not path.exists():
        raise LarqnetsError(
            f"'{subject}' is a method. Say on which backbone: larqnets summary {subject} --backbone resnet18."
        )
    elif path.is_dir() or looks_like_run(path):
        if (run := Run.open(path)).kind == "trained":  # built anew for its images, others are loaded
            check_data(run.experiment.data)
    else:
        check_experiment(load_config(subject, overrides))


def image_shape(text: str) -> tuple[int, int, int]:
    """Return (H, W, C) of "HxWxC"."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})", text.lower())
    if found is None:
        raise LarqnetsError(f"'{text}' is no image shape. Write height x width x channels, e.g. 224x224x3.")
    height, width, channels = map(int, found.groups())
    return height, width, channels


def check_import(source: Path, network: str | None, name: str | None, runs: Path, dataset: str | None) -> None:
    """Look at the arguments of `larqnets import`."""
    if source.suffix not in (".npz", *KERAS_SUFFIXES):
        raise LarqnetsError(
            f"{source} is neither a .npz of weights nor a Keras model file ({', '.join(KERAS_SUFFIXES)})."
        )
    if source.suffix == ".npz" and network is None:
        raise LarqnetsError(
            f"{source} holds weights without a graph. Say whose: --network {', '.join(PUBLISHED_NETWORKS)}, or a Keras "
            "model file."
        )
    if source.suffix != ".npz" and network is not None:
        raise LarqnetsError(f"{source} brings its own graph. Leave --network out.")
    if network is not None and Path(network).suffix in KERAS_SUFFIXES:
        check_network(Path(network))
    elif network is not None and network not in PUBLISHED_NETWORKS:
        raise LarqnetsError(
            f"There is no network '{network}'.{nearest(network, PUBLISHED_NETWORKS)} "
            f"Use one of: {', '.join(PUBLISHED_NETWORKS)}."
        )
    if source.suffix != ".npz":
        check_is_keras_file(source)
    elif not source.is_file():
        raise LarqnetsError(f"There is no file {source}. Check the path.")
    check_name(name or source.stem, runs)
    check_dataset(dataset)


def check_decompose(source: str, method: str, name: str | None, runs: Path, dataset: str | None) -> None:
    """Look at the arguments of `larqnets decompose`; a plain word may be a network of keras.applications."""
    path = Path(source)
    if path.exists() or path.suffix or path.parent != Path():
        check_network(path)
    check_name(name or f"{path.stem}-{method}", runs)
    check_dataset(dataset)
