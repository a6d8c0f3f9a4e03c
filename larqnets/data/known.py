"""The data sets that larqnets knows by name."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from larqnets.data.info import BOXES, LABEL, MASK
from larqnets.errors import LarqnetsError, nearest
from larqnets.places import FOLDER_PREFIX

SPLITS = ("test", "train", "validation")


NOT_KNOWN = "licence not known"


@dataclass(frozen=True)
class Licence:
    """What those who made images allow: what is learnt from images for research only is for research only."""

    words: str
    research_only: bool = False


@dataclass(frozen=True)
class KnownDataset:
    """A TFDS data set with what TFDS does not say: the usual normalisation, and which split is the test."""

    tfds_name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: Licence
    test_split: str = "test"
    labels: tuple[str, ...] | None = None  # for data prepared without label names; None: those that TFDS has
    ships_with_package: bool = False
    manual_download: str = ""  # what TFDS cannot download by itself, as a sentence with {data_dir}
    by_hand: str = ""  # where TFDS has no builder: how it is prepared, as a sentence with {data_dir}
    annotation: str = (
        LABEL  # what is known of an image: its label, in TFDS' `segmentation_mask` its MASK, in `objects` BOXES
    )
    first_value: int = 0  # in masks, of class 0
    validation_split: str | None = None  # the split beside the test that is to choose by
    caution: str = ""  # what is to be known of its annotations


_CIFAR10_LABELS = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR100_LABELS = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""

_MASKS_BY_HAND = (
    "TFDS has no builder for it: have one write it to {{data_dir}}/{name}, with an image and a segmentation_mask whose pixels are "
    "numbers of classes, 255 for none"
)

_BOXES_BY_HAND = "TFDS has no builder for it: have one write it to {{data_dir}}/{name}, with an image and objects, each with a bbox and a label"

# What networks for photographs are usually given.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_NUCLEI = KnownDataset(
    "dsb2018_nuclei",
    mean=(0.1803, 0.1645, 0.1983),
    std=(0.2744, 0.2555, 0.3043),
    licence=Licence("CC0 1.0"),
    by_hand=_MASKS_BY_HAND.format(name="dsb2018_nuclei"),
    annotation=MASK,
    validation_split="validation",
)

KNOWN_DATASETS = {
    "digits": KnownDataset(
        "larqnets_digits", mean=(0.3054,), std=(0.3757,), licence=Licence("CC BY 4.0"), ships_with_package=True
    ),
    "nuclei": replace(_NUCLEI, tfds_name="larqnets_nuclei", ships_with_package=True, by_hand=""),
    "cifar10": KnownDataset(
        "cifar10",
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        licence=Licence(NOT_KNOWN),
        labels=tuple(_CIFAR10_LABELS.split()),
    ),
    "cifar100": KnownDataset(
        "cifar100",
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        licence=Licence(NOT_KNOWN),
        labels=tuple(_CIFAR100_LABELS.split()),
    ),
    "imagenet2012": KnownDataset(
        "imagenet2012",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence=Licence("non-commercial research and education", research_only=True),
        test_split="validation",
        manual_download="put ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar from https://image-net.org into "
        "{data_dir}/downloads/manual",
    ),
    "camvid": KnownDataset(
        "camvid",
        mean=(0.4077, 0.4249, 0.4276),
        std=(0.3071, 0.3111, 0.3074),
        licence=Licence("personal and research use, CC BY-NC 4.0", research_only=True),
        by_hand=_MASKS_BY_HAND.format(name="camvid"),
        annotation=MASK,
        validation_split="validation",
    ),
    "dsb2018_nuclei": _NUCLEI,
    "oxford_iiit_pet": KnownDataset(
        "oxford_iiit_pet",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence=Licence("CC BY-SA 4.0"),
        labels=("pet", "background", "border"),
        annotation=MASK,
        first_value=1,
    ),
    "digit_boxes": KnownDataset(
        "larqnets_digit_boxes",
        mean=(0.195,),
        std=(0.167,),
        licence=Licence("CC BY 4.0"),
        ships_with_package=True,
        annotation=BOXES,
        validation_split="validation",
    ),
    "voc": KnownDataset(
        "voc/2007",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence=Licence("images of Flickr, by its terms of use", research_only=True),
        annotation=BOXES,
        validation_split="validation",
    ),
    "voc2012": KnownDataset(
        "voc/2012",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence=Licence("images of Flickr, by its terms of use", research_only=True),
        test_split="validation",  # nobody gives away the boxes of its test
        annotation=BOXES,
    ),
    "coco": KnownDataset(
        "coco/2017",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        licence=Licence("annotations CC BY 4.0, images of Flickr by its terms of use", research_only=True),
        test_split="validation",
        annotation=BOXES,
    ),
    "bccd": KnownDataset(
        "bccd",
        mean=(0.7324, 0.6958, 0.7103),
        std=(0.0606, 0.1021, 0.0748),
        licence=Licence("MIT"),
        caution="not every red cell (RBC) has a box",
        annotation=BOXES,
        validation_split="validation",
    ),
    "aquarium": KnownDataset(
        "aquarium",
        mean=(0.2704, 0.3429, 0.4324),
        std=(0.2269, 0.2150, 0.2303),
        licence=Licence("CC BY 4.0"),
        by_hand=_BOXES_BY_HAND.format(name="aquarium"),
        annotation=BOXES,
        validation_split="validation",
    ),
}


def list_datasets(pattern: str = "*") -> list[str]:
    """Return the names of the known data sets that match a shell glob."""
    return sorted(name for name in KNOWN_DATASETS if fnmatchcase(name, pattern))


def find_known(name: str) -> KnownDataset:
    """Return the data set of that name; raises LarqnetsError with the nearest name."""
    if name not in KNOWN_DATASETS:
        raise LarqnetsError(
            f"There is no data set '{name}'.{nearest(name, [*KNOWN_DATASETS, FOLDER_PREFIX])} "
            "`larqnets list datasets` shows the known ones; folder:PATH takes images of your own."
        )
    return KNOWN_DATASETS[name]


def licence_of(dataset: str) -> Licence:
    """Return the licence of a data set as a config names it; of a folder nobody says it."""
    if dataset.startswith(FOLDER_PREFIX):
        return Licence("own images")
    known = KNOWN_DATASETS.get(dataset)
    return Licence(NOT_KNOWN) if known is None else known.licence
