"""Training: the loop, learning-rate schedules, checkpoints, evaluation and progress."""

from larqnets.runs.weights import build_model, load_trained_model, transfer_weights
from larqnets.training.evaluation import Scores, evaluate
from larqnets.training.interrupt import TrainingInterruptedError
from larqnets.training.loop import train

__all__ = [
    "Scores",
    "TrainingInterruptedError",
    "build_model",
    "evaluate",
    "load_trained_model",
    "train",
    "transfer_weights",
]
