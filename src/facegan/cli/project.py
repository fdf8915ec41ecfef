"""`facegan project`."""

from typing import Any

from ..api import inspection
from .console import ConsoleReporter
from .options import Json, command, print_json

EXAMPLES = """
    $ facegan project me.jpg -o me-and-my-face.png
    compared with: 2,000 faces that the run has not seen (errors: 64 of them)
    me.jpg: error 0.210 (median 0.190; 61 % of faces come nearer); a face this model knows: ...
    me-and-my-face.png

    $ facegan project a.jpg b.jpg --save us.safetensors --no-judge --json
    {"snapshot": "runs/celeba-1/snapshots/step-00025000.safetensors", ...}
    """


@command(inspection.project, EXAMPLES)
def project(options: dict[str, Any], *, as_json: Json = False) -> None:
    """Print a line for each photo, then the files."""
    with ConsoleReporter() as reporter:
        found = inspection.project(**options, reporter=reporter)
        reporter.info(f"compared with: {found.found.compared_with}")
    if as_json:
        print_json(found.document())
        return
    for path, each in zip(found.photos, found.found.projections, strict=True):
        print(f"{path}: {each.summary()}")
    for path in found.files:
        print(path)
