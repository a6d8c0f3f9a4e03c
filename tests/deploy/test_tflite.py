"""The reader against TensorFlow's own schema classes, against Larq's weights, and against hostile files."""

import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from counted import calls_of
from flatbuffers import flexbuffers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.lite.python import schema_py_generated as schema

from deploy.export import edit
from larqnets.errors import LarqnetsError
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.model import Model, binary_filter, pack_bits, unpack_bits
from larqnets.tflite.operators import BUILTIN_OPS
from larqnets.tflite.reading import read_model

FILES = {
    "binary": tiny_models.binary_tflite,
    "float": tiny_models.float_tflite,
    "dynamic_range": tiny_models.dynamic_range_tflite,
    "int8": tiny_models.int8_tflite,
}


def changed(content: bytes, change: Callable[[schema.ModelT], object]) -> bytes:
    """Return the file after `change` was applied to TensorFlow's object for it."""
    model = edit.unpack(content)
    change(model)
    return edit.pack(model)


def numbers(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


def test_op_names_are_those_of_the_schema():
    assert dict(enumerate(BUILTIN_OPS)) == numbers(schema.BuiltinOperator)


@pytest.mark.parametrize("file", FILES)
def test_reads_what_tensorflow_reads(file: str):
    content = FILES[file]()
    ours, theirs = read_model(content), schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    assert (ours.version, ours.description) == (theirs.version, theirs.description.decode())
    assert ours.size_bytes == len(content)
    assert ours.unknown_ops == ()
    assert list(ours.metadata) == [entry.name.decode() for entry in theirs.metadata]
    for entry in theirs.metadata:
        assert ours.metadata[entry.name.decode()] == bytes(theirs.buffers[entry.buffer].data)
    assert len(ours.subgraphs) == len(theirs.subgraphs)
    for graph, their_graph in zip(ours.subgraphs, theirs.subgraphs, strict=True):
        assert graph.name == their_graph.name.decode()
        assert graph.inputs == tuple(their_graph.inputs)
        assert graph.outputs == tuple(their_graph.outputs)
        compare_tensors(ours, theirs, graph.tensors, their_graph.tensors)
        compare_operators(theirs, graph.operators, their_graph.operators)


def compare_tensors(ours, theirs, tensors, their_tensors):
    types = numbers(schema.TensorType)
    assert len(tensors) == len(their_tensors)
    for i, (tensor, their) in enumerate(zip(tensors, their_tensors, strict=True)):
        assert (tensor.index, tensor.name, tensor.buffer) == (i, their.name.decode(), their.buffer)
        assert tensor.shape == tuple(their.shape)
        assert tensor.dtype == types[their.type].lower()
        quantization = their.quantization
        if quantization is None or quantization.scale is None:
            assert tensor.quantization is None
        else:
            assert tensor.quantization.scales == tuple(quantization.scale)
            assert tensor.quantization.zero_points == tuple(quantization.zeroPoint)
            assert tensor.quantization.quantized_dimension == quantization.quantizedDimension
        stored = theirs.buffers[their.buffer].data
        if stored is None or not len(stored):
            assert tensor.data(ours) is None
        else:
            assert tensor.data(ours).tobytes() == bytes(stored)
            assert tensor.data(ours).dtype == np.dtype(tensor.dtype)


def compare_operators(theirs, operators, their_operators):
    names = numbers(schema.BuiltinOperator)
    assert len(operators) == len(their_operators)
    for i, (operator, their) in enumerate(zip(operators, their_operators, strict=True)):
        code = theirs.operatorCodes[their.opcodeIndex]
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        assert operator.name == (code.customCode.decode() if name == "CUSTOM" else name)
        assert operator.is_custom == (name == "CUSTOM")
        assert (operator.index, operator.inputs, operator.outputs) == (i, tuple(their.inputs), tuple(their.outputs))
        if operator.is_custom:
            stored = bytes([] if their.customOptions is None else their.customOptions)
            assert operator.options == (flexbuffers.Loads(stored) if stored else {})
        for option, value in operator.options.items() if not operator.is_custom else ():
            short = {"stride_width": "strideW", "stride_height": "strideH"}
            short |= {"dilation_width_factor": "dilationWFactor", "dilation_height_factor": "dilationHFactor"}
            first, *rest = option.split("_")
            camel = short.get(option, first + "".join(word.capitalize() for word in rest))
            assert value == getattr(their.builtinOptions, camel), option


def test_packed_filters_are_larqs_weights():
    """In the bit-packed chain, filters behind a negative BatchNorm gamma are stored inverted; with float output, none."""
    model, file = tiny_models.binary_keras(), read_model(tiny_models.binary_tflite())
    bconvs = [op for op in file.subgraphs[0].operators if op.name == "LceBconv2d"]
    for name, op in zip(("residual", "chain_1", "chain_2", "last"), bconvs, strict=True):
        signs = np.where(model.get_layer(name).kernel.numpy() >= 0, 1, -1).transpose(3, 0, 1, 2)
        gamma = model.get_layer(f"{name}_norm").gamma.numpy()
        assert (gamma < 0).any()
        if op.inputs[4] >= 0:
            signs = signs * np.sign(gamma).astype(int)[:, None, None, None]
        packed = binary_filter(file, op)
        assert packed.dtype == np.int32
        np.testing.assert_array_equal(packed, pack_bits(signs))
        np.testing.assert_array_equal(unpack_bits(packed, signs.shape[-1]), signs)


def test_binary_filter_of_another_op_is_a_programming_error():
    file = read_model(tiny_models.binary_tflite())
    with pytest.raises(ValueError, match="CONV_2D has no binary filter"):
        binary_filter(file, file.subgraphs[0].operators[0])


@settings(deadline=None)
@given(hnp.arrays(np.int8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=70), elements=st.sampled_from([-1, 1])))
def test_pack_and_unpack_are_inverse(signs: np.ndarray):
    words = pack_bits(signs)
    assert words.dtype == np.int32
    assert words.shape == (*signs.shape[:-1], -(-signs.shape[-1] // 32))
    np.testing.assert_array_equal(unpack_bits(words, signs.shape[-1]), signs)


def test_bit_order_and_signs_of_special_values():
    x = np.ones(70, np.float32)
    x[[0, 31, 33, 69]] = -1
    assert pack_bits(x).tolist() == [-(2**31) + 1, 2, 32]
    assert pack_bits(np.array([0.0, -0.0, np.nan, -np.inf, 1e-45, -1e-45])).tolist() == [0b101000]
    assert unpack_bits(np.array([-1], np.int32), 3).tolist() == [-1, -1, -1]
    assert pack_bits(np.zeros((2, 0))).shape == (2, 0)
    assert unpack_bits(np.zeros((2, 0), np.int32), 0).shape == (2, 0)
    with pytest.raises(ValueError, match="33 channels take 2 words, not 1"):
        unpack_bits(np.zeros((4, 1), np.int32), 33)


def test_a_path_and_bytes_read_the_same(tmp_path: Path):
    path = tmp_path / "net.tflite"
    path.write_bytes(tiny_models.int8_tflite())
    model = read_model(path)
    assert model.name == "net.tflite"
    assert model.subgraphs == read_model(str(path)).subgraphs == read_model(tiny_models.int8_tflite()).subgraphs


def test_small_types_are_unpacked():
    def store(number: int, shape: list[int], data: list[int]) -> np.ndarray:
        def change(model: schema.ModelT) -> None:
            tensor = schema.TensorT()
            tensor.shape, tensor.type, tensor.buffer, tensor.name = shape, number, len(model.buffers), "small"
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.array(data, np.uint8)
            model.subgraphs[0].tensors.append(tensor)

        model = read_model(changed(tiny_models.float_tflite(), change))
        return model.subgraphs[0].tensors[-1].data(model)

    types = schema.TensorType
    assert store(types.INT4, [3], [0x8F, 0x07]).tolist() == [-1, -8, 7]
    assert store(types.UINT4, [1, 3], [0x8F, 0x07]).tolist() == [[15, 8, 7]]
    assert store(types.INT2, [5], [0b11100100, 0b10]).tolist() == [0, 1, -2, -1, -2]
    assert store(types.BFLOAT16, [1], [0x80, 0xBF]).tolist() == [-1.0]
    assert store(types.BOOL, [2], [1, 0]).tolist() == [True, False]
    assert store(types.STRING, [1], [1, 0, 0, 0]) is None


def test_constants_behind_the_flatbuffer():
    """Files over 2 GB keep them there, named by offset and size."""
    content = tiny_models.float_tflite()
    weights = next(t for t in read_model(content).subgraphs[0].tensors if t.shape == (5, 64))
    data = weights.data(read_model(content))

    def move(offset: int, size: int) -> Callable[[schema.ModelT], None]:
        def change(model: schema.ModelT) -> None:
            buffer = model.buffers[weights.buffer]
            buffer.data, buffer.offset, buffer.size = None, offset, size

        return change

    start = len(changed(content, move(10**6, data.nbytes)))
    model = read_model(changed(content, move(start, data.nbytes)) + data.tobytes())
    np.testing.assert_array_equal(model.subgraphs[0].tensors[weights.index].data(model), data)
    for offset, size in ((start, data.nbytes + 1), (2**63, 4), (2**64 - 2, 4)):
        with pytest.raises(LarqnetsError, match="it is cut off or damaged, a constant of"):
            read_model(changed(content, move(offset, size)) + data.tobytes())


def test_constants_that_overlap_are_refused():
    """Otherwise a small file could claim any number of bytes of constants."""

    def change(model: schema.ModelT) -> None:
        constants = [t for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None]
        for i, tensor in enumerate(constants):
            buffer = model.buffers[tensor.buffer] = schema.BufferT()
            buffer.offset, buffer.size = 8 + i, 1000
            tensor.shape, tensor.type = [1000], schema.TensorType.INT8

    with pytest.raises(LarqnetsError, match="its constants overlap"):
        read_model(changed(tiny_models.float_tflite(), change))


def test_unknown_ops_are_read_and_flagged():
    def change(model: schema.ModelT) -> None:
        model.operatorCodes[-1].builtinCode, model.operatorCodes[-1].deprecatedBuiltinCode = 999, 127
        model.operatorCodes[1].builtinCode = model.operatorCodes[1].deprecatedBuiltinCode = 32
        model.operatorCodes[1].customCode = "foo\x1b[2J"

    model = read_model(changed(tiny_models.float_tflite(), change))
    assert model.unknown_ops == ("BUILTIN_999", "CUSTOM:foo\\x1b[2J")
    assert model.subgraphs[0].operators[1].name == "CUSTOM:foo\\x1b[2J"
    assert model.subgraphs[0].operators[1].is_custom


def test_old_files_have_the_op_number_in_a_byte_only():
    def change(model: schema.ModelT) -> None:
        for code in model.operatorCodes:
            code.builtinCode = 0

    content = tiny_models.float_tflite()
    assert read_model(changed(content, change)).operator_codes == read_model(content).operator_codes


def _bconv(model: schema.ModelT, position: int = 0) -> schema.OperatorT:
    code = next(i for i, c in enumerate(model.operatorCodes) if c.customCode == b"LceBconv2d")
    return [op for op in model.subgraphs[0].operators if op.opcodeIndex == code][position]


def _tensor(**values) -> Callable[[schema.ModelT], None]:
    """Change the filter of the first LceBconv2d."""

    def change(model: schema.ModelT) -> None:
        for name, value in values.items():
            setattr(model.subgraphs[0].tensors[_bconv(model).inputs[1]], name, value)

    return change


def _graph(**values) -> Callable[[schema.ModelT], None]:
    return lambda model: [setattr(model.subgraphs[0], name, value) for name, value in values.items()]


def _operator(position: int = 0, **values) -> Callable[[schema.ModelT], None]:
    return lambda model: [setattr(_bconv(model, position), name, value) for name, value in values.items()]


def _inputs(slot: int, tensor: int, position: int = 0) -> Callable[[schema.ModelT], None]:
    def change(model: schema.ModelT) -> None:
        inputs = list(_bconv(model, position).inputs)
        inputs[slot] = tensor
        _bconv(model, position).inputs = inputs

    return change


def _options(**values) -> Callable[[schema.ModelT], None]:
    """Change options of the first LceBconv2d; None removes one."""

    def change(model: schema.ModelT) -> None:
        options = flexbuffers.Loads(bytes(_bconv(model).customOptions)) | values
        kept = {name: value for name, value in options.items() if value is not None}
        _bconv(model).customOptions = list(flexbuffers.Dumps(kept))

    return change


def _option_bytes(content: bytes) -> Callable[[schema.ModelT], None]:
    return _operator(customOptions=list(content))


def _builtin_option(**values) -> Callable[[schema.ModelT], None]:
    return lambda model: [setattr(model.subgraphs[0].operators[0].builtinOptions, *item) for item in values.items()]


def _share_a_buffer(model: schema.ModelT) -> None:
    tensors = model.subgraphs[0].tensors
    tensors[0].buffer = tensors[_bconv(model).inputs[1]].buffer


HOSTILE = {
    "version": (lambda m: setattr(m, "version", 4), "its schema version is 4, not 3"),
    "no subgraph": (lambda m: setattr(m, "subgraphs", []), "it has no subgraph"),
    "negative dimension": (_tensor(shape=[40, 3, -5, 2]), "negative dimension in its shape (40, 3, -5, 2)"),
    "absurd dimensions": (_tensor(shape=[2**31 - 1, 2**31 - 1]), "the absurd shape (2147483647, 2147483647)"),
    "absurd rank": (_tensor(shape=[1] * 1000), "a vector at offset"),
    "constant of another size": (_tensor(shape=[40, 3, 3, 3]), "2880 bytes where int32 (40, 3, 3, 3) takes 4320"),
    "unknown type": (_tensor(type=77), "the unknown data type 77"),
    "buffer": (_tensor(buffer=4000), "is in buffer 4000, but there are"),
    "shared buffer": (_share_a_buffer, "has 2880 bytes where float32 (1, 8, 8, 3) takes 768"),
    "graph input": (_graph(inputs=[-1]), "subgraph 0 inputs name tensor -1"),
    "graph output": (_graph(outputs=[999]), "subgraph 0 outputs name tensor 999, but there are"),
    "op code": (_operator(opcodeIndex=50), "operator 2 has op code 50, but there are 7 op codes"),
    "op output": (_operator(outputs=[-1]), "(LceBconv2d) outputs name tensor -1"),
    "op output constant": (_operator(outputs=[4]), "(LceBconv2d) writes to a constant"),
    "op input": (_inputs(0, 27), "(LceBconv2d) inputs name tensor 27, but there are 27 tensors"),
    "metadata": (lambda m: setattr(m.metadata[0], "buffer", 99), "the metadata 'min_runtime_version' is in buffer 99"),
    "absent activation": (_inputs(0, -1), "(LceBconv2d) lacks its input"),
    "absent filter": (_inputs(1, -1), "(LceBconv2d) lacks its filter"),
    "absent multipliers": (_inputs(2, -1), "(LceBconv2d) lacks its multipliers"),
    "absent biases": (_inputs(3, -1), "(LceBconv2d) lacks its biases"),
    "absent thresholds": (_inputs(4, -1, position=1), "(LceBconv2d) lacks its thresholds"),
    "number of inputs": (_operator(inputs=[17, 4]), "(LceBconv2d) has 2 inputs, not 5"),
    "no outputs": (_operator(outputs=[]), "(LceBconv2d) has 0 outputs, not 1"),
    "computed filter": (_inputs(1, 17), "has a filter that is not a constant"),
    "filter of floats": (_tensor(type=schema.TensorType.FLOAT32), "has a filter of float32"),
    "filter words": (_tensor(shape=[80, 3, 3, 1]), "cannot split 40 channels and 80 filters into 2 groups"),
    "filters": (_tensor(shape=[20, 6, 3, 2]), "writes (1, 8, 8, 40) from 20 filters"),
    "channels": (_options(channels_in=65), "reads 2 words for 65 channels"),
    "no channels": (_options(channels_in=0), "has channels_in = 0"),
    "stride": (_options(stride_width=-1), "has stride_width = -1"),
    "activation": (_options(fused_activation_function=4), "has an activation that is no ReLU"),
    "padding": (_options(padding=2), "has padding = 2"),
    "missing option": (_options(padding=None), "lacks the option padding"),
    "text option": (_options(padding="valid"), "lacks the option padding"),
    "no options": (_operator(customOptions=None), "has no options"),
    "options not a map": (_option_bytes(flexbuffers.Dumps([1, 2])), "has options that cannot be decoded"),
    "options of zeros": (_option_bytes(bytes(50)), "has options that cannot be decoded"),
    "options cut off": (_option_bytes(b"\x01"), "has options that cannot be decoded"),
    "options lead out": (_option_bytes(b"\xff" * 7 + b"\xff\x27\x08"), "has options that cannot be decoded"),
    "huge option map": (
        _option_bytes(flexbuffers.Dumps({f"k{i}": 1 for i in range(200)})),
        "200 names for 200 options",
    ),
    "huge options": (_option_bytes(bytes(5000)), "has 5000 bytes of options"),
    "ordinary stride": (_builtin_option(strideW=0), "operator 0 (CONV_2D) has stride_width = 0"),
    "ordinary activation": (_builtin_option(fusedActivationFunction=9), "has fused_activation_function = 9"),
    "options of another op": (
        lambda m: setattr(m.subgraphs[0].operators[0], "builtinOptionsType", 5),
        "operator 0 (CONV_2D) has the options of another op",
    ),
    "ordinary options missing": (
        lambda m: setattr(m.subgraphs[0].operators[0], "builtinOptions", None),
        "operator 0 (CONV_2D) has stride_width = 0",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence(case: str, tmp_path: Path):
    change, sentence = HOSTILE[case]
    path = tmp_path / "bad.tflite"
    path.write_bytes(changed(tiny_models.binary_tflite(), change))
    with pytest.raises(LarqnetsError) as caught:
        read_model(path)
    message = str(caught.value)
    assert message.startswith("bad.tflite is not a valid TFLite model: ")
    assert sentence in message
    assert message.endswith(". Copy or convert it again.")


def test_quantization_that_does_not_fit_is_refused():
    for change, sentence in (
        ({"zeroPoint": [1, 2]}, "has 1 scales for 2 zero points"),
        ({"scale": [float("nan")], "zeroPoint": [0]}, "has a scale that is not a finite number"),
        ({"scale": [1.0, 2.0], "zeroPoint": [0, 0]}, "has 2 scales along axis 0 of its shape (1, 8, 8, 3)"),
    ):
        content = changed(
            tiny_models.int8_tflite(),
            lambda m, c=change: [setattr(m.subgraphs[0].tensors[0].quantization, *item) for item in c.items()],
        )
        with pytest.raises(LarqnetsError) as caught:
            read_model(content)
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "bad.tflite is empty. "),
        (b"\x20", "bad.tflite is not a .tflite file: it ends where the identifier TFL3 belongs. "),
        (
            b"PK\x03\x04 zip file",
            "bad.tflite is not a .tflite file: it has b' zip' where the identifier TFL3 belongs. ",
        ),
        (
            struct.pack("<I", 0) + b"TFL3",
            "bad.tflite is not a valid TFLite model: the reference at offset 0 points to itself",
        ),
        (
            b"\xff\xff\xff\xffTFL3",
            "bad.tflite is not a valid TFLite model: it is cut off or damaged, a referenced part",
        ),
    ],
)
def test_files_that_are_no_models(content: bytes, sentence: str, tmp_path: Path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(LarqnetsError) as caught:
        read_model(path)
    assert str(caught.value).startswith(sentence)


def test_paths_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(
        LarqnetsError, match=r"^missing.tflite cannot be read: No such file or directory\. Check the path\.$"
    ):
        read_model(tmp_path / "missing.tflite")
    with pytest.raises(LarqnetsError, match="is not a file"):
        read_model(tmp_path)
    with pytest.raises(LarqnetsError, match="cannot be read"):
        read_model(tmp_path / ("x" * 5000))
    with pytest.raises(LarqnetsError, match=r"a\\x1b\[2J\.tflite cannot be read"):
        read_model(tmp_path / "a\x1b[2J.tflite")
    with pytest.raises(LarqnetsError, match="not a file"):
        read_model("/dev/zero")


def test_a_vector_that_claims_two_billion_entries():
    content = tiny_models.float_tflite()
    name_length = content.index(b"serving_default_image:0") - 4
    shape = content.index(struct.pack("<5i", 4, 1, 8, 8, 3))
    for position in (name_length, shape):
        for length in (2**31, 2**32 - 1):
            hostile = content[:position] + struct.pack("<I", length) + content[position + 4 :]
            with pytest.raises(LarqnetsError, match="a vector of"):
                read_model(hostile)


@cache
def small_file() -> bytes:
    """`binary_tflite` with metadata, the target of the random damage."""
    return edit.add_metadata(tiny_models.binary_tflite(), {"layers": {"2": "residual"}})


def survive(content: bytes) -> None:
    """Read and use a damaged file: it works or raises LarqnetsError, and costs no more than a few whole files."""
    messages: list[str] = []
    assert calls_of(read_and_use, content, messages.append) < 20 * calls_of_a_whole_file()
    (message,) = messages
    assert message.startswith("The model ")
    assert message.isprintable()


def read_and_use(content: bytes, say: Callable[[str], object]) -> None:
    try:
        model = read_model(content)
        use(model)
        json.dumps(inspect_model(content).to_json(), allow_nan=False)
        say("The model is fine")
    except LarqnetsError as error:
        say(str(error))


@cache
def calls_of_a_whole_file() -> int:
    read_and_use(small_file(), str)  # what is read once
    return calls_of(read_and_use, small_file(), str)


def use(model: Model) -> None:
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.data(model)
        for op in graph.operators:
            if op.name == "LceBconv2d":
                unpack_bits(binary_filter(model, op), 32 * binary_filter(model, op).shape[3])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 1 << 20))
def test_truncated_files(cut: int):
    content = small_file()
    survive(content[: cut % len(content)])


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6))
def test_files_with_damaged_bytes(damage: list[tuple[int, int]]):
    content = bytearray(small_file())
    # Most bytes are constants, which may be anything: two of three hits go to the structure around them.
    structure = structural_positions()
    for i, (position, value) in enumerate(damage):
        content[structure[position % len(structure)] if i % 3 else position % len(content)] = value
    survive(bytes(content))


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 1 << 20), st.sampled_from([0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF]))
def test_files_with_damaged_words(position: int, value: int):
    content = bytearray(small_file())
    structure = structural_positions()
    start = structure[position % len(structure)] & ~3
    content[start : start + 4] = struct.pack("<I", value)
    survive(bytes(content))


@cache
def structural_positions() -> list[int]:
    """Positions of the file that are not inside a constant."""
    inside = np.zeros(len(small_file()), bool)
    for buffer in read_model(small_file()).buffers:
        inside[buffer.start : buffer.start + buffer.size] = True
    return np.flatnonzero(~inside).tolist()


@settings(max_examples=300, deadline=None)
@example(b"")
@given(st.binary(max_size=300))
def test_random_files(content: bytes):
    survive(content)
    survive(content[:4] + b"TFL3" + content[4:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_random_options(options: bytes):
    survive(changed_options(options))


@cache
def _options_place() -> tuple[int, int]:
    content = small_file()
    options = bytes(_bconv(edit.unpack(content)).customOptions)
    return content.index(options), len(options)


def changed_options(options: bytes) -> bytes:
    """Put bytes into the place of the first LceBconv2d's options, at their end, where reading starts."""
    content, (start, size) = bytearray(small_file()), _options_place()
    options = options[-size:]
    content[start + size - len(options) : start + size] = options
    return bytes(content)
