"""`facegan evaluate`."""

from typing import TYPE_CHECKING, Any

from ..api import evaluation
from ..errors import FaceganError
from .console import ConsoleReporter
from .options import Json, command, print_json
from .tables import print_evaluations

if TYPE_CHECKING:
    from ..evaluation import Result

EXAMPLES = """
    $ facegan evaluate runs/celeba-1 --metrics fid,kid
    celeba-1, step 25,000
    metric  better  value  95 % interval   real/real  ratio
    fid     lower   31.2   30.8 to 31.7    4.1        7.6
    kid     lower   0.021  0.020 to 0.022  0.0001     -
    ...

    $ facegan evaluate --real celeba --fake my-faces --resolution 64 --metrics swd --json
    {"results": [{"metric": "swd", "value": 12.3, ...}], "remarks": []}
    """


@command(evaluation.evaluate, EXAMPLES)
def evaluate(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print the results that were found, also when the next model fails."""
    results: list[list[Result]] = []
    failure: FaceganError | None = None
    with ConsoleReporter(repeat=False) as reporter:
        try:
            for each in evaluation.evaluate(**options, reporter=reporter):
                results.append(each)
        except FaceganError as error:
            failure = error
    if results and as_json:
        print_json({"results": [each.line() for found in results for each in found], "remarks": reporter.lines})
    elif results:
        print_evaluations(results)
    if failure:
        raise failure
