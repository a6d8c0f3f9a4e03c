"""The schema of `configs/*/*.toml`: frozen dataclasses, strict reading, `--set a.b=c` overrides.

A config file is one experiment. Its tables are `[model]`, `[data]`, `[train]`, for another task than classification
`[task]`, and for the paper's own number `[paper]`; a key that is not a field here is an error that names the nearest field. Training in several steps is a list
of `[[stages]]`, each with a name and the keys of `[train]` that it changes.
"""

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from larqnets import places
from larqnets.documents import parse_toml, read_text
from larqnets.errors import LarqnetsError, MovedWarning, nearest, printable
from larqnets.overrides import apply_override
from larqnets.schema import Range, from_mapping

Precision = Literal["real", "binary_activations", "binary"]
Surrogate = Literal["clip", "tanh", "relu"]
Scale = Annotated[float, Range(0.1, 10)]
STRATEGIES = ("mirrored", "multiworker")  # over several devices of a machine, over several machines


@dataclass(frozen=True)
class ModelConfig:
    """Which network: a method applied to a backbone."""

    method: str  # a name of `larqnets list methods`, or "published" for a body that others published
    backbone: str  # a name of `larqnets list backbones`, or such a body: zoo:NAME of Larq Zoo, keras:NAME of keras.applications
    stem: Literal["imagenet", "small"] = "small"  # 7x7/2 + max-pool, or 3x3/1 for images up to 64 pixels
    width: Annotated[float, Range(1 / 64, 64)] = 1.0  # factor on every number of filters
    options: dict[str, Any] = field(default_factory=dict)  # fields of the method, e.g. {input_scale = true}


@dataclass(frozen=True)
class TaskConfig:
    """What the network is for: `kind` is a name of `larqnets list tasks`, every other key of the table one of its options."""

    kind: str = "classification"  # a name of `larqnets list tasks`; the other keys of the table are its options
    options: dict[str, Any] = field(default_factory=dict, metadata={"key": False})  # no key itself: its entries are


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how training images are varied."""

    dataset: str  # a name of `larqnets list datasets`, or folder:PATH
    annotation: Literal["label", "mask", "boxes"] | None = None  # what is taken of images of which several things are
    # known; without it the mask, else boxes, else the label
    data_dir: str | None = None  # where TFDS keeps prepared data; without it TFDS_DATA_DIR or ~/tensorflow_datasets
    image_size: Annotated[int, Range(4, 4096)] | None = None  # images are resized to this height; without it as stored
    image_width: Annotated[int, Range(4, 4096)] | None = None  # and to this width; without it as wide as high
    resize: Literal["crop", "warp", "letterbox"] | None = None  # what is seen of an image of another shape: its middle,
    # all of it stretched, or all of it with grey below or on the right; without it "crop", of boxes "warp"
    max_boxes: Annotated[int, Range(1, 10_000)] = 100  # room for the boxes of an image
    crop_padding: Annotated[int, Range(0, 1024)] = 0  # pixels of zero padding before a random crop to the image size
    flip: bool = False  # mirror half of the training images
    random_resized_crop: bool = False  # ImageNet: random area and aspect ratio; test: central crop
    min_crop_area: Annotated[float, Range(0.001, 1)] = 0.08  # smallest random resized crop, as a fraction of the area
    augment: Literal["none", "light", "photos"] = "none"  # "light": random crops of 0.6 of the area or more, mirrored,
    # mild changes of colour; "photos": of 0.3, stronger ones, RandAugment's without turns, mixup and CutMix
    random_scale: tuple[Scale, Scale] | None = None  # least and largest factor on training images, before a random crop
    ignore_label: Annotated[int, Range(0, 255)] | None = None  # in masks the value of pixels without class, beside 255
    mean: tuple[float, ...] = ()  # per channel, of pixels / 255, subtracted; (): the data set's or published body's own
    std: tuple[float, ...] = ()  # per channel, divided by; (): the data set's or published body's own
    validation: Annotated[float, Range(0, 0.9)] = 0.0  # share of every label's training images, kept to choose by
    own_validation: bool = False  # the folder's own validation/ (or val/, valid/) beside test/ is kept to choose by
    test: Annotated[float, Range(0.01, 0.9)] = 0.2  # of a folder without splits: share of every label for the test
    split_seed: Annotated[int, Range(0, 2**31 - 1)] = 0  # which images these shares are

    @property
    def keeps_validation(self) -> bool:
        """Whether some images are kept to choose by."""
        return self.own_validation or self.validation > 0

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the images; None: as stored."""
        if self.image_size is None:
            return None
        return self.image_size, self.image_width or self.image_size

    def of_dataset(self, dataset: str) -> "DataConfig":
        """Return other images, prepared and split as these; whether they have a validation/ of their own is not known."""
        return dataclasses.replace(self, dataset=dataset, own_validation=False)

    def placed(self) -> "DataConfig":
        """Return the same images as they are named from every folder."""
        data_dir = None if self.data_dir is None else places.whole_path(self.data_dir)
        return dataclasses.replace(self, dataset=places.whole_dataset(self.dataset), data_dir=data_dir)

    def of_size(self, size: Sequence[int]) -> "DataConfig":
        """Return the same images resized to (height, width), those of a network's input.

        Raises LarqnetsError when these are not two numbers: of a network that takes no images.
        """
        if len(size) != 2:
            raise LarqnetsError(
                f"The network takes {', '.join(map(str, size)) or 'no'} values and no images. Leave the data set out."
            )
        height, width = size
        return dataclasses.replace(self, image_size=height, image_width=None if width == height else width)


@dataclass(frozen=True)
class TrainConfig:
    """How the weights are found. Learning rates are per step of the named optimizer."""

    epochs: Annotated[int, Range(1, 100_000)]  # how often all training images are seen
    batch_size: Annotated[int, Range(0, 1_000_000)] = 0  # 0 stands for the largest of 128, 64, 32 and 16 that
    # gives an epoch 20 steps, else 16; the run's own config.toml has the number
    optimizer: Literal["adam", "sgd"] = "adam"  # sgd: with momentum
    learning_rate: Annotated[float, Range(0, 1000)] = 1e-3  # from which the schedule falls
    momentum: Annotated[float, Range(0, 1)] = 0.9  # sgd only
    nesterov: bool = False  # sgd only: the gradient is taken where the momentum will have led
    schedule: Literal["constant", "cosine", "linear", "exponential", "step", "poly"] = "cosine"  # after the warm-up,
    # to the end; "poly" falls as (1 - progress)^0.9
    final_learning_rate: Annotated[float, Range(0, 1000)] = 0.0  # where the schedule ends; exponential needs it above 0
    step_epochs: tuple[float, ...] = ()  # step only: after each of these epochs the rate is multiplied by step_factor
    step_factor: Annotated[float, Range(0, 1)] = 0.1  # step only: see step_epochs
    warmup_epochs: Annotated[float, Range(0, 100_000)] = 0.0  # linear from 0
    weight_decay: Annotated[float, Range(0, 1000)] = 0.0  # L2, added to the gradient
    weight_decay_on: Literal["real_kernels", "all"] = "real_kernels"  # kernels that are real while training, or also
    # latents, BatchNorm, biases, slopes, thresholds: what PyTorch's optimizers decay, and so many papers' code
    clip_norm: Annotated[float, Range(0, 1e9)] = 0.0  # longer gradients, all together, are shortened to it; 0: none
    loss: Literal["cross_entropy", "squared_hinge"] = "cross_entropy"  # of classification
    label_smoothing: Annotated[float, Range(0, 0.999)] = 0.0  # cross_entropy: share that all classes have alike
    teacher: str = ""  # a run folder, or keras:NAME of keras.applications; its answers replace the labels in the loss
    teacher_weights: str = "imagenet"  # of a keras: teacher: "imagenet" (Keras downloads them) or a weights file
    teacher_temperature: Annotated[float, Range(0.01, 1000)] = 1.0  # divides the logits of both before the softmax
    hard_label_weight: Annotated[float, Range(0, 1)] = 0.0  # with a teacher: share of `loss` on the labels
    freeze: bool = False  # the body keeps the weights that --init-from gave it, its BatchNorms their statistics
    body_rate: Annotated[float, Range(0, 1, above=True)] = 1.0  # factor on the learning rate of these weights
    head_rate: Annotated[float, Range(0, 1000, above=True)] = 1.0  # factor on the learning rate of the task's head
    keep: Literal["last", "best"] = "last"  # the weights that are the result: of the last epoch, or of the epoch with
    # the best headline score on the validation images
    patience: Annotated[int, Range(0, 100_000)] = 0  # a stage ends after so many epochs without a better validation
    # score; 0: it has all its epochs
    checkpoint_every_epochs: Annotated[int, Range(1, 100_000)] = 1  # a killed run goes on from the last one
    mixed_precision: bool = False  # bfloat16 inside the training step, for CPUs that have it; weights stay float32


@dataclass(frozen=True)
class StageConfig(TrainConfig):
    """One step of a training in several: what is binary in it, and `[train]` with the changes of this stage.

    The weights go from stage to stage; every stage has an optimizer and a learning rate schedule of its own.
    """

    name: str = field(kw_only=True)  # unique; in metrics.csv and the card
    precision: Precision = "binary"  # of the layers that the method makes binary: which of their signs are taken
    surrogate: Surrogate = "clip"  # precision real: what stands in for the sign of the activations
    int8_rest: bool = False  # precision binary: layers with real weights learn with what int8 leaves of their numbers,
    # and their ranges are those of `larqnets convert --int8`
    progress: Literal["stage", "run"] = "stage"  # what sharpening estimators (EDE) count their progress over
    extends: bool = False  # it makes the stage before longer: keep = "best" is the best of both


@dataclass(frozen=True)
class PaperConfig:
    """The published number that a recipe aims at, for the card: the gap is reported, never hidden."""

    title: str = ""  # of the paper
    test_accuracy: Annotated[float, Range(0, 1)] | None = None  # fraction


@dataclass(frozen=True)
class Experiment:
    """One config file."""

    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    paper: PaperConfig = PaperConfig()
    task: TaskConfig = TaskConfig()
    description: str = ""  # a line for `larqnets list configs`
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0  # of weights, order of images and augmentation
    stages: tuple[StageConfig, ...] = ()

    def __post_init__(self) -> None:
        """Raise LarqnetsError for stages that cannot be told apart, and for a choice with nothing to choose by."""
        names = [stage.name for stage in self.stages]
        for name in names:
            if not name or names.count(name) > 1:
                what = f"Two stages are called '{name}'" if name else "A stage has an empty name"
                raise LarqnetsError(f"{what}. Give every one of [[stages]] a name of its own.")
        for before, stage in zip((None, *self.stages), self.stages, strict=False):
            alike = before and _what_is_rounded(before) == _what_is_rounded(stage)
            if stage.extends and not alike:
                raise LarqnetsError(
                    f"The stage '{stage.name}' extends the one before it, but there is none of the same precision, surrogate "
                    "and int8_rest. Leave extends out of it."
                )
            if stage.int8_rest and stage.precision != "binary":
                raise LarqnetsError(
                    f"The stage '{stage.name}' has int8_rest, which is about what a network has beside its binary layers, and "
                    f"precision = '{stage.precision}'. Leave one of them out."
                )
        for stage in self.training_stages:
            needs = 'train.keep = "best"' if stage.keep == "best" else "train.patience" if stage.patience else None
            if needs is not None and not self.data.keeps_validation:
                raise LarqnetsError(
                    f"{needs} needs validation images, since nothing is chosen on the test set, and the config keeps none. "
                    "Set data.validation = 0.2 to keep a part of the training images, or data.own_validation = true for a "
                    "folder that has some."
                )

    def __repr__(self) -> str:
        epochs = sum(stage.epochs for stage in self.training_stages)
        what = f"{self.model.method} on {self.model.backbone}, {self.data.dataset}"
        return f"<Experiment {printable(what)}: {epochs} epochs, seed {self.seed}>"

    def placed(self) -> "Experiment":
        """Return the same with images that are named from every folder."""
        return dataclasses.replace(self, data=self.data.placed())

    @property
    def training_stages(self) -> tuple[StageConfig, ...]:
        """The stages in their order; without `[[stages]]` there is one, `train`, with all that is binary binary."""
        return self.stages or (StageConfig(**vars(self.train), name="train"),)


def _what_is_rounded(stage: StageConfig) -> tuple[str, str, bool]:
    return stage.precision, stage.surrogate, stage.int8_rest


def config_folder() -> Path:
    """Return the folder of the shipped experiments: inside the installed package, or beside it in a checkout."""
    installed = Path(__file__).parent / "configs"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"


def list_configs(pattern: str = "*") -> list[str]:
    """Return the names of the shipped experiments that match a shell glob."""
    return sorted(name for name in _shipped() if fnmatchcase(name, pattern))


def find_config(name_or_path: str) -> Path:
    """Return the file of an experiment: a path as it is, a name as the shipped file that is called so.

    The shipped files once lay side by side in `configs/`; a path from then is found by its name, with a MovedWarning that
    says where the file is now. Raises LarqnetsError for a name that none of them has.
    """
    path, shipped = Path(name_or_path), _shipped()
    if path.is_file():
        return path
    if path.suffix != ".toml":
        if name_or_path not in shipped:
            raise LarqnetsError(
                f"There is no config '{name_or_path}'.{nearest(name_or_path, list_configs())} "
                "`larqnets list configs` shows the shipped ones; a path to a .toml file works too."
            )
        return shipped[name_or_path]
    if path.stem in shipped and path.absolute().parent.name == "configs":
        found = shipped[path.stem]
        warnings.warn(f"{path} is now {found}, which is read.", MovedWarning, stacklevel=1)
        return found
    return path


def _shipped() -> dict[str, Path]:
    """Name of every shipped experiment -> its file, in the folder of its images."""
    return {path.stem: path for path in config_folder().glob("*/*.toml")}


def load_config(name_or_path: str, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment by name or path and apply overrides of the form ``train.epochs=2``.

    Paths in `[data]` are looked for beside the file first, then in the working folder; those of overrides are meant from there.
    Raises LarqnetsError for a file that is not there or not TOML, an unknown key, a wrong type or range.
    """
    path = find_config(name_or_path)
    tables = _parse_toml(_read_text(path), str(path))
    places.read_from(path, tables)
    return _experiment(tables, str(path), overrides)


def load_run_config(path: Path) -> Experiment:
    """Read the config of a run, whose paths are whole ones, or of before meant from the working folder."""
    return parse_config(_read_text(path), str(path))


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise LarqnetsError(f"Cannot read config {path}: {error.strerror}.") from error
    except ValueError as error:
        raise LarqnetsError(f"{path} is not a TOML file: {error}.") from error


def _parse_toml(text: str, source: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except ValueError as error:
        raise LarqnetsError(f"{source} is not valid TOML: {error}.") from error


def parse_config(text: str, source: str, overrides: Sequence[str] = ()) -> Experiment:
    """Turn TOML text into an Experiment; `source` names the text in errors."""
    return _experiment(_parse_toml(text, source), source, overrides)


def _experiment(tables: dict[str, Any], source: str, overrides: Sequence[str]) -> Experiment:
    for override in overrides:
        apply_override(tables, override)
    return from_mapping(Experiment, _with_train_in_stages(_with_options(tables)), "", source)


@dataclass(frozen=True)
class ModelImages:
    """The config of a run that was not trained here: which images its network was made for, None where nobody said; its task."""

    data: DataConfig | None = None
    task: TaskConfig = TaskConfig()

    def placed(self) -> "ModelImages":
        """Return the same with images that are named from every folder."""
        return self if self.data is None else dataclasses.replace(self, data=self.data.placed())


def load_model_images(path: Path) -> ModelImages:
    """Read the config of an imported or decomposed run; raises LarqnetsError as `load_config` does."""
    return from_mapping(ModelImages, _with_options(_parse_toml(_read_text(path), str(path))), "", str(path))


def dump_config(experiment: Experiment | ModelImages) -> str:
    """Return the experiment as TOML that `parse_config` reads back to an equal one; likewise `load_model_images`."""
    import tomlkit

    tables = dataclasses.asdict(experiment)
    stages, task = tables.pop("stages", ()), tables.pop("task")
    if experiment.task != TaskConfig():
        tables["task"] = {"kind": task["kind"], **task["options"]}
    nested = {key: value for key, value in tables.items() if isinstance(value, dict)}
    document: dict[str, Any] = _set_keys({key: value for key, value in tables.items() if key not in nested})
    document |= {key: _set_keys(entries) for key, entries in nested.items()}
    if stages:
        document["stages"] = [_set_keys({"name": entries["name"], **entries}) for entries in stages]
    return tomlkit.dumps(document)


def _set_keys(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the keys that have a value, which TOML has no word for the lack of; what is nested stands in the line of its key."""
    return {key: _in_a_line(value) for key, value in entries.items() if value is not None}


def _in_a_line(value: Any) -> Any:
    import tomlkit

    if isinstance(value, dict):
        table = tomlkit.inline_table()
        for key, entry in value.items():
            table[key] = _in_a_line(entry)
        return table
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        array.extend(map(_in_a_line, value))
        return array
    return value


def _with_options(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables with the options in `[task]` gathered, as `TaskConfig` has them."""
    task = tables.get("task")
    if not isinstance(task, dict):
        return tables
    options = {key: value for key, value in task.items() if key != "kind"}
    return tables | {"task": {**({"kind": task["kind"]} if "kind" in task else {}), "options": options}}


def _with_train_in_stages(tables: dict[str, Any]) -> dict[str, Any]:
    """Return the tables with every stage completed by `[train]`, and the stages last, so that errors name `[train]`."""
    stages, train = tables.get("stages"), tables.get("train")
    if not isinstance(stages, list) or not isinstance(train, dict):
        return tables
    complete = [train | stage if isinstance(stage, dict) else stage for stage in stages]
    return {key: value for key, value in tables.items() if key != "stages"} | {"stages": complete}
