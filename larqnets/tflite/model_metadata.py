"""TFLite Model Metadata of a detector that ends with TFLite_Detection_PostProcess, as other programs' detectors ask for them.

They are a FlatBuffer of a schema of its own (identifier M001) in the metadata of the file, and the names of the classes, line
by line, in a ZIP archive behind the file. Written here by slot, as the schema numbers the fields of its tables.
"""

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np

NAME = "TFLITE_METADATA"
LABELS = "labels.txt"
_VALUE_LABELS = 3  # AssociatedFileType: what the values of a tensor are called
_BOUNDARIES, _RATIO = 1, 0  # BoundingBoxType, CoordinateType
_FEATURE, _IMAGE, _BOUNDING_BOX = 1, 2, 3  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions
_COLORS = {1: 2, 3: 1}  # channels -> ColorSpaceType
_VERSION = "1.0.0"  # of the parser that reads it
# [left, top, right, bottom] stand at these places of a box of the op
_ORDER = (1, 0, 3, 2)


def detector_metadata(channels: int, mean: Sequence[float], std: Sequence[float], name: str) -> bytes:
    """Return the metadata: images that become (pixel - mean) / std, and boxes, classes, scores and their number."""
    builder = _Tables()
    image = builder.table((0, builder.int8(_COLORS.get(channels, 0))))
    options = builder.table((0, builder.floats(mean)), (1, builder.floats(std)))
    unit = builder.table((0, builder.int8(_NORMALIZATION)), (1, options))
    content = builder.table((0, builder.int8(_IMAGE)), (1, image))
    given = builder.table((0, builder.text("image")), (3, content), (4, builder.vector([unit])))
    box = builder.table((0, builder.uints(_ORDER)), (1, builder.int8(_BOUNDARIES)), (2, builder.int8(_RATIO)))
    labels = builder.table((0, builder.text(LABELS)), (2, builder.int8(_VALUE_LABELS)))
    found = [
        builder.answer("location", _BOUNDING_BOX, box, of_each=True),
        builder.answer("category", _FEATURE, builder.table(), labels, of_each=True),
        builder.answer("score", _FEATURE, builder.table(), of_each=True),
        builder.answer("number of detections", _FEATURE, builder.table()),
    ]
    graph = builder.table((2, builder.vector([given])), (3, builder.vector(found)))
    fields = ((0, builder.text(name)), (3, builder.vector([graph])), (7, builder.text(_VERSION)))
    return builder.finished(builder.table(*fields))


def with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """Return the file with the names of the classes in a ZIP archive behind it, which readers of the graph do not see."""
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a") as archive:
        entry = zipfile.ZipInfo(LABELS)  # of no date, so that the same network is the same file
        archive.writestr(entry, "".join(f"{label}\n" for label in labels))
    return whole.getvalue()


class _Tables:
    """Tables of a FlatBuffer, what they refer to first."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    @staticmethod
    def int8(value: int) -> tuple[str, int]:
        """A number of one byte, which stands in its table."""
        return "int8", value

    def text(self, value: str) -> int:
        return self._builder.CreateString(value)

    def floats(self, values: Sequence[float]) -> int:
        return self._builder.CreateNumpyVector(np.asarray(values, np.float32))

    def uints(self, values: Sequence[int]) -> int:
        return self._builder.CreateNumpyVector(np.asarray(values, np.uint32))

    def vector(self, tables: Sequence[int]) -> int:
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table)
        return self._builder.EndVector()

    def table(self, *fields: tuple[int, Any]) -> int:
        """A table of fields (slot, what stands there): the position of another part, or a number of `int8`."""
        self._builder.StartObject(1 + max((slot for slot, _ in fields), default=-1))
        for slot, value in fields:
            if isinstance(value, tuple):
                self._builder.PrependInt8Slot(slot, value[1], 0)
            else:
                self._builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return self._builder.EndObject()

    def answer(self, name: str, kind: int, properties: int, labels: int | None = None, of_each: bool = False) -> int:
        """An output; `of_each`: of every detection, along the axis 1 of a tensor."""
        fields = [(0, self.int8(kind)), (1, properties)]
        if of_each:
            fields.append((2, self._range(2)))
        content = self.table(*fields)
        files = [] if labels is None else [(6, self.vector([labels]))]
        return self.table((0, self.text(name)), (3, content), *files)

    def _range(self, axis: int) -> int:
        self._builder.StartObject(2)
        self._builder.PrependInt32Slot(0, axis, 0)
        self._builder.PrependInt32Slot(1, axis, 0)
        return self._builder.EndObject()

    def finished(self, root: int) -> bytes:
        self._builder.Finish(root, file_identifier=b"M001")
        return bytes(self._builder.Output())
