"""`facegan resume`."""

from .options import Device, Epochs, Json, Kimg, Run, Steps, one_duration


def resume(
    run: Run = None,
    epochs: Epochs = None,
    kimg: Kimg = None,
    steps: Steps = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Continue a run, or extend a finished one.

    --epochs, --kimg or --steps give a new total; without them a finished run is left as it is.
    """
    from ..run import find_run
    from ..training.runs import resume as resume_run
    from .console import StopRequest, TrainingConsole
    from .train import conclude

    duration = one_duration(epochs, kimg, steps)
    found = find_run(run)
    with StopRequest().listening() as stop, TrainingConsole(found.log, new=False) as console:
        ended = resume_run(
            found, duration=duration, device=device, report=console.report, packing=console.packing, stop=stop
        )
        if ended is None:
            console.say(f"{found.path}: finished already; --epochs, --kimg or --steps with a larger total extends it")
    conclude(found, console, stop.exit_code if ended is False else 0, as_json)
