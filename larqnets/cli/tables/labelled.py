"""What a model says of images, for people: labels, masks, and boxes."""

from collections import Counter
from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import facts, legend_lines

MAX_LABELS = 20  # that are counted by name
MAX_CLASSES = 4  # of a mask in a list of masks
_BOXES = "boxes"  # the name of an output of detectors
_NOTHING, _UNKNOWN = "nothing was found", "no pixel has a class"
_RANKED = {"label", "class", "probability"}  # what a classifier tells of a label
_FRACTIONS = ("probability", "share", "score")


def labels(result: dict[str, Any]) -> list[Any]:
    """The most probable labels of every input."""
    parts: list[Any] = []
    for i, prediction in enumerate(result.get("predictions", [])):
        head = f"{result['input']}" if len(result["predictions"]) == 1 else f"{result['input']}[{i}]"
        parts += [head, _answer(prediction, _NOTHING if _BOXES in result["output_names"] else _UNKNOWN)]
    if "output" in result:
        shapes = ", ".join(str(tuple(shape)) for shape in result["output_shapes"])
        parts.append(f"raw outputs of shape {shapes}: {result['output']}")
    return [*parts, *_csv(result), f"engine: {result['engine']}"]


def labels_of_images(result: dict[str, Any]) -> list[Any]:
    """A row for every image, then how often each label is the most probable one."""
    images = result["images"]
    answers = [prediction for image in images for prediction in image["predictions"]]
    if all(isinstance(answer, list) and answer and answer[0].keys() == _RANKED for answer in answers):
        table = Table("image", "label", "probability", "next", box=None, pad_edge=False)
        table.columns[0].overflow = "fold"
        table.columns[2].justify = "right"
        for image, (best, *others) in zip(images, answers, strict=True):
            then = ", ".join(f"{other['label']} {other['probability']:.2%}" for other in others)
            table.add_row(image["input"], best["label"], f"{best['probability']:.2%}", then)
        parts = [table, "", _tally([answer[0]["label"] for answer in answers])] if answers else []
    else:
        parts = [
            part for image, answer in zip(images, answers, strict=True) for part in (image["input"], _answer(answer))
        ]
    return [*parts, *_left_out(result), *_csv(result), f"engine: {result['engine']}"]


def _tally(labels: list[str]) -> str:
    """How many images got which label."""
    counted = Counter(labels).most_common()
    shown = ", ".join(f"{label} ({number:,})" for label, number in counted[:MAX_LABELS])
    more = f" and {len(counted) - MAX_LABELS} more labels" if len(counted) > MAX_LABELS else ""
    return f"{_counted(len(labels), 'image')} labelled: {shown}{more}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _csv(result: dict[str, Any]) -> list[str]:
    return [f"labels: {result['csv']}"] if "csv" in result else []


def _answer(prediction: Any, nothing: str = _UNKNOWN) -> Any:
    """What a network means: a row for each of the entries, a column for each of their values."""
    if isinstance(prediction, dict):
        return facts(prediction)
    if not prediction:
        return nothing
    heads = [head for head in prediction[0] if head != "class"]
    table = Table(*heads, box=None)
    for entry in prediction:
        table.add_row(*(_value(head, entry[head]) for head in heads))
    return table


def _value(name: str, value: Any) -> str:
    if name == "box":
        return " ".join(f"{edge:.0f}" if edge >= 1000 else f"{edge:.4g}" for edge in value)
    return f"{value:.2%}" if name in _FRACTIONS else str(value)


def boxes(result: dict[str, Any]) -> list[Any]:
    """The things in a photo, and where it is drawn with them."""
    parts = [result["input"], _answer(result["predictions"], _NOTHING)]
    if "boxes" in result:
        parts.append(f"drawn: {result['boxes']}")
    return [*parts, *_csv(result), f"engine: {result['engine']}", *legend_lines(result.get("legend", {}))]


def boxes_of_photos(result: dict[str, Any]) -> list[Any]:
    """A row for every photo with how many things of which label are in it, then how many there are in all."""
    images = result["images"]
    drawn = ["drawn"] if any("boxes" in image for image in images) else []
    table = Table("photo", "things", *drawn, box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    things: Counter[str] = Counter()
    photos: Counter[str] = Counter()
    for image in images:
        counted = Counter(thing["label"] for thing in image["predictions"])
        shown = ", ".join(f"{label} ({number:,})" for label, number in counted.most_common(MAX_LABELS))
        more = f" and {len(counted) - MAX_LABELS} more labels" if len(counted) > MAX_LABELS else ""
        table.add_row(image["input"], shown + more or _NOTHING, *([image["boxes"]] if "boxes" in image else []))
        things.update(counted)
        photos.update(counted.keys())
    parts: list[Any] = [table, ""] if images else []
    if things:
        total = Table("label", "things", "photos", box=None, pad_edge=False)
        for column in total.columns[1:]:
            column.justify = "right"
        for label, number in things.most_common():
            total.add_row(label, f"{number:,}", f"{photos[label]:,}")
        parts.append(total)
    parts += [_counted(len(images), "photo")] if images else []
    parts += [*_left_out(result), *_csv(result), f"engine: {result['engine']}"]
    return [*parts, *legend_lines(result.get("legend", {}))]


def mask(result: dict[str, Any]) -> list[Any]:
    """The share of every class in a photo, and where its mask is."""
    height, width = result["size"]
    parts = [result["input"], _answer(result["predictions"][0])]
    if (unseen := _unseen(result)) > 0:
        looked = "x".join(map(str, result["seen"][:1:-1]))
        parts.append(
            f"the network looks at the middle {looked} of {width}x{height} pixels; the other {unseen:.2%} have no class, 255 in the mask"
        )
    if "mask" in result:
        parts += [f"mask: {result['mask']}", f"over the photo: {result['overlay']}"]
    return [*parts, *_csv(result), f"engine: {result['engine']}"]


def masks(result: dict[str, Any]) -> list[Any]:
    """A row for every photo with its largest classes, then the share of every class in all of them."""
    images = result["images"]
    table = Table(
        "photo", "classes", *(["mask"] if any("mask" in image for image in images) else []), box=None, pad_edge=False
    )
    table.columns[0].overflow = "fold"
    totals: Counter[str] = Counter()
    photos: Counter[str] = Counter()
    for image in images:
        (classes,) = image["predictions"]
        shown = ", ".join(f"{each['label']} {each['share']:.2%}" for each in classes[:MAX_CLASSES])
        more = f" and {len(classes) - MAX_CLASSES} more" if len(classes) > MAX_CLASSES else ""
        table.add_row(image["input"], shown + more, *([image["mask"]] if "mask" in image else []))
        pixels = image["seen"][2] * image["seen"][3]
        for each in classes:
            totals[each["label"]] += each["share"] * pixels
            photos[each["label"]] += 1
    parts: list[Any] = [table, ""] if images else []
    if images:
        parts += [_sum_of(totals, photos), _counted(len(images), "photo")]
        if cut := sum(_unseen(image) > 0 for image in images):
            parts.append(
                f"the network looks at a middle part of {cut:,} of them; the pixels around it have no class, 255 in the mask"
            )
        if "mask" in images[0]:
            parts.append("over its photo a mask lies in NAME-overlay.png beside it")
    return [*parts, *_left_out(result), *_csv(result), f"engine: {result['engine']}"]


def _sum_of(totals: Counter[str], photos: Counter[str]) -> Table:
    table = Table("class", "share", "photos", box=None, pad_edge=False)
    for column in (1, 2):
        table.columns[column].justify = "right"
    for label, pixels in totals.most_common():
        table.add_row(label, f"{pixels / totals.total():.2%}", f"{photos[label]:,}")
    return table


def _unseen(entry: dict[str, Any]) -> float:
    """The share of a photo's pixels that the network does not look at."""
    (height, width), (_, _, seen_height, seen_width) = entry["size"], entry["seen"]
    return 1 - seen_height * seen_width / (height * width)


def _left_out(result: dict[str, Any]) -> list[str]:
    """How many inputs gave nothing, and which files were not looked at."""
    parts = []
    if failed := result["failed"]:
        parts.append(f"left out, since they cannot be read: {_counted(len(failed), 'input')}")
    if left_out := result["left_out"]:
        kinds = ", ".join(f"{number:,} {suffix or 'without a suffix'}" for suffix, number in left_out.items())
        parts.append(f"left out of folders, since their names are not those of images: {kinds}")
    return parts


# What photos are drawn with -> the tables for one photo and for several.
OF_PHOTOS = {"masks": (mask, masks), "boxes": (boxes, boxes_of_photos)}
