"""What is wrong with a command's arguments, said before the work and before TensorFlow is imported.

Names, configs, folders, files and suffixes are looked at with what reads them anyway; nothing is written. Every function
raises LarqnetsError. What only data or weights can tell is found when they are loaded.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from deploy.targets import check_postprocess, check_target
from larqnets.config import STRATEGIES, DataConfig, ModelConfig, load_config
from larqnets.data.known import KNOWN_DATASETS, SPLITS
from larqnets.data.layout import is_prepared
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.errors import LarqnetsError, nearest
from larqnets.files import check_folder, check_output
from larqnets.method_options import method_names
from larqnets.overrides import apply_override
from larqnets.places import FOLDER_PREFIX
from larqnets.published import is_keras, is_zoo
from larqnets.published.zoo import check_zoo
from larqnets.runs.names import (
    ARRAY_SUFFIXES,
    KERAS_SUFFIXES,
    Order,
    check_data,
    check_dataset,
    check_experiment,
    check_images,
    check_is_keras_file,
    check_model,
    check_origin,
    image_shape,
    images_of_source,
    is_run,
    looks_like_run,
    origin_of,
    plan_run,
    run_of,
)
from larqnets.runs.run import Run, new_run_path
from larqnets.runs.weights_files import check_readable
from larqnets.schema import from_mapping
from larqnets.scores import FORMS, Form
from larqnets.tasks import get_task
from larqnets.tflite.detection_op import Suppression

if TYPE_CHECKING:
    from larqnets.tflite.model import Model

PUBLISHED_NETWORKS = ("resnet56", "vgg16bn")
_IMAGE_OF_ANY_KIND = {"image_shape": (1, 1, 3), "mean": (0.0,) * 3, "std": (1.0,) * 3}


def check_choice(option: str, value: str | None, known: Sequence[str]) -> None:
    """Look whether an option has one of the values that it may have."""
    if value is not None and value not in known:
        raise LarqnetsError(f"There is no {option} '{value}'.{nearest(value, known)} Use {' or '.join(known)}.")


def check_name(name: str, runs: Path, overwrite: bool) -> None:
    """Look whether a new run could be called so, and its folder be made."""
    new_run_path(runs, name, overwrite)
    check_folder(runs)


def check_train(order: Order) -> None:
    """Look at the arguments of `larqnets train`."""
    check_choice("strategy", order.strategy, STRATEGIES)
    planned = plan_run(order)
    if isinstance(planned, Run):
        check_data(planned.experiment.data)
        return
    experiment, name = planned
    if order.strategy != "multiworker":  # where another process may have made the run already
        new_run_path(order.runs, name, order.overwrite)
    check_folder(order.runs)
    check_experiment(experiment)
    for teacher in {stage.teacher for stage in experiment.training_stages}:
        if teacher and not is_keras(teacher):
            Run.open(Path(teacher))
    if order.init_from is not None:
        check_origin(str(order.init_from))


def images_named(images: str, data_dir: str | None = None) -> str:
    """Return the data set that a folder's path or a data set's name stands for."""
    is_path = Path(images).exists() or Path(images).parent != Path()
    if images.startswith(FOLDER_PREFIX) or images in KNOWN_DATASETS or (not is_path and is_prepared(images, data_dir)):
        return images
    if is_path:
        return f"{FOLDER_PREFIX}{images}"
    raise LarqnetsError(
        f"There is neither a folder nor a data set '{images}'.{nearest(images, KNOWN_DATASETS)} Check the path, or see "
        "`larqnets list datasets`."
    )


def check_data_check(images: str, overrides: Sequence[str], data_dir: str | None, *sheets: Path | None) -> DataConfig:
    """Look at the arguments of `larqnets data check`, and return which images are meant."""
    for sheet in sheets:
        check_output(sheet, (".png",))
    dataset = images_named(images, data_dir)
    tables: dict[str, Any] = {"data": {"dataset": dataset}}
    for override in overrides:
        apply_override(tables, override)
    if unknown := sorted(tables.keys() - {"data"}):
        raise LarqnetsError(
            f"--set {unknown[0]}: only keys of [data] say which images. Use e.g. --set data.validation=0.2."
        )
    config = from_mapping(DataConfig, tables["data"], "data.", "--set")
    config = config if data_dir is None else replace(config, data_dir=data_dir)
    check_data(config)
    return config


def check_network(source: Path) -> None:
    """Look whether a run folder, a Keras model file or a network of Larq Zoo is there."""
    if is_zoo(source):
        check_zoo(str(source))
    elif source.is_dir() and source.suffix not in KERAS_SUFFIXES:
        Run.open(source)
    else:
        check_is_keras_file(source)


def form_and_folder(outputs: Sequence[str] | None) -> tuple[Form, Path | None]:
    """Return what the --output of `larqnets convert` mean: in which form files answer, and the folder for them."""
    forms = [output for output in outputs or () if output in FORMS]
    folders = [output for output in outputs or () if output not in FORMS]
    if len(forms) > 1 or len(folders) > 1:
        raise LarqnetsError(
            f"--output is a folder, or one of {', '.join(FORMS)}; once each, not {', '.join(forms if forms[1:] else folders)}."
        )
    return cast(Form, forms[0]) if forms else "logits", Path(folders[0]) if folders else None


def suppression_of(postprocess: bool, regular: bool) -> Suppression | None:
    """Return how --postprocess and --regular-nms of `larqnets convert` leave out boxes, None where they are not given."""
    if regular and not postprocess:
        raise LarqnetsError("--regular-nms says how --postprocess leaves out boxes. Add --postprocess.")
    return ("regular" if regular else "fast") if postprocess else None


def check_convert(
    source: Path,
    target: str,
    twin_run: Path | None,
    form: Form,
    postprocess: Suppression | None,
    out: Path | None,
    dataset: str | None,
    data_dir: str | None,
) -> None:
    """Look at the arguments of `larqnets convert`."""
    check_target(target)
    check_network(source)
    if form != "logits" or postprocess is not None:
        is_run = source.is_dir() and source.suffix not in KERAS_SUFFIXES
        task = get_task(Run.open(source).config.task if is_run else None)
        task.check_form(form, str(source))
        if postprocess is not None and is_run:
            check_postprocess(task.name, str(source))
    if twin_run is not None:
        Run.open(twin_run)
    check_folder(out or (source if source.is_dir() else source.parent))
    check_images(images_of_source(source), dataset, data_dir)


def check_device(name: str | None) -> None:
    """Look whether a model can run on what --device of `run` and `verify` names."""
    from android_bench.emulation.emulator import qemu_command
    from deploy.run.interpreter import QEMU

    check_choice("device", name, (QEMU,))
    if name == "qemu":
        qemu_command()


def check_file(file: Path) -> "Model":
    """Return what a .tflite file holds; raises LarqnetsError when it cannot be read, or needs an op that nobody knows."""
    from deploy.run.interpreter import check_model
    from larqnets.tflite.reading import read_model

    model = read_model(file)
    check_model(model, num_threads=1)
    return model


def check_verify(
    file: Path, source: Path | None, dataset: str | None, data_dir: str | None, device: str | None
) -> None:
    """Look at the arguments of `larqnets verify`."""
    check_file(file)
    if source is not None:
        check_network(source)
    check_dataset(dataset, data_dir)
    check_device(device)
    check_images(images_of_source(origin_of(file, source)), dataset, data_dir)


def check_evaluate(
    subject: Path,
    split: str,
    dataset: str | None,
    data_dir: str | None,
    confusion: Path | None,
    wrong: Path | None,
    sheet: Path | None,
) -> None:
    """Look at the arguments of `larqnets evaluate`."""
    check_output(confusion, (".png", ".svg", ".pdf"))
    check_output(wrong, (".csv",))
    check_output(sheet, (".png",))
    if split not in SPLITS:
        raise LarqnetsError(f"There is no split '{split}'. Use test, train or validation.")
    if subject.is_dir():
        check_images(images_of_source(subject), dataset, data_dir)
        return
    if subject.suffix in KERAS_SUFFIXES:
        check_is_keras_file(subject)
        if dataset is None:
            raise LarqnetsError(f"{subject} does not say which images its network is for. Name them with --dataset.")
        check_images(None, dataset, data_dir)
        return
    from larqnets.data.info import dataset_of

    model = check_file(subject)
    run = run_of(subject)
    known = None if run is None else images_of_source(run)
    check_images(known, dataset if known is not None else dataset_of(subject, model, dataset), data_dir)


def check_run(
    model: Path, inputs: Sequence[Path], output: Path | None, csv: Path | None, device: str | None
) -> Path | None:
    """Look at the arguments of `larqnets run`; return the one input, None where a folder or several are given."""
    from deploy.run.image_files import is_folder
    from larqnets.data.image import read_image

    if output is not None and output.suffix == ".png" and _draws(model) is None:
        raise LarqnetsError(
            f"{model} gives no mask and no boxes: it labels whole images. Leave --output out, or write raw output to a .npy."
        )
    if output is not None and _draws(model) == BOXES and inputs[0].suffix not in (".npy", ".npz"):
        raise LarqnetsError(
            f"{output} is for raw output, and {model} tells what is where in photos. Let it end in .png, or give a .npy of ready values."
        )
    check_output(output, (".npy", ".npz"))
    check_output(csv, (".csv",))
    check_device(device)
    check_file(model)
    if len(inputs) > 1 or is_folder(inputs[0]):
        if output is not None:
            raise LarqnetsError(f"The raw output of one input alone is written to {output}. Leave --output out.")
        return None
    if inputs[0].suffix not in (".npy", ".npz"):
        read_image(inputs[0], _IMAGE_OF_ANY_KIND)
    elif not inputs[0].is_file():
        raise LarqnetsError(f"{inputs[0]} cannot be read: there is no such file. Check the path.")
    return inputs[0]


MASKS, BOXES = "masks", "boxes"  # what photos are drawn with
_ANSWER = {MASKS: "gives every pixel a class", BOXES: "tells what is where"}
_PICTURE = {MASKS: "mask", BOXES: "picture"}


def drawn_with(model: Path, inputs: Sequence[Path], output: Path | None) -> str | None:
    """Return what `larqnets run` draws these inputs with, None: arrays, photos whose raw output is asked for, and labels alone."""
    given = {path.suffix for path in inputs} | ({output.suffix} if output is not None else set())
    return None if given & {".npy", ".npz"} else _draws(model)


def check_thresholds(model: Path, **thresholds: float | None) -> None:
    """Look at the thresholds that `larqnets run` is given for a detector."""
    from larqnets.tasks.box_answers import Nms

    given = {name: value for name, value in thresholds.items() if value is not None}
    if given and _draws(model) != BOXES:
        options = " and ".join(f"--{name}" for name in given)
        raise LarqnetsError(f"{model} is no detector, and {options} is for detectors alone. Leave it out.")
    replace(Nms(), **given)


def _draws(model: Path) -> str | None:
    from larqnets.tasks import task_of
    from larqnets.tasks.detection import Detection
    from larqnets.tasks.segmentation import Segmentation

    task = task_of(check_file(model))
    return MASKS if isinstance(task, Segmentation) else BOXES if isinstance(task, Detection) else None


def check_photos(
    model: Path,
    what: str,
    inputs: Sequence[Path],
    output: Path | None,
    csv: Path | None,
    device: str | None,
    top: int | None,
) -> Path | None:
    """Look at the arguments of `larqnets run` with photos that are drawn with `what`; return the one, None where there may be more."""
    from deploy.run.image_files import is_folder
    from deploy.run.picture_files import check_place
    from larqnets.data.image import read_image

    if top is not None:
        raise LarqnetsError(f"{model} {_ANSWER[what]}, and --top is for classifiers. Leave it out.")
    check_output(csv, (".csv",))
    check_device(device)
    if output is not None:
        check_place(output, inputs, _PICTURE[what])
    if len(inputs) > 1 or is_folder(inputs[0]):
        return None
    read_image(inputs[0], _IMAGE_OF_ANY_KIND)
    return inputs[0]


def check_summary(subject: str, backbone: str | None, image: str, stem: str, overrides: Sequence[str]) -> None:
    """Look at the arguments of `larqnets summary`."""
    path = Path(subject)
    if backbone is not None:
        image_shape(image)
        if stem not in ("imagenet", "small"):
            raise LarqnetsError(f"The stem is 'imagenet' or 'small', not '{stem}'.")
        options: dict[str, object] = {}
        for override in overrides:
            apply_override(options, override)
        check_model(ModelConfig(subject, backbone, stem, options=options))
    elif path.suffix in KERAS_SUFFIXES:
        check_network(path)
    elif subject in method_names() and not path.exists():
        raise LarqnetsError(
            f"'{subject}' is a method. Say on which backbone: larqnets summary {subject} --backbone resnet18."
        )
    elif is_run(subject) or looks_like_run(path):
        if (run := Run.open(path)).kind == "trained":  # built anew for its images, others are loaded
            check_data(run.experiment.data)
    else:
        check_experiment(load_config(subject, overrides))


def check_import(
    source: Path,
    network: str | None,
    name: str | None,
    runs: Path,
    overwrite: bool,
    dataset: str | None,
    given: Preparation,
) -> None:
    """Look at the arguments of `larqnets import`."""
    if source.suffix not in (*ARRAY_SUFFIXES, *KERAS_SUFFIXES):
        raise LarqnetsError(
            f"{source} is neither a file of weights ({', '.join(ARRAY_SUFFIXES)}) nor a Keras model file "
            f"({', '.join(KERAS_SUFFIXES)}). Give one of these."
        )
    if source.suffix in ARRAY_SUFFIXES and network is None:
        raise LarqnetsError(
            f"{source} holds weights without a graph. Say whose: --network {', '.join(PUBLISHED_NETWORKS)}, or a Keras "
            "model file."
        )
    if source.suffix not in ARRAY_SUFFIXES and network is not None:
        raise LarqnetsError(f"{source} brings its own graph. Leave --network out.")
    if network is not None and Path(network).suffix in KERAS_SUFFIXES:
        check_network(Path(network))
    elif network is not None and network not in PUBLISHED_NETWORKS:
        raise LarqnetsError(
            f"There is no network '{network}'.{nearest(network, PUBLISHED_NETWORKS)} "
            f"Use one of: {', '.join(PUBLISHED_NETWORKS)}."
        )
    elif network is not None and given != NOT_SAID:
        raise LarqnetsError(
            f"It is known how the images of {network} are prepared, and of which size they are. Leave --mean, --std, --scale, "
            "--labels and --image-size out."
        )
    if source.suffix in ARRAY_SUFFIXES:
        check_readable(source)
    else:
        check_is_keras_file(source)
    check_name(name or source.stem, runs, overwrite)
    check_dataset(dataset)


def check_decompose(
    source: str, method: str, name: str | None, runs: Path, overwrite: bool, dataset: str | None
) -> None:
    """Look at the arguments of `larqnets decompose`; a plain word may be a network of keras.applications."""
    path = Path(source)
    if path.exists() or path.suffix or path.parent != Path():
        check_network(path)
    name = name or f"{path.stem}-{method}"
    check_name(name, runs, overwrite)
    if overwrite and (runs / name).resolve() == path.resolve():
        raise LarqnetsError(f"--overwrite would replace {path} itself. Choose another name with --name.")
    check_dataset(dataset)
