"""Evaluation: the quality of generated faces, each number with its protocol, its interval and a yardstick."""

from .evaluate import Evaluator, Options, check_forms, evaluate, make_evaluator
from .metric import Known, Measurement, Metric, Pair, Sample
from .results import Floor, Result, append, read, record

__all__ = [
    "Evaluator",
    "Floor",
    "Known",
    "Measurement",
    "Metric",
    "Options",
    "Pair",
    "Result",
    "Sample",
    "append",
    "check_forms",
    "evaluate",
    "make_evaluator",
    "read",
    "record",
]
