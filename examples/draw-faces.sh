#!/bin/sh
# Draw faces from a trained run: a sheet to choose from, the same faces tamed, and each as a file of its own.
#
#   examples/draw-faces.sh runs/drawn-demo-1
#
# NUM (how many) and OUT (where the results go) can be set before it.
set -eu

run=${1:?"give a run, or a snapshot file"}
num=${NUM:-64}
out=${OUT:-faces}

# Under each face stands its seed, by which every other command takes it.
facegan sample "$run" -n "$num" --labels -o "$out/sheet.png"

# Latents drawn in towards the middle: more ordinary faces, which vary less.
facegan sample "$run" -n "$num" --truncation 0.7 -o "$out/tame.png"

# Single images; manifest.jsonl has a line a file, with its seed and digest.
facegan sample "$run" -n "$num" --separate "$out/single"
