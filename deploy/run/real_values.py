"""A file whose inputs or outputs are integers that stand for real values, run on real values."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deploy.run.interpreter import Interpreter, as_list
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.interface import Port, interface_of
from larqnets.tflite.model import Model, Tensor
from larqnets.tflite.quantized import dequantized, is_quantized, quantized


class RealInterpreter(Interpreter):
    """An Interpreter that takes and gives float32 where the file has integers with a scale; all else is the same."""

    @property
    def input_types(self) -> list[np.dtype]:
        """Data type of every input as it is given here."""
        return _real_types(self._tensors(self.model.subgraphs[0].inputs), super().input_types)

    @property
    def output_types(self) -> list[np.dtype]:
        """Data type of every output as it is returned here."""
        return _real_types(self._tensors(self.model.subgraphs[0].outputs), super().output_types)

    def predict(self, x: np.ndarray | Sequence[np.ndarray], reporter: Reporter = SILENT) -> Any:
        """Run samples of real values; see Interpreter."""
        given = [np.asarray(value) for value in (x if isinstance(x, list | tuple) else [x])]
        inputs = self._tensors(self.model.subgraphs[0].inputs)
        if len(given) == len(inputs):
            given = [
                quantized(tensor, value) if is_quantized(tensor) and value.dtype == np.float32 else value
                for tensor, value in zip(inputs, given, strict=True)
            ]
        outputs = [
            dequantized(tensor, value).astype(np.float32) if is_quantized(tensor) else value
            for tensor, value in zip(
                self._tensors(self.model.subgraphs[0].outputs), as_list(super().predict(given, reporter)), strict=True
            )
        ]
        return outputs[0] if len(outputs) == 1 else outputs

    def _tensors(self, indices: Sequence[int]) -> list[Tensor]:
        return [self.model.subgraphs[0].tensors[i] for i in indices]


def real_ports(model: Model) -> list[Port]:
    """Return the inputs of a file as a RealInterpreter takes them: of float32 where they are integers with a scale."""
    graph = model.subgraphs[0]
    return [
        replace(port, dtype="float32") if is_quantized(graph.tensors[i]) else port
        for port, i in zip(interface_of(model).inputs, graph.inputs, strict=True)
    ]


def _real_types(tensors: list[Tensor], types: list[np.dtype]) -> list[np.dtype]:
    return [np.dtype(np.float32) if is_quantized(t) else kind for t, kind in zip(tensors, types, strict=True)]
