"""What `dilated` makes of a backbone: smaller strides, rates in their place, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larqnets import LarqnetsError
from larqnets.backbones import OUTPUT_STRIDES, Backbone, Block, Stem, Unit, dilated, get_backbone, list_backbones


def geometry(backbone, stage):
    return [[(unit.strides, unit.dilation) for unit in block.units] for block in backbone.stages[stage]]


@pytest.mark.parametrize(
    ("output_stride", "third", "fourth"),
    [
        (8, [[(1, 1), (1, 2)], [(1, 2), (1, 2)]], [[(1, 2), (1, 4)], [(1, 4), (1, 4)]]),
        (16, [[(2, 1), (1, 1)], [(1, 1), (1, 1)]], [[(1, 1), (1, 2)], [(1, 2), (1, 2)]]),
        (32, [[(2, 1), (1, 1)], [(1, 1), (1, 1)]], [[(2, 1), (1, 1)], [(1, 1), (1, 1)]]),
    ],
)
def test_resnet18_at_every_output_stride(output_stride, third, fourth):
    backbone = dilated(get_backbone("resnet18", "imagenet"), output_stride)
    assert (geometry(backbone, 2), geometry(backbone, 3)) == (third, fourth)
    assert backbone.reductions == (4, 8, min(16, output_stride), output_stride)


def test_rates_of_branches_stand_in_every_3x3_of_the_widened_stages():
    first, second = (2, 3, 4, 5, 6), (6, 7, 8, 9, 10)
    backbone = dilated(get_backbone("resnet18", "imagenet"), 8, [first, second])
    assert [unit.dilation for unit in backbone.units] == [1] * 8 + [first] * 4 + [second] * 4
    bottlenecks = dilated(get_backbone("resnet26", "imagenet"), 16, [first])
    assert [unit.dilation for unit in bottlenecks.units][-6:] == [1, first, 1] * 2


def walk(backbone):
    reached = backbone.stem.reduction
    for unit in backbone.units:
        yield reached, unit
        reached *= unit.reduction


@given(
    name=st.sampled_from(list_backbones()),
    kind=st.sampled_from(["imagenet", "small"]),
    output_stride=st.sampled_from(OUTPUT_STRIDES),
)
def test_a_window_sees_what_it_saw_and_weights_stay_as_many(name, kind, output_stride):
    try:
        plain = get_backbone(name, kind)
    except LarqnetsError:  # for small images only
        plain = get_backbone(name)
    backbone = dilated(plain, output_stride)
    assert max(backbone.reductions) <= output_stride or backbone == plain
    assert [replace(unit, strides=1, pool="none", dilation=1) for unit in backbone.units] == [
        replace(unit, strides=1, pool="none") for unit in plain.units
    ]
    for (before, unit), (reached, wide) in zip(walk(plain), walk(backbone), strict=True):
        if unit.kernel_size == 1:
            assert wide.dilation == 1
        else:
            assert reached * wide.dilation == before
        assert wide.dilation == 1 or wide.strides == 1
    assert dilated(backbone, output_stride) == backbone


def test_no_convolution_has_a_stride_and_a_rate():
    odd = Backbone("odd", Stem(8, 3, 4), ((Block((Unit(8, strides=3), Unit(8, strides=2), Unit(8))),),))
    assert geometry(dilated(odd, 8), 0) == [[(1, 1), (1, 3), (1, 6)]]


RESNET = get_backbone("resnet18", "imagenet")


@pytest.mark.parametrize(
    ("backbone", "output_stride", "rates", "sentence"),
    [
        (RESNET, 4, None, r"^The output stride must be 8, 16 or 32, not 4\.$"),
        (RESNET, True, None, "must be 8, 16 or 32, not True"),
        (
            replace(RESNET, stem=Stem(8, 3, 16)),
            8,
            None,
            "The stem of 'resnet18' alone makes one pixel of 16, so the output stride",
        ),
        (RESNET, 8, [(2, 3)], "'resnet18' at an output stride of 8 has 2 dilated stages, and rates are given for 1"),
        (RESNET, 32, [(2, 3)], "has 0 dilated stages, and rates are given for 1"),
        (RESNET, 8, [(2, 3), (0, 4)], "A dilation rate must be an integer of 1 or more, not 0"),
        (RESNET, 8, [(2, 3), (1.5, 4)], "not 1.5"),
        (RESNET, 8, [(2, 3), (True, 4)], "not True"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(backbone, output_stride, rates, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        dilated(backbone, output_stride, rates)
