"""A trained network with what conversion and proof ask of it, each found once and handed on."""

from functools import cached_property

import tensorflow as tf

from deploy.export.binary_layers import BinaryLayer, describe_binary_layers
from deploy.export.model import Export, export_model
from deploy.export.precision import in_float32, small_precision
from deploy.export.unshared import origins, unshared
from deploy.targets import Stem
from larqnets.int8_aware import LearnedRanges, learned_ranges
from larqnets.tasks import answers_of


class Trained:
    """A trained Keras model, `given` as somebody has it. Its weights must not change as long as this is used."""

    def __init__(self, given: tf.keras.Model) -> None:
        self.given = given
        self._exports: dict[Stem, Export] = {}

    @staticmethod
    def of(model: "tf.keras.Model | Trained") -> "Trained":
        """Return what was handed on as it is, and anybody's model as one."""
        return model if isinstance(model, Trained) else Trained(model)

    @cached_property
    def small_precision(self) -> str:
        """The policy of 16 bits that it was trained in, "" where there is none."""
        return small_precision(self.given)

    @cached_property
    def answers(self) -> tf.keras.Model:
        """The model in float32, in which its file computes, without the outputs that only a loss looks at."""
        whole = in_float32(self.given)
        return answers_of(whole) if whole.outputs else whole  # a subclassed one has none until it is called

    @cached_property
    def model(self) -> tf.keras.Model:
        """The same, with every layer on maps of one size."""
        return unshared(self.answers, cut=self.answers.output_names != self.given.output_names)

    @cached_property
    def origins(self) -> dict[str, str]:
        """Which layer, as it was given, a layer of `model` stands for."""
        return origins(self.answers)

    @cached_property
    def learned_ranges(self) -> dict[str, LearnedRanges]:
        """Layer of `model` -> the ranges that it was trained with for an int8 rest, where it was."""
        ranges = learned_ranges(self.given)
        return {layer: ranges[origin] for layer, origin in self.origins.items() if origin in ranges}

    @cached_property
    def binary_layers(self) -> list[BinaryLayer]:
        """The layers that were trained as binary, see `describe_binary_layers`."""
        return describe_binary_layers(self.model)

    def export(self, stem: Stem) -> Export:
        """Return the model rebuilt for the converter, its stem as it is asked for; raises LarqnetsError, see `export_model`."""
        if stem not in self._exports:
            self._exports[stem] = export_model(self.model, self.binary_layers, stem)
        return self._exports[stem]
