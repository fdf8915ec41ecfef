"""Print what each direction of a run moves, as the tables of docs/directions.md.

    python benchmarks/directions.py runs/NAME [--least 20]

One question: along each direction that `facegan directions` finds, what else changes apart from its own attribute? The
table lists every change of a mean probability by LEAST percentage points or more.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from typing import Any

Table = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--least", type=float, default=20, help="percentage points")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "facegan",
            "directions",
            options.run,
            "--json",
            "-o",
            f"{folder}/d.safetensors",
        ]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    print("| direction | classifier: AUC, accuracy (base rate) | samples | rule: AUC | itself | also moves |")
    print("|---|---|---|---|---|---|")
    scores = {score["name"]: score for score in found["classifier"]["scores"]}
    for each in sorted(found["directions"], key=lambda each: -(each["auc"] or 0)):
        print(row(each, scores.get(each["name"]), options.least))
    print("\n| attribute | classifier: AUC, accuracy (base rate) | why it has no direction |")
    print("|---|---|---|")
    for name, reason in found["refused"].items():
        print(f"| `{name}` | {scores_of(scores.get(name))} | {reason} |")


def row(direction: Table, score: Table | None, least: float) -> str:
    name, moved = direction["name"], direction["moved"]
    others = sorted((other for other in moved if other != name), key=lambda other: -abs(moved[other]))
    also = ", ".join(f"{other} {100 * moved[other]:+.0f}" for other in others if abs(100 * moved[other]) >= least)
    itself = f"{100 * moved[name]:+.0f}" if name in moved else ""
    rule = f"{direction['auc']:.2f}" if direction["auc"] is not None else ""
    share = f"{100 * direction['share']:.0f} %" if name in moved else f"({100 * direction['share']:.0f} %)"
    return f"| `{name}` | {scores_of(score)} | {share} | {rule} | {itself} | {also or '-'} |"


def scores_of(score: Table | None) -> str:
    if score is None:
        return ""
    return f"{score['auc']:.2f}, {100 * score['accuracy']:.0f} % ({100 * score['base_rate']:.0f} %)"


if __name__ == "__main__":
    main()
