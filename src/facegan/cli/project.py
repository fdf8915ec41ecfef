"""`facegan project`."""

from ..api import inspection
from .options import verb_command

EXAMPLES = """
    $ facegan project me.jpg -o me-and-my-face.png
    compared with: 2,000 faces that the run has not seen (errors: 64 of them)
    me.jpg: error 0.210 (median 0.190; 61 % of faces come nearer); a face this model knows: ...
    me-and-my-face.png

    $ facegan project a.jpg b.jpg --save us.safetensors --no-judge --json
    {"snapshot": "runs/celeba-1/snapshots/step-00025000.safetensors", ...}
    """
project = verb_command(inspection.project, EXAMPLES)
