"""One of several processes, for tests: does one job after the other, so that torch is loaded only once.

A job is a line of JSON on stdin: the arguments of a command, or Python code that leaves its `result`.
The answer is a line of JSON on stdout. Finished runs get no curves, which take a second.
"""

import contextlib
import io
import json
import sys

import facegan.cli
import facegan.training.artifacts
import facegan.training.trainer


def main():
    for module in (facegan.training.trainer, facegan.training.artifacts):
        module.finish = lambda *arguments, **options: None
    for line in sys.stdin:
        job = json.loads(line)
        out, err, said = io.StringIO(), io.StringIO(), {}
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            if "code" in job:
                names = {}
                exec(job["code"], names)
                said = {"result": names["result"]}
            else:
                try:
                    facegan.cli.main(job["arguments"])
                except SystemExit as ended:
                    said = {"code": ended.code or 0}
        print(json.dumps({**said, "out": out.getvalue(), "err": err.getvalue()}), flush=True)


main()
