"""Classes, stored values and colours of masks in the layouts of Cityscapes and VOC, where no classes.txt names others."""

from dataclasses import dataclass

from larqnets.data.palette import Colors, palette


@dataclass(frozen=True)
class MaskClasses:
    """`values`: of every stored value from 0 on the number of its class, None where it has none."""

    labels: tuple[str, ...]
    values: tuple[int | None, ...]
    colors: Colors


def numbered(labels: tuple[str, ...], colors: Colors = ()) -> MaskClasses:
    """Return classes whose values are their numbers."""
    return MaskClasses(labels, tuple(range(len(labels))), colors or palette(len(labels)))


_VOC_LABELS = """
background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep
sofa train tvmonitor
"""
VOC = numbered(tuple(_VOC_LABELS.split()))

# The value in *_labelIds.png of every class that is scored, its name and colour; 0 to 33 are used.
_CITYSCAPES = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
_CLASS_OF = {value: number for number, (value, _, _) in enumerate(_CITYSCAPES)}
CITYSCAPES = MaskClasses(
    tuple(name for _, name, _ in _CITYSCAPES),
    tuple(_CLASS_OF.get(value) for value in range(34)),
    tuple(color for _, _, color in _CITYSCAPES),
)
