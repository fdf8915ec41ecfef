"""How good generated faces are: every number with its protocol, its interval and a yardstick."""

from .evaluate import Judge  # the module first: imported later, it would take the place of the function of its name
from .measure import evaluate
from .metric import Measurement, Metric
from .pair import Known, Pair, Sample
from .results import Floor, Result, append, read
from .subjects import Reference, Subject, digest_of, drawn, reference_of

__all__ = [
    "Floor",
    "Judge",
    "Known",
    "Measurement",
    "Metric",
    "Pair",
    "Reference",
    "Result",
    "Sample",
    "Subject",
    "append",
    "digest_of",
    "drawn",
    "evaluate",
    "read",
    "reference_of",
]
