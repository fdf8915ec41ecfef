#!/bin/sh
# Make faces with a trained run: a sheet to choose from, the same faces more ordinary, and one file per face.
#
#   examples/draw-faces.sh runs/drawn-demo-1
#
# You can set NUM (the number of faces) and OUT (the output folder).
set -eu

run=${1:?"give a run, or a snapshot file"}
num=${NUM:-64}
out=${OUT:-faces}

# The seed under each face is its name in every other command.
facegan sample "$run" -n "$num" --labels -o "$out/sheet.png"

# Truncated latents: more ordinary faces, which vary less.
facegan sample "$run" -n "$num" --truncation 0.7 -o "$out/tame.png"

# Single images; manifest.jsonl has one line per file, with its seed and digest.
facegan sample "$run" -n "$num" --separate "$out/single"
