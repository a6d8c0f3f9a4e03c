"""What a name on the command line stands for: a run, a config, a Keras model file or something that only looks like one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from larqnets.backbones import get_backbone
from larqnets.config import DataConfig, Experiment, ModelConfig, StageConfig, TrainConfig, list_configs, load_config
from larqnets.data.folder import annotation_of, find_layout
from larqnets.data.layout import dataset_of_config, find_dataset, find_prepared, resolve_data_dir
from larqnets.errors import LarqnetsError
from larqnets.method_options import method_names, no_option, read_options
from larqnets.places import FOLDER_PREFIX, folder_path
from larqnets.published import METHOD, check_pair, is_keras, is_published, is_zoo
from larqnets.published.zoo import check_zoo
from larqnets.registry import unknown
from larqnets.runs.card import CARD_FILE
from larqnets.runs.longer import added_stage, asks_nothing_else, epochs_asked, is_longer
from larqnets.runs.model_cards import read_model_card
from larqnets.runs.run import Run, default_name, numbered_name
from larqnets.runs.settled import settled_as
from larqnets.runs.weights_files import check_readable
from larqnets.shipped import is_model
from larqnets.tasks import get_task

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
ARRAY_SUFFIXES = (
    ".npz",
    ".safetensors",
    ".pt",
    ".pth",
)  # weights in PyTorch's names and layouts, without their network
_REBUILD = "build the network in Keras 2, set its weights (layer.set_weights) and save it with model.save('model.h5')"
_IMPORT = "import it with its graph: larqnets import FILE --network NAME"
# What people give in the place of a Keras file: by suffix what it is, and what helps.
_FOREIGN = {
    ".pt": ("a PyTorch checkpoint, which holds weights without their network", _IMPORT),
    ".pth": ("a PyTorch checkpoint, which holds weights without their network", _IMPORT),
    ".ckpt": ("a checkpoint, which holds weights without their network", _REBUILD),
    ".safetensors": ("a file of weights without their network", _IMPORT),
    ".onnx": ("an ONNX graph, and the converter takes Keras", _REBUILD),
    ".pb": ("a TensorFlow graph, and the converter takes Keras", _REBUILD),
    ".tflite": (
        "converted already",
        "give it to larqnets inspect, run, verify or benchmark, or name a folder for --app",
    ),
    ".npz": ("a file of arrays without their network", _IMPORT),
    ".json": ("a graph without weights", "save both in one file with model.save('model.h5')"),
}


def check_experiment(experiment: Experiment) -> None:
    """Look at the names of method, backbone and data set, at the method's options and at the schedule of every stage."""
    check_model(experiment.model)
    for stage in experiment.training_stages:
        check_schedule(stage)
    check_data(experiment.data)
    get_task(experiment.task).check_annotation(annotation_of(experiment.data), experiment.data.dataset)


def check_schedule(config: TrainConfig) -> None:
    """Raise LarqnetsError when the schedule of a config has no meaning."""
    if config.warmup_epochs >= config.epochs:
        raise LarqnetsError(
            f"train.warmup_epochs is {config.warmup_epochs:g}, but there are only {config.epochs} epochs. "
            "Make the warm-up shorter than train.epochs."
        )
    boundaries = list(config.step_epochs)
    in_order = boundaries == sorted(set(boundaries)) and all(0 < epoch < config.epochs for epoch in boundaries)
    if config.schedule == "step" and (not boundaries or not in_order):
        raise LarqnetsError(
            f"A step schedule needs train.step_epochs in rising order between 0 and the {config.epochs} epochs, not "
            f"{boundaries}. Name the epochs after which the rate falls."
        )
    if config.freeze and config.head_rate != 1:
        raise LarqnetsError(
            "train.freeze lets the head alone learn, so train.head_rate would be a factor on all that learns. Leave it out, and "
            "set train.learning_rate."
        )
    if config.schedule == "exponential" and min(config.learning_rate, config.final_learning_rate) <= 0:
        raise LarqnetsError(
            "An exponential schedule cannot start or end at 0. "
            "Set train.learning_rate and train.final_learning_rate above 0."
        )


def check_model(model: ModelConfig) -> None:
    """Look whether there are such a method, with its options, and such a backbone, and whether they go together."""
    check_pair(model.method, model.backbone)
    if model.method != METHOD:
        check_method(model.method)
        read_options(model.method, model.options)
    elif model.options:
        raise no_option(METHOD, next(iter(model.options)), ())
    get_backbone(model.backbone, model.stem, model.width)
    if is_zoo(model.backbone):
        check_zoo(model.backbone)


def check_method(name: str) -> None:
    """Look whether there is such a method."""
    if name not in (names := method_names()):
        raise unknown("method", name, names)


def check_data(config: DataConfig) -> None:
    """Look whether the images are there: a folder with its classes, or what TFDS has prepared."""
    check_dataset(config.dataset, config.data_dir)
    if config.dataset.startswith(FOLDER_PREFIX):
        find_layout(folder_path(config.dataset), config)
    elif not (known := dataset_of_config(config)).ships_with_package:
        find_prepared(known, resolve_data_dir(config.data_dir))


def check_dataset(name: str | None, data_dir: str | None = None) -> None:
    """Look whether there is such a data set, or such a folder."""
    if name is None:
        return
    if not name.startswith(FOLDER_PREFIX):
        find_dataset(name, data_dir)
    elif not (folder := folder_path(name)).is_dir():
        raise LarqnetsError(f"There is no folder {folder}. Check the path after 'folder:'.")


def check_images(config: DataConfig | None, dataset: str | None, data_dir: str | None) -> None:
    """Look whether the images are there that a run or file was made for, or those of --dataset; None: it does not say."""
    if dataset is not None:
        config = (config or DataConfig(dataset)).of_dataset(dataset)
    if config is not None:
        check_data(config if data_dir is None else replace(config, data_dir=data_dir))


def images_of_source(source: Path) -> DataConfig | None:
    """Return the images of a run folder; None where it does not say, and for a Keras file."""
    return Run.open(source).data if source.is_dir() else None


def run_of(file: Path) -> Path | None:
    """Return the run folder that holds a converted file, None if there is none above it."""
    return next((folder for folder in file.resolve().parents if (folder / CARD_FILE).is_file()), None)


def origin_of(file: Path, source: Path | None) -> Path:
    """Return what a file was converted from: `source` if given, else its run; raises LarqnetsError where nobody says."""
    if (origin := source or run_of(file)) is None:
        raise LarqnetsError(f"{file} does not lie in a run folder. Name what it was converted from with --source.")
    return origin


def looks_like_run(path: Path) -> bool:
    """Return whether a name is a path to a run rather than the name of a config."""
    return path.parent != Path() and path.suffix != ".toml" and not path.is_file()


def is_run(name: str) -> bool:
    """Return whether a name stands for a folder that is there: of a run, or one that no config is called like."""
    path = Path(name)
    return path.is_dir() and ((path / CARD_FILE).is_file() or name not in list_configs())


@dataclass(frozen=True)
class Order:
    """What `larqnets train` is asked to do.

    `name` and `seed` are by default those of the config, `strategy` is one of `config.STRATEGIES`, None for one device.
    """

    config_or_run: str
    name: str | None = None
    runs: Path = Path("runs")
    overrides: Sequence[str] = ()
    init_from: Path | str | None = None  # a run, file or published network whose weights it starts from
    init_weights: str | None = None  # the file of the weights of a keras:NAME; None: those that Keras downloads
    resume: bool = False
    seed: int | None = None
    strategy: str | None = None
    overwrite: bool = False  # replace a run that is called so


def plan_run(order: Order) -> Run | tuple[Experiment, str]:
    """Return the run that `larqnets train` is to continue, or experiment and name of the one that it is to start.

    What `longer_by` adds to a run is not in it yet.
    """
    path = Path(order.config_or_run)
    if order.resume and order.overwrite:
        raise LarqnetsError("--resume goes on with a run, and --overwrite replaces it. Leave one of them out.")
    if is_run(order.config_or_run) or (order.resume and looks_like_run(path)):
        if not order.resume:
            raise LarqnetsError(f"{path} is a run folder. Continue it with --resume, or give a config to train anew.")
        asked = (order.seed, order.name, order.init_from, order.init_weights)
        if not asks_nothing_else(order.overrides) or any(value is not None for value in asked):
            raise LarqnetsError(
                "A resumed run keeps its config, seed, name and origin. Leave out --set, --seed, --name and --init-from; "
                "--epochs N alone makes a finished run longer."
            )
        run = Run.open(path)
        longer_by(run, order)
        return run
    settings = list(order.overrides) + ([] if order.seed is None else [f"seed={order.seed}"])
    experiment = load_config(order.config_or_run, settings)
    check_body(experiment, order.init_from is not None)
    check_published(experiment.model, order.init_from, order.init_weights)
    name = order.name or default_name(path.stem, experiment.seed)
    if order.resume and (order.runs / name).exists():
        run = Run.open(order.runs / name)
        experiment = settled_as(experiment, run.experiment)
        mine, asked = run.experiment.placed(), experiment.placed()
        if mine == asked:
            return run
        if epochs_asked(order.overrides) is None or not is_longer(mine, asked):
            raise LarqnetsError(
                f"The config is not the one that {run.path} was started with. Continue that run with "
                f"`larqnets train --resume {run.path}`, or choose another --name."
            )
        longer_by(run, order)
        return run
    if order.overwrite:
        _check_not_needed(order.runs / name, experiment, order.init_from)
    elif order.name is None and order.strategy != "multiworker" and _is_finished(order.runs / name):
        name = numbered_name(order.runs, name)
    return experiment, name


def _is_finished(path: Path) -> bool:
    try:
        run = Run.open(path)
    except LarqnetsError:  # there is none, or a damaged one, of which `new_run_path` tells
        return False
    return run.kind == "trained" and run.is_finished


def _check_not_needed(path: Path, experiment: Experiment, origin: Path | str | None) -> None:
    """Raise LarqnetsError when the run at `path`, which is to be replaced, is one that the new one learns from."""
    sources = {str(origin) if origin else "", *(stage.teacher for stage in experiment.training_stages)}
    if any(
        source and path.resolve() in (Path(source).resolve(), *Path(source).resolve().parents) for source in sources
    ):
        raise LarqnetsError(
            f"The new run learns from {path}, which --overwrite would replace. Choose another name with --name."
        )


def check_body(experiment: Experiment, has_origin: bool) -> None:
    """Raise LarqnetsError when the first stage is to hold on to weights that would be random ones."""
    first = experiment.training_stages[0]
    if not has_origin and (first.freeze or first.body_rate != 1):
        key = "train.freeze" if first.freeze else "train.body_rate"
        raise LarqnetsError(
            f"{key} is for a body that is trained already, and this run would begin with random weights. Name where they "
            "come from with --init-from, or leave it out."
        )


def check_published(model: ModelConfig, origin: Path | str | None, weights: str | None) -> None:
    """Raise LarqnetsError where the body of a published network is to come into another one, or a file is named for none."""
    if is_published(origin) and model.backbone != origin:
        check_origin(str(origin))
        raise LarqnetsError(
            f"{origin} is a body of its own, and the config has {model.method} on {model.backbone}. Put method = "
            f'"{METHOD}" and backbone = "{origin}" into its [model], or add --set model.method={METHOD} --set '
            f"model.backbone={origin}."
        )
    if weights is None:
        return
    if not is_keras(origin):
        raise LarqnetsError(
            "--init-weights names a file of the weights of --init-from keras:NAME. Larq Zoo's come from its own cache, where "
            "their SHA-256 is checked; a run or a file brings its own. Leave it out."
        )
    if not Path(weights).is_file():
        raise LarqnetsError(f"There is no file {weights} for --init-weights. Check the path.")
    if not weights.endswith(KERAS_SUFFIXES):
        raise LarqnetsError(
            f"{weights} is no file of Keras' weights ({', '.join(KERAS_SUFFIXES)}). Name one that model.save_weights wrote."
        )


def check_origin(named: str) -> None:
    """Look whether what --init-from names is there: a run, a Keras model file, a file of arrays, a shipped model, a published network.

    Which networks Keras has is found when it is loaded.
    """
    path = Path(named)
    if is_zoo(named):
        check_zoo(named)
    elif is_keras(named):
        return
    elif is_model(named):
        read_model_card(named)
    elif path.suffix in ARRAY_SUFFIXES:
        check_readable(path)
    elif path.suffix in KERAS_SUFFIXES or path.is_file():
        check_is_keras_file(path)
    else:
        Run.open(path)


def longer_by(run: Run, order: Order) -> StageConfig | None:
    """Return the stage that the order adds to a finished run, None for one that has what it asks for."""
    epochs = epochs_asked(order.overrides)
    return None if epochs is None else added_stage(run, epochs)


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


def image_shape(text: str) -> tuple[int, int, int]:
    """Return (H, W, C) of "HxWxC"."""
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})", text.lower())
    if found is None:
        raise LarqnetsError(f"'{text}' is no image shape. Write height x width x channels, e.g. 224x224x3.")
    height, width, channels = map(int, found.groups())
    return height, width, channels
