"""`facegan resume`."""

from ..api import training
from .options import Json, MaxTime, Options, command
from .train import run_training

EXAMPLES = """
    $ facegan resume
    runs/celeba-1

    $ facegan resume celeba-1 --epochs 50 --max-time 2h
    runs/celeba-1
    """


@command(training.resume, EXAMPLES)
def resume(options: Options, *, max_time: MaxTime = None, as_json: Json = False) -> None:
    """Resume a run."""
    from ..training.distributed import joined

    with joined() as world:
        run_training(training.resume, options, world, max_time, as_json=as_json)
