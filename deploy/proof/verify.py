"""Is the file equal to what was trained? Measured layer by layer with the same input, and end to end on real samples.

End to end, two correct programs differ: one float ulp at a sign's threshold turns a bit, and everything behind it moves.
So the layers are compared one by one (part a, `deploy.proof.layerwise`). Part (b), `deploy.proof.scoring`, runs both end to
end on real samples, without forcing anything: how far the outputs are apart, how often they mean the same, and the scores.
How outputs are compared is said in `deploy.proof.outputs`.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.trained import Trained
from deploy.proof.gates import GateProof
from deploy.proof.integers import IntegerProof
from deploy.proof.layerwise import LOGITS_EPS, LayerProof, Layerwise, compare_layers, probe_inputs
from deploy.proof.samples import Samples
from deploy.proof.scoring import EndToEnd, end_to_end
from deploy.proof.unpoolings import UnpoolProof
from deploy.run.interpreter import Interpreter
from larqnets.errors import LarqnetsError, printable
from larqnets.reporter import SILENT, Reporter
from larqnets.tasks import Info, Task, Tree, get_task
from larqnets.tflite.interface import interface_of
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

MAX_SCORE_DIFFERENCE = 0.005
MIN_AGREEMENT = 0.95


@dataclass(frozen=True)
class Verification:
    """The measured equality of a file and its trained model; `equal` is the verdict, `reasons` say why it is not."""

    equal: bool
    reasons: list[str]
    layers: list[LayerProof]
    unchecked_layers: list[str]  # without a 1-bit op (allowed float): only part (b) covers them
    logits_difference: float  # largest of all outputs, of its size, with the signs forced; in front of a last softmax
    samples: int  # part (b); 0 when there was no data
    real_samples: bool
    output_difference: float | None  # part (b): mean, relative to the largest output; None where one is not finite
    argmax_agreement: (
        float | None
    )  # part (b): share of samples, or pixels, that mean the same; None where none means any
    accuracy_trained: float | None  # the score of that name, where the task has it
    accuracy_converted: float | None
    engine: str
    warnings: list[str] = field(default_factory=list)
    scores_trained: dict[str, float] | None = None
    scores_converted: dict[str, float] | None = None
    unpoolings: list[UnpoolProof] = field(default_factory=list)
    integers: IntegerProof | None = None  # of a file with an int8 rest, beside its float rest, of which all the rest is
    counted: str = ""  # what `argmax_agreement` is the share of, to follow a percentage
    gates: list[GateProof] = field(default_factory=list)

    def __repr__(self) -> str:
        verdict = "equal" if self.equal else f"not equal: {printable('; '.join(self.reasons))}"
        return f"<Verification of {len(self.layers)} binary layers with {self.samples:,} samples: {verdict}>"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def verify(
    file: bytes | Model,
    model: tf.keras.Model | Trained,
    images: np.ndarray,
    labels: np.ndarray | Tree | None = None,
    *,
    task: Task | None = None,
    info: Info | None = None,
    real_samples: bool = True,
    allowed_float: Collection[str] = (),
    seed: int = 0,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> Verification:
    """Compare a converted file with the trained Keras model that it came from.

    `images`: float32 (N, H, W, C), preprocessed as for training, at least 1,000 for a verdict worth having; `labels`
    (N,) integers, for another `task` than classification a tree of what is known about the images, None when unknown;
    `info` of the data set that they are from; `allowed_float`: binary layers that may be without a 1-bit op;
    `device`: where the file runs, see Interpreter. Raises LarqnetsError when the file does not fit the model at all.
    """
    trained = Trained.of(model)
    file, model = read_model(file), trained.model
    takes = interface_of(file).inputs[0].shape
    if takes[1:] != tuple(model.input_shape[1:]):
        raise LarqnetsError(f"The file takes {takes} and the model {model.input_shape}: they do not belong together.")
    inside = compare_layers(file, trained, *probe_inputs(images, seed), device)
    interpreter = Interpreter(file, device=device)  # not before: the comparison has one of its own, with more outputs
    samples = Samples(images, labels, real=real_samples, task=task or get_task(), info=info)
    ends = end_to_end(model, interpreter, samples, reporter)
    reasons = _reasons(inside, ends, allowed_float)
    return Verification(
        not reasons,
        reasons,
        inside.layers,
        inside.unchecked,
        inside.outputs.logits,
        len(images),
        real_samples,
        ends.difference,
        ends.agreement,
        (ends.trained or {}).get("accuracy"),
        (ends.converted or {}).get("accuracy"),
        interpreter.engine,
        _warnings(inside, ends),
        ends.trained,
        ends.converted,
        inside.unpoolings,
        counted=ends.counted,
        gates=inside.gates,
    )


def _reasons(inside: Layerwise, ends: EndToEnd, allowed_float: Collection[str]) -> list[str]:
    """Return why the file is not equal to its model; of none it is."""
    reasons = [
        f"layer '{r.layer}': {r.wrong} of {r.signs} signs differ, up to {r.worst:.1e} from the threshold"
        for r in inside.layers
        if r.wrong
    ]
    reasons += [
        f"unpooling '{r.layer}': {r.wrong} of {r.indices} indices differ, their values by up to {r.worst:.1e}"
        for r in inside.unpoolings
        if r.wrong
    ]
    reasons += [
        f"gate of '{r.layer}': {r.wrong} of {r.factors} factors differ, by up to {r.worst:.1e} of the largest"
        for r in inside.gates
        if r.wrong
    ]
    reasons += [f"the file has no map by which layer '{name}' could choose its places" for name in inside.unmatched]
    missing = [name for name in inside.unchecked if name not in allowed_float]
    reasons += [f"no 1-bit op of the file has the kernel of layer '{name}'" for name in missing]
    outputs = inside.outputs
    if not outputs.beyond_rounding <= LOGITS_EPS:
        reasons.append(f"the logits differ by {outputs.logits:.1e} of their size with equal signs before them")
    if not outputs.function <= LOGITS_EPS:
        reasons.append(f"what the file makes of its logits at the end differs by {outputs.function:.1e} of its size")
    trained, converted = ((scores or {}).get(ends.headline) for scores in (ends.trained, ends.converted))
    if trained is not None and converted is not None and abs(trained - converted) > MAX_SCORE_DIFFERENCE:
        reasons.append(f"the {ends.headline} is {trained:.4f} trained and {converted:.4f} converted")
    if not ends.finite:
        reasons.append("the file computes values that are not finite")
    return reasons


def _warnings(inside: Layerwise, ends: EndToEnd) -> list[str]:
    warnings = list(inside.remarks)
    near, compared = sum(r.near_threshold for r in inside.layers), sum(r.signs for r in inside.layers)
    if near > 1e-3 * compared:
        warnings.append(
            f"{near:,} of {compared:,} signs lie within rounding of their threshold: such a network, often an untrained "
            "one, computes by chance, here and on a device."
        )
    if ends.agreement is not None and ends.agreement < MIN_AGREEMENT:
        warnings.append(f"Only {ends.agreement:.1%} {ends.counted}, though every layer is equal by itself.")
    return warnings
