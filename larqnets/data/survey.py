"""What is in a data set: images by split and label, sizes, what is left out or changed, which images are there twice.

`Survey.lines` says it in a few lines before a training; `larqnets.data.check` looks at every pixel and says more.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from larqnets.config import DataConfig
from larqnets.data.class_boxes import ClassBoxes
from larqnets.data.class_pixels import ClassPixels, count_files
from larqnets.data.duplicates import same_files
from larqnets.data.file_list import EVERYTHING, TEST, TRAIN, VALIDATION, LeftOut
from larqnets.data.folder import ImageFolder
from larqnets.data.image import Header
from larqnets.data.info import LABEL
from larqnets.data.known import KnownDataset
from larqnets.data.label_names import alike_labels

FEW_IMAGES = 10  # of a label in the training set: with fewer, a network hardly learns more than these images
_ORDER = (TRAIN, VALIDATION, TEST)
Contents = ClassPixels | ClassBoxes


@dataclass(frozen=True)
class Place:
    """Where an image is: its split, label and file, the latter below the folder of the data set."""

    split: str
    label: str
    file: str


@dataclass(frozen=True)
class Copies:
    """Images with the same content."""

    places: tuple[Place, ...]

    @property
    def between_splits(self) -> bool:
        """Whether a network would be tested on what it was trained on."""
        return len({place.split for place in self.places}) > 1

    @property
    def between_labels(self) -> bool:
        """Whether one picture has two labels."""
        return len({place.label for place in self.places}) > 1

    def words(self) -> str:
        """Return the names of two of them."""
        first, *others = self.places
        unlike = [place for place in others if (place.split, place.label) != (first.split, first.label)]
        return f"{first.file} and {(unlike or others)[0].file}"


@dataclass(frozen=True)
class Survey:
    """`images`: split -> number of images of every label, () where nobody counted them; `total`: all images of every split.

    `split_by` says how the splits come about, `division` what of that a run records: None where nothing was split here.
    """

    dataset: str
    labels: tuple[str, ...]
    total: dict[str, int]
    images: dict[str, tuple[int, ...]]
    split_by: str
    division: dict[str, Any] | None
    channels: int | None = None
    headers: tuple[Header, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    places: tuple[Place, ...] = ()
    paths: tuple[str, ...] = ()
    labels_from: str = ""  # the table in which they stand, where folders do not say them
    contents: Mapping[str, Contents] = field(default_factory=dict)  # where an image has not one label, once counted
    count: Callable[[str], Contents] | None = None  # counts those of a split
    caution: str = ""  # what those say who know the data set

    def counted(self) -> "Survey":
        """Return it with all pixels or boxes counted, where these have classes: an image is one of every label that it shows.

        Raises LarqnetsError for a mask with values that stand for nothing, and for boxes that cannot be.
        """
        if self.count is None:
            return self
        contents = {split: self.count(split) for split in self.total}
        images = {split: some.images for split, some in contents.items()}
        return replace(self, contents=contents, images=images, count=None)

    def few(self) -> dict[str, int]:
        """Return the labels with fewer than FEW_IMAGES training images, and their number."""
        return {label: n for label, n in zip(self.labels, self.images.get(TRAIN, ()), strict=False) if n < FEW_IMAGES}

    def equal_files(self) -> list[Copies]:
        """Return which images are there twice, to the byte."""
        return [self.copies(same) for same in same_files([Path(path) for path in self.paths])]

    def copies(self, indices: Iterable[int]) -> Copies:
        """Return these of the `places` as copies of each other."""
        return Copies(tuple(self.places[i] for i in indices))

    def counts(self) -> str:
        """Return "120 train, 30 test images of 3 labels, 40 of each in train"."""
        parts = ", ".join(f"{self.total[name]:,} {name}" for name in _ORDER if name in self.total)
        some = self.images.get(TRAIN, ())
        each = f", {_range(some)} of each in train" if some else ""
        return f"{parts} images of {len(self.labels):,} labels{each}"

    def changes(self) -> list[str]:
        """Return what of the files is not seen as it is stored, each as a phrase with a number."""
        kinds = {
            "of several pictures: the first is taken": sum(h.frames for h in self.headers),
            "with transparency: it is dropped": sum(h.transparent for h in self.headers),
            "of more than 8 bits: the upper 8 are taken": sum(h.mode[0] == "I" for h in self.headers),
            "in CMYK: becomes RGB": sum(h.mode == "CMYK" for h in self.headers),
            "turned as its EXIF orientation says": sum(h.orientation != 1 for h in self.headers),
        }
        greys = sum(header.grey for header in self.headers)
        if greys != len(self.headers):
            kinds["grey among colours: becomes RGB"] = greys
        return [f"{count:,} {words}" for words, count in kinds.items() if count]

    def cautions(self, copies: Sequence[Copies]) -> list[str]:
        """Return what may spoil a training or its test, each as a phrase."""
        found = [f"'{a}' and '{b}' differ in upper and lower case alone" for a, b in alike_labels(self.labels)]
        found += [self.caution] if self.caution else []
        if never := [label for label, n in self.few().items() if self.contents and not n]:
            more = f", nor do {len(never) - 1} more labels" if len(never) > 1 else ""
            hint = f"; {why}" if (why := self.contents[TRAIN].never) else ""
            found.append(f"'{never[0]}' occurs in no training image{more}{hint}")
        if few := {label: n for label, n in self.few().items() if label not in never}:
            (label, count), more = next(iter(few.items())), len(few) - 1
            images = "image" if count == 1 else "images"
            others = f", {more} more label{'s have' if more > 1 else ' has'} fewer than {FEW_IMAGES}" if more else ""
            has = "occurs in" if self.contents else "has"
            found.append(f"'{label}' {has} {count} training {images}{others}")
        for attribute, words in (("between_splits", "on both sides of a split"), ("between_labels", "in two classes")):
            if some := [same for same in copies if getattr(same, attribute)]:
                many = f"{len(some):,} pictures are" if len(some) > 1 else "1 picture is"
                found.append(f"{many} {words} (such as {some[0].words()})")
        return found

    def _told(self) -> list[tuple[str, Contents]]:
        """Return the contents that are spoken of: those of train, of others those in which something was mended."""
        mended = [split for split, some in self.contents.items() if some.done()]
        return [(split, some) for split, some in self.contents.items() if split == TRAIN or split in mended]

    def lines(self) -> list[str]:
        """Return what is to be known before a training, in a few lines; masks and boxes are all read for it."""
        if self.count is not None:
            return self.counted().lines()
        table = f", labels from {self.labels_from}" if self.labels_from else ""
        said = [f"data: {self.counts()}{table}" + (f"; {self.split_by}" if self.division else "") + "."]
        said += [f"{some.title}: {some.words(self.labels, split)}." for split, some in self._told()]
        if kinds := grouped(self.left_out):
            more = f"; {len(kinds) - 3} more kinds" if len(kinds) > 4 else ""
            said.append(f"left out: {'; '.join(kinds[: 3 if more else 4])}{more}.")
        if cautions := self.cautions(self.equal_files()):
            said.append(f"careful: {'; '.join(cautions)}. `larqnets data check {self.dataset}` says more.")
        return said


def survey_folder(folder: ImageFolder, config: DataConfig, count: Callable[[str], Contents] | None = None) -> Survey:
    """Return what the names and headers of a folder say; `count` counts the pixels of its masks, or its boxes."""
    labelled = folder.annotation == LABEL
    labels, splits = folder.layout.labels, folder.splits
    ordered = [(name, splits[name]) for name in _ORDER if name in splits]
    total = {name: len(files.paths) for name, files in ordered}
    counts = {name: Counter(files.labels.tolist()) for name, files in ordered if labelled}
    shares = {TEST: config.test} if EVERYTHING in folder.layout.splits else {}
    if config.validation:
        shares[VALIDATION] = config.validation
    return Survey(
        dataset=config.dataset,
        labels=labels,
        total=total,
        images={name: tuple(counted[i] for i in range(len(labels))) for name, counted in counts.items()},
        split_by=folder.layout.split_by + _shares_in_words(shares, config, labelled),
        division=_division(shares, total, config, labelled),
        channels=folder.channels,
        headers=tuple(header for _, files in ordered for header in files.headers),
        left_out=folder.left_out,
        places=tuple(
            Place(name, labels[number] if labelled else "", file)
            for name, files in ordered
            for number, file in zip(files.labels.tolist(), files.names(), strict=True)
        ),
        paths=tuple(path for _, files in ordered for path in files.paths),
        labels_from=folder.layout.labels_from,
        count=count,
    )


def with_contents(folder: ImageFolder, survey: Survey, config: DataConfig) -> Survey:
    """Return the survey of a folder with the pixels of its masks, or its boxes, counted; raises LarqnetsError, see `Survey.counted`."""
    codes = folder.codes
    if codes is None:
        return replace(survey, count=folder.box_counts(config)).counted()
    return replace(survey, count=lambda split: count_files(folder.splits[split], codes)).counted()


def survey_known(
    config: DataConfig,
    known: KnownDataset,
    labels: tuple[str, ...],
    total: dict[str, int],
    count: Callable[[str], Contents] | None = None,
) -> Survey:
    """Return what is known of a prepared data set without reading it; `count` counts the pixels of its masks, or its boxes."""
    shares = {VALIDATION: config.validation} if config.validation else {}
    total = {name: total[name] for name in _ORDER if name in total}
    split_by = "its own splits" + _shares_in_words(shares, config, count is None)
    division = _division(shares, total, config, count is None)
    return Survey(config.dataset, labels, total, {}, split_by, division, count=count, caution=known.caution)


def _shares_in_words(shares: dict[str, float], config: DataConfig, stratified: bool) -> str:
    of = {TEST: "", VALIDATION: " of train"}
    parts = [f"{100 * share:.4g} %{of[name]} for {name}" for name, share in shares.items()]
    alike = ", the same share of every label" if stratified else ""
    return f", split by seed {config.split_seed}{alike}: {', '.join(parts)}" if parts else ""


def _division(
    shares: dict[str, float], total: dict[str, int], config: DataConfig, stratified: bool
) -> dict[str, Any] | None:
    if not shares:
        return None
    return {"seed": config.split_seed, "stratified": stratified, "shares": shares, "images": total}


def grouped(left_out: Sequence[LeftOut]) -> list[str]:
    """Return "2 .heic: pip install ..." for everything of the same kind and reason, the most frequent first."""
    kinds = Counter((one.what, one.why) for one in left_out)
    return [f"{count:,} {what}: {why}" for (what, why), count in kinds.most_common()]


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
